//! The mock's conversations, and the ways in which it can fail them.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::HANG_UP;

/// The message of the run at which the fault strikes.
const STRIKES_AT: u64 = 9;

/// What goes wrong, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// A live event is pushed to nobody and nobody is told.
    DropLive,
    /// A live event is pushed twice.
    DoubleLive,
    /// A send is acked and never stored.
    AckAndForget,
    /// Two live events are pushed in the wrong order.
    Reorder,
    /// The connection breaks between store and ack, and the retry is stored again.
    CutAndStoreTwice,
    /// The connection breaks between store and ack, and the retry is recognised: no fault.
    CutAndRecognise,
    /// Every third send is refused for a moment: no fault.
    PushBack,
    /// The server asks the speaker to move to a new connection: no fault.
    HandOver,
    /// Sends are taken and never answered.
    NeverAnswer,
}

/// Everything the mock knows.
pub struct State {
    fault: Fault,
    users: u64,
    sends: u64,
    sessions: HashMap<u64, Session>,
    next_session: u64,
    conversations: BTreeMap<String, Conversation>,
    keys: HashMap<(String, String), (String, u64)>,
    held_back: Option<(String, Value)>,
}

struct Session {
    user: String,
    queue: mpsc::Sender<String>,
}

#[derive(Default)]
struct Conversation {
    members: HashSet<String>,
    events: Vec<Value>,
}

impl State {
    pub fn new(fault: Fault) -> Self {
        Self {
            fault,
            users: 0,
            sends: 0,
            sessions: HashMap::new(),
            next_session: 0,
            conversations: BTreeMap::new(),
            keys: HashMap::new(),
            held_back: None,
        }
    }

    pub fn user(&mut self) -> String {
        self.users += 1;
        format!("u{}", self.users)
    }

    pub fn conversation(&mut self, owner: &str, peer: Option<&str>) -> String {
        let id = match peer {
            Some(peer) => direct(owner, peer),
            None => format!("c{}", self.conversations.len() + 1),
        };
        for member in [Some(owner), peer].into_iter().flatten() {
            self.join(&id, member);
        }
        id
    }

    pub fn join(&mut self, conversation: &str, user: &str) {
        if self.conversations.entry(conversation.to_owned()).or_default().members.insert(user.to_owned()) {
            self.append(
                conversation,
                user,
                json!({"kind": "member_joined", "user": user, "role": "member"}),
                true,
            );
        }
    }

    pub fn leave(&mut self, conversation: &str, user: &str) {
        self.append(conversation, user, json!({"kind": "member_left", "user": user, "reason": "left"}), true);
        self.conversations.get_mut(conversation).unwrap().members.remove(user);
    }

    /// Subscribes and tells the heads in one step, so that range and stream meet.
    pub fn welcome(&mut self, token: &str, queue: mpsc::Sender<String>) -> Option<u64> {
        let heads: Vec<Value> = self
            .conversations
            .iter()
            .filter(|(_, conversation)| conversation.members.contains(token))
            .map(|(id, conversation)| json!({"conversation": id, "last_seq": conversation.events.len(), "first_seq": 1}))
            .collect();
        let welcome = json!({"type": "welcome", "session": "s", "user": token, "cursor": "k", "heads": heads,
            "limits": {"body_bytes": 60, "sync_events": 7, "sync_ranges": 2}, "heartbeat_ms": 30_000});
        queue.try_send(welcome.to_string()).ok()?;
        self.next_session += 1;
        self.sessions.insert(self.next_session, Session { user: token.to_owned(), queue });
        Some(self.next_session)
    }

    pub fn gone(&mut self, session: u64) {
        self.sessions.remove(&session);
    }

