//! What a device shows its user: conversations with the present content of their messages. The checker
//! compares it with the log.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::wire::{integer, is, owned, text};

/// Live events of one conversation that wait for those before them.
const MOST_AHEAD: usize = 256;

/// Everything a device shows.
#[derive(Debug, Clone, Default)]
pub struct Copy {
    /// The id of the user that it belongs to.
    pub user: Option<String>,
    /// By id.
    pub conversations: BTreeMap<String, Conversation>,
    /// The last state that the device was sent of each user whom it watches.
    pub presence: BTreeMap<String, String>,
    /// Whom the device watches.
    pub watched: BTreeSet<String>,
    /// The users shown as typing, by conversation and user, and until when (virtual time in milliseconds).
    pub typing: BTreeMap<(String, String), u64>,
    /// Whether the device asks for what it lacks. Without it only live events are here.
    pub complete: bool,
    /// The connection ended with a code after which no client comes back.
    pub stopped: Option<u16>,
    /// The connection ended with 4429, and the device stays away for a minute.
    pub banished: bool,
    /// The account was erased, or its user signed out.
    pub signed_out: bool,
}

/// A conversation, as far as the device has it.
#[derive(Debug, Clone, Default)]
pub struct Conversation {
    /// `direct`, `group` or `channel`; empty until a head named it.
    pub kind: String,
    /// Its name.
    pub name: Option<String>,
    /// The other user of a direct conversation.
    pub peer: Option<String>,
    /// The first event that this user may see, by the last head.
    pub first_seq: u64,
    /// Everything from here to `position` has come. 0 before anything has.
    pub from_seq: u64,
    /// The last event before the first one that is missing.
    pub position: u64,
    /// The newest event that the device knows of.
    pub heard_seq: u64,
    /// The events that arrived, as they arrived.
    pub events: BTreeMap<u64, Value>,
    /// The messages with their present content.
    pub messages: BTreeMap<u64, Message>,
    /// The seq up to which the user has read, on any device.
    pub read_seq: u64,
    /// The `unread` of the last head, and the `last_seq` and `read_seq` it belongs to.
    pub unread_told: Option<(u64, u64, u64)>,
    /// The seqs up to which others have received and read, by user.
    pub receipts: BTreeMap<String, (u64, u64)>,
    /// Whether `position` counts from a known first event.
    pub(super) based: bool,
    /// Events after a gap.
    pub(super) ahead: BTreeMap<u64, Value>,
    /// The number of the request after which it appeared: older answers are about an earlier stay.
    pub(super) born: u64,
    /// Whether a head named it since the last reset.
    pub(super) named: bool,
    /// Answers in a row that left a hole.
    pub(super) holes: u32,
}

/// A message.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Message {
    /// The user who wrote it.
    pub sender: String,
    /// Its id.
    pub message_id: String,
    /// Its text.
    pub body: Option<String>,
    /// Its other fields: `reply_to`, `mentions`, `attachments`, `data`.
    pub extras: BTreeMap<String, Value>,
    /// Whether an edit has replaced its text.
    pub edited: bool,
    /// Whether its content is gone.
    pub deleted: bool,
    /// The users who reacted, by emoji.
    pub reactions: BTreeMap<String, BTreeSet<String>>,
}

impl Conversation {
    /// Takes a head.
    pub(super) fn take_head(&mut self, head: &Value) {
        self.kind = text(head, "kind").to_owned();
        self.name = owned(head, "name");
        self.peer = owned(head, "peer").or(self.peer.take());
        self.first_seq = integer(head, "first_seq").unwrap_or(1);
        let last_seq = integer(head, "last_seq").unwrap_or_default();
        let read_seq = integer(head, "read_seq").unwrap_or_default();
        self.heard_seq = self.heard_seq.max(last_seq);
        self.read_seq = self.read_seq.max(read_seq);
        self.unread_told = integer(head, "unread").map(|unread| (unread, last_seq, read_seq));
        if self.position + 1 < self.first_seq {
            // The user was away and came back, or older events are hidden now: what happens to those before
            // is not told any more.
            self.events.clear();
            self.messages.clear();
            self.position = self.first_seq - 1;
            self.from_seq = 0;
        }
        self.based = true;
        self.named = true;
        self.drain();
    }

    /// Drops the events, because the log may have others at their seqs.
    pub(super) fn forget(&mut self) {
        *self = Self { kind: std::mem::take(&mut self.kind), peer: self.peer.take(), ..Self::default() };
    }

