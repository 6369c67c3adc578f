//! What the user did and the server has not answered for good: it is repeated with the same key, over any
//! number of connections, until the answer is definite.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::wire::segment;
use crate::net::Call;

/// Entries that wait; what the user does beyond them is not begun.
const MOST_ENTRIES: usize = 256;
/// Acknowledged sends that are kept, to send them again after a reset.
const MOST_RECENT: usize = 200;

/// Something to do until it is done.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// A message: the fields of its frame without `type` and `id`.
    Send(Value),
    /// A new text.
    Edit { conversation: String, seq: u64, body: String, client_id: String },
    /// The end of a message's content.
    Delete { conversation: String, seq: u64 },
    /// A reaction, or its end.
    React { conversation: String, seq: u64, emoji: &'static str, on: bool },
    /// The seq up to which the user has read.
    Read { conversation: String, seq: u64 },
    /// The seq up to which the device has received.
    Delivered { conversation: String, seq: u64 },
}

impl Item {
    /// Its frame.
    pub fn frame(&self, id: &Value) -> Value {
        match self {
            Self::Send(fields) => {
                let mut frame = fields.clone();
                frame["type"] = json!("send");
                frame["id"] = id.clone();
                frame
            }
            Self::Edit { conversation, seq, body, client_id } => {
                json!({"type": "edit", "id": id, "conversation": conversation, "seq": seq, "body": body,
                    "client_id": client_id})
            }
            Self::Delete { conversation, seq } => {
                json!({"type": "delete", "id": id, "conversation": conversation, "seq": seq})
            }
            Self::React { conversation, seq, emoji, on } => {
                let kind = if *on { "react" } else { "unreact" };
                json!({"type": kind, "id": id, "conversation": conversation, "seq": seq, "emoji": emoji})
            }
            Self::Read { conversation, seq } => {
                json!({"type": "read", "id": id, "conversation": conversation, "seq": seq})
            }
            Self::Delivered { conversation, seq } => {
                json!({"type": "delivered", "id": id, "conversation": conversation, "seq": seq})
            }
        }
    }

    /// Its REST call, without the token. `None` when there is none: for `delivered`, and for a message to a
    /// user with whom no conversation is known.
    pub fn call(&self) -> Option<Call> {
        let message = |conversation: &str, seq: u64| {
            format!("/v1/conversations/{}/messages/{seq}", segment(conversation))
        };
        let (method, path, body, key) = match self {
            Self::Send(fields) => {
                let path =
                    format!("/v1/conversations/{}/messages", segment(fields["conversation"].as_str()?));
                let mut body = fields.clone();
                let key = body.as_object_mut()?.remove("client_id")?.as_str()?.to_owned();
                body.as_object_mut()?.remove("conversation");
                ("POST", path, Some(body), Some(key))
            }
            Self::Edit { conversation, seq, body, client_id } => {
                ("PATCH", message(conversation, *seq), Some(json!({"body": body})), Some(client_id.clone()))
            }
            Self::Delete { conversation, seq } => ("DELETE", message(conversation, *seq), None, None),
            Self::React { conversation, seq, emoji, on } => {
                let path = format!("{}/reactions/{}", message(conversation, *seq), segment(emoji));
                (if *on { "PUT" } else { "DELETE" }, path, None, None)
            }
            Self::Read { conversation, seq } => {
                let path = format!("/v1/conversations/{}/read", segment(conversation));
                ("PUT", path, Some(json!({"seq": seq})), None)
            }
            Self::Delivered { .. } => return None,
        };
        Some(Call { method, path, token: None, body, key })
    }

    /// Whether the two are sends to the same place, so that they keep their order.
    fn is_after(&self, earlier: &Self) -> bool {
        let (Self::Send(one), Self::Send(other)) = (self, earlier) else { return false };
        one["conversation"] == other["conversation"] && one["to"] == other["to"]
    }
}

/// The state of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It waits until then (virtual milliseconds).
    Waiting(u64),
    /// It was sent and not answered.
    Asked,
}

/// Something to do, and how far it is.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its number in this outbox.
    pub number: u64,
    /// The operation.
    pub item: Item,
    /// Its state.
    pub stage: Stage,
    /// How often it was asked.
    pub tries: u32,
    /// Whether it may have been done already.
    pub unsure: bool,
}

/// The outbox of a device. It outlives connections.
#[derive(Debug, Default)]
pub struct Outbox {
    entries: VecDeque<Entry>,
    /// Each with the conversation that it went to.
    recent: VecDeque<(Item, String)>,
    last: u64,
}

impl Outbox {
    /// Adds something to do; false when there is no room.
    pub fn push(&mut self, item: Item) -> bool {
        if self.entries.len() == MOST_ENTRIES {
            return false;
        }
        self.last += 1;
        self.entries.push_back(Entry {
            number: self.last,
            item,
            stage: Stage::Waiting(0),
            tries: 0,
            unsure: false,
        });
        true
    }

    /// Whether everything is done.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entry of a number.
    pub fn get_mut(&mut self, number: u64) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.number == number)
    }

    /// The number of entries that were asked and are not answered.
    pub fn asked(&self) -> usize {
        self.entries.iter().filter(|entry| entry.stage == Stage::Asked).count()
    }

    /// The next entry that may be asked at `now`, or the time when there is one. Sends to one conversation
    /// keep their order.
    pub fn next(&self, now: u64) -> Result<u64, Option<u64>> {
        let mut soonest: Option<u64> = None;
        for (index, entry) in self.entries.iter().enumerate() {
            let Stage::Waiting(at) = entry.stage else { continue };
            let mut earlier = self.entries.iter().take(index);
            if earlier
                .any(|other| matches!(other.stage, Stage::Waiting(_)) && entry.item.is_after(&other.item))
            {
                continue;
            }
            if at <= now {
                return Ok(entry.number);
            }
            soonest = Some(soonest.map_or(at, |soonest| soonest.min(at)));
        }
        Err(soonest)
    }

    /// Puts an entry back, to be asked again from then on.
    pub fn again(&mut self, number: u64, at: u64, unsure: bool) {
        if let Some(entry) = self.get_mut(number) {
            entry.stage = Stage::Waiting(at);
            entry.unsure |= unsure;
        }
    }

    /// Nothing is asked before `at`.
    pub fn hold(&mut self, at: u64) {
        for entry in &mut self.entries {
            if let Stage::Waiting(until) = &mut entry.stage {
                *until = (*until).max(at);
            }
        }
    }

    /// The answer was definite: the entry goes. A send that was acknowledged is kept for a reset.
    pub fn finish(&mut self, number: u64, acknowledged: Option<&str>) -> Option<Item> {
        let index = self.entries.iter().position(|entry| entry.number == number)?;
        let item = self.entries.remove(index)?.item;
        if let (Item::Send(_), Some(conversation)) = (&item, acknowledged) {
            if self.recent.len() == MOST_RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back((item.clone(), conversation.to_owned()));
        }
        Some(item)
    }

    /// The send that was acknowledged last, and where it went.
    pub fn last_sent(&self) -> Option<&(Item, String)> {
        self.recent.back()
    }

    /// The log is another one: everything recent is sent again, with its key, before what is new.
    pub fn send_recent_again(&mut self) {
        for (item, _) in std::mem::take(&mut self.recent).into_iter().rev() {
            self.last += 1;
            let (number, stage) = (self.last, Stage::Waiting(0));
            self.entries.push_front(Entry { number, item, stage, tries: 0, unsure: true });
        }
    }

    /// Forgets everything, because it belongs to an account that is gone.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.recent.clear();
    }
}