    pub fn send(&mut self, session: u64, frame: &Value) {
        let user = self.sessions[&session].user.clone();
        let conversation = match frame["conversation"].as_str() {
            Some(id) => id.to_owned(),
            None => direct(&user, frame["to"].as_str().unwrap()),
        };
        let key = (user.clone(), frame["client_id"].as_str().unwrap().to_owned());
        self.sends += 1;
        let struck = self.sends == STRIKES_AT;
        if self.fault == Fault::PushBack && self.sends.is_multiple_of(3) {
            self.reply(
                session,
                &json!({"type": "error", "id": frame["id"], "code": "rate_limited", "message": "",
                "retryable": true, "definite": true, "retry_after_ms": 10}),
            );
            return;
        }
        let known = self.keys.get(&key).cloned();
        let duplicate = known.is_some();
        let seq = match known {
            Some((_, seq)) => seq,
            None if struck && self.fault == Fault::AckAndForget => {
                self.conversations[&conversation].events.len() as u64 + 1
            }
            None => {
                let event = json!({"kind": "message", "message_id": format!("m{}", self.sends), "body": frame["body"],
                    "client_id": key.1});
                let seq = self.append(&conversation, &user, event, !struck);
                if !(struck && self.fault == Fault::CutAndStoreTwice) {
                    self.keys.insert(key, (conversation.clone(), seq));
                }
                seq
            }
        };
        if struck && self.fault == Fault::HandOver {
            self.reply(
                session,
                &json!({"type": "reconnect", "after_ms": 5, "deadline_ms": 1000, "handover": "s"}),
            );
        }
        let cut = matches!(self.fault, Fault::CutAndStoreTwice | Fault::CutAndRecognise);
        if struck && cut {
            self.sessions[&session].queue.try_send(HANG_UP.to_owned()).unwrap();
        } else if self.fault != Fault::NeverAnswer {
            self.reply(
                session,
                &json!({"type": "ack", "id": frame["id"], "conversation": conversation, "seq": seq,
                "message_id": "m", "sent_at": "t", "duplicate": duplicate}),
            );
        }
    }

    pub fn sync(&mut self, session: u64, frame: &Value) {
        let user = self.sessions[&session].user.clone();
        for range in frame["ranges"].as_array().unwrap() {
            let id = range["conversation"].as_str().unwrap();
            let after = range["after"].as_u64().unwrap() as usize;
            let limit = range["limit"].as_u64().unwrap() as usize;
            let events: Vec<Value> = self.conversations[id]
                .events
                .iter()
                .skip(after)
                .take(limit)
                .map(|event| seen_by(event, &user))
                .collect();
            self.reply(
                session,
                &json!({"type": "events", "id": frame["id"], "conversation": id, "events": events}),
            );
        }
        self.reply(session, &json!({"type": "synced", "id": frame["id"], "more": false}));
    }

    pub fn page(&self, user: &str, conversation: &str, after: usize, limit: usize) -> Value {
        let events = &self.conversations[conversation].events;
        let page: Vec<Value> =
            events.iter().skip(after).take(limit).map(|event| seen_by(event, user)).collect();
        json!({"more": after + page.len() < events.len(), "events": page})
    }

    /// Stores an event, pushes it to its members unless it is the one that the fault strikes, and returns its
    /// seq.
    fn append(&mut self, id: &str, sender: &str, mut event: Value, unharmed: bool) -> u64 {
        let conversation = self.conversations.get_mut(id).unwrap();
        let seq = conversation.events.len() as u64 + 1;
        event["seq"] = json!(seq);
        event["sender"] = json!(sender);
        event["sent_at"] = json!(format!("2026-01-01T00:00:{seq:06}Z"));
        conversation.events.push(event.clone());
        match self.fault {
            Fault::DropLive if !unharmed => {}
            Fault::DoubleLive if !unharmed => {
                self.push(id, &event);
                self.push(id, &event);
            }
            Fault::Reorder if !unharmed => self.held_back = Some((id.to_owned(), event)),
            _ => self.push(id, &event),
        }
        if unharmed && let Some((id, late)) = self.held_back.take() {
            self.push(&id, &late);
        }
        seq
    }

    fn push(&self, id: &str, event: &Value) {
        for session in self.sessions.values() {
            if self.conversations[id].members.contains(&session.user) {
                let mut frame = seen_by(event, &session.user);
                frame["type"] = json!("event");
                frame["conversation"] = json!(id);
                session.queue.try_send(frame.to_string()).unwrap();
            }
        }
    }

    fn reply(&self, session: u64, frame: &Value) {
        self.sessions[&session].queue.try_send(frame.to_string()).unwrap();
    }
}

fn direct(a: &str, b: &str) -> String {
    if a < b { format!("d-{a}-{b}") } else { format!("d-{b}-{a}") }
}

/// Only the sender's own devices are shown the key.
fn seen_by(event: &Value, user: &str) -> Value {
    let mut event = event.clone();
    if event["sender"] != user
        && let Some(fields) = event.as_object_mut()
    {
        fields.remove("client_id");
    }
    event
}