    /// The seqs that are missing now: after which, and how many.
    pub fn missing(&self) -> Option<(u64, u64)> {
        let last = self.ahead.keys().next().map_or(self.heard_seq, |first| first - 1);
        (last > self.position).then(|| (self.position, last - self.position))
    }

    /// Takes a live event. What is after a gap waits for what is missing.
    pub(super) fn take_live(&mut self, event: &Value, seq: u64) {
        self.heard_seq = self.heard_seq.max(seq);
        if seq <= self.position {
            return;
        }
        // Events that are removed here are read again, because `heard_seq` names them or later ones.
        if self.ahead.len() == MOST_AHEAD {
            self.ahead.pop_last();
        }
        self.ahead.insert(seq, event.clone());
        self.drain();
    }

    /// Takes the next event without asking for those before it.
    pub(super) fn take_loose(&mut self, event: &Value, seq: u64) {
        self.position = self.position.max(seq.saturating_sub(1));
        self.take_live(event, seq);
    }

    /// Takes an event of an answer; false when it would leave a hole, and then nothing changes.
    pub(super) fn take_read(&mut self, event: &Value, seq: u64) -> bool {
        self.heard_seq = self.heard_seq.max(seq);
        if self.based && seq > self.position + 1 {
            self.holes += 1;
            return false;
        }
        self.holes = 0;
        self.based = true;
        if seq > self.position {
            self.apply(event, seq);
        }
        self.drain();
        true
    }

    /// Everything up to there was asked for and has come.
    pub(super) fn covered(&mut self, to: u64) {
        if !self.based {
            self.position = self.position.max(to);
            self.based = true;
            self.drain();
        }
    }

    fn drain(&mut self) {
        while let Some((&seq, _)) = self.ahead.first_key_value()
            && (seq <= self.position || ((self.based || seq == 1) && seq == self.position + 1))
        {
            let event = self.ahead.remove(&seq).expect("just seen");
            if seq > self.position {
                self.apply(&event, seq);
            }
        }
    }

    fn apply(&mut self, event: &Value, seq: u64) {
        self.position = seq;
        if self.from_seq == 0 {
            self.from_seq = seq;
        }
        let target = integer(event, "target_seq").unwrap_or_default();
        match text(event, "kind") {
            "message" => {
                self.messages.insert(seq, Message::new(event));
            }
            "edit" => {
                if let Some(message) = self.messages.get_mut(&target)
                    && !message.deleted
                    && event["body"].is_string()
                {
                    message.body = owned(event, "body");
                    message.edited = true;
                }
            }
            "delete" => {
                if let Some(message) = self.messages.get_mut(&target) {
                    message.remove();
                }
            }
            "reaction" => {
                if let Some(message) = self.messages.get_mut(&target) {
                    message.react(text(event, "emoji"), text(event, "sender"), is(event, "on"));
                }
            }
            "conversation_changed" => {
                if let Some(name) = owned(&event["changes"], "name") {
                    self.name = Some(name);
                }
            }
            _ => {}
        }
        self.events.insert(seq, event.clone());
    }

    /// The messages of others after the read position whose content is there.
    pub fn unread(&self, me: &str) -> usize {
        let unread = self.messages.range(self.read_seq + 1..);
        unread.filter(|(_, message)| message.sender != me && !message.deleted).count()
    }

    /// The seq of the message that is the `back`-th newest, of those that `choose` accepts.
    pub(super) fn message_back(&self, back: u64, choose: impl Fn(&Message) -> bool) -> Option<u64> {
        let mut chosen = self.messages.iter().rev().filter(|(_, message)| choose(message));
        chosen.nth(usize::try_from(back).ok()?).map(|(seq, _)| *seq)
    }
}

impl Message {
    fn new(event: &Value) -> Self {
        let fields = ["reply_to", "mentions", "attachments", "data"].into_iter();
        let extras = fields.filter(|field| !event[*field].is_null());
        Self {
            sender: text(event, "sender").to_owned(),
            message_id: text(event, "message_id").to_owned(),
            body: owned(event, "body"),
            extras: extras.map(|field| (field.to_owned(), event[field].clone())).collect(),
            edited: event["edited_at"].is_string(),
            deleted: is(event, "deleted"),
            reactions: BTreeMap::new(),
        }
    }

    fn remove(&mut self) {
        self.deleted = true;
        self.body = None;
        self.extras.clear();
    }

    fn react(&mut self, emoji: &str, user: &str, on: bool) {
        let users = self.reactions.entry(emoji.to_owned()).or_default();
        if on {
            users.insert(user.to_owned());
        } else {
            users.remove(user);
        }
        if users.is_empty() {
            self.reactions.remove(emoji);
        }
    }
}
