//! The frames of `docs/PROTOCOL.md` that this tool speaks, written from that page alone.
//!
//! Reading is lenient as the protocol asks: unknown fields and unknown frame types are ignored.

use std::hash::{DefaultHasher, Hash, Hasher};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tokio_tungstenite::tungstenite::Message;

use crate::ids::{ConversationId, UserId};

/// Which of the two subprotocols a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Encoding {
    /// `tidings.v1.json`
    Json,
    /// `tidings.v1.msgpack`
    Msgpack,
}

impl Encoding {
    /// The name to ask for in `Sec-WebSocket-Protocol`.
    pub fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "tidings.v1.json",
            Self::Msgpack => "tidings.v1.msgpack",
        }
    }

    /// Encodes one client frame as a WebSocket message.
    pub fn encode(self, frame: &ClientFrame<'_>) -> Result<Message> {
        Ok(match self {
            Self::Json => Message::text(serde_json::to_string(frame)?),
            Self::Msgpack => Message::binary(rmp_serde::to_vec_named(frame)?),
        })
    }

    /// Decodes one server frame. `Ok(None)` for control frames, which carry no protocol frame.
    pub fn decode(self, message: &Message) -> Result<Option<ServerFrame>> {
        match message {
            Message::Text(text) => {
                serde_json::from_str(text.as_str()).map(Some).with_context(|| format!("frame {text}"))
            }
            Message::Binary(bytes) => rmp_serde::from_slice(bytes).map(Some).context("MessagePack frame"),
            _ => Ok(None),
        }
    }
}

/// What this tool sends.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientFrame<'a> {
    /// The first frame of every connection.
    Hello {
        /// Access token.
        token: &'a str,
        /// The cursor of the last `welcome` or `heads`, to hear only of what changed since.
        #[serde(skip_serializing_if = "Option::is_none")]
        cursor: Option<&'a str>,
        /// The session to take over from, when the server asked to reconnect.
        #[serde(skip_serializing_if = "Option::is_none")]
        handover: Option<&'a str>,
    },
    /// A message to a conversation, or directly to a user.
    Send {
        /// Answered by an `ack` or `error` with the same id.
        id: u64,
        /// The conversation, unless `to` is given.
        #[serde(skip_serializing_if = "Option::is_none")]
        conversation: Option<&'a str>,
        /// The other user of a direct conversation.
        #[serde(skip_serializing_if = "Option::is_none")]
        to: Option<&'a str>,
        /// Idempotency key, a UUID as text.
        client_id: &'a str,
        /// The text.
        body: &'a str,
    },
    /// Asks for exactly the events that are lacking.
    Sync {
        /// Repeated by every `events` frame and the `synced` that ends the answer.
        id: u64,
        /// One range a conversation.
        ranges: &'a [SyncRange],
    },
    /// A new token for this connection.
    Auth {
        /// Answered by `ok`.
        id: u64,
        /// Access token of the same user.
        token: &'a str,
    },
}

/// One range of a `sync`: the `limit` events that follow `after`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SyncRange {
    /// Conversation id.
    pub conversation: String,
    /// The seq before the first one wanted.
    pub after: u64,
    /// How many are wanted.
    pub limit: u64,
}

/// The `type` of a server frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrameType {
    /// Answer to `hello`.
    Welcome,
    /// A live event.
    Event,
    /// A part of an answer to `sync`.
    Events,
    /// The end of an answer to `sync`.
    Synced,
    /// A send was committed.
    Ack,
    /// These conversations moved.
    Heads,
    /// Live push pauses.
    Lagging,
    /// The server asks to move to a new connection.
    Reconnect,
    /// The token ends soon.
    TokenExpiring,
    /// Answers one request with a failure.
    Error,
    /// Every type this tool has no use for.
    #[serde(other)]
    Other,
}

/// A server frame, flat: one struct parses in one pass, where an internally tagged enum buffers every frame
/// first.
#[derive(Debug, Deserialize)]
pub struct ServerFrame {
    /// Says which of the other fields mean something.
    #[serde(rename = "type")]
    pub kind: FrameType,
    /// The request answered.
    #[serde(default)]
    pub id: Option<u64>,
    /// Conversation of an `event`, `events` or `ack`.
    #[serde(default)]
    pub conversation: Option<ConversationId>,
    /// Of a `send`'s `ack`: the key was known already.
    #[serde(default)]
    pub duplicate: bool,
    /// The events of an `events` frame.
    #[serde(default)]
    pub events: Vec<Event>,
    /// `synced`: a range was cut short.
    #[serde(default)]
    pub more: bool,
    /// `welcome` and `heads`.
    #[serde(default)]
    pub heads: Vec<Head>,
    /// `welcome` and `heads`: the position to resume from.
    #[serde(default)]
    pub cursor: Option<String>,
    /// `welcome` and `heads`: the log is another one, and nothing that was held counts.
    #[serde(default)]
    pub reset: bool,
    /// `welcome`: this session's id.
    #[serde(default)]
    pub session: Option<String>,
    /// `welcome`: what the server takes.
    #[serde(default)]
    pub limits: Limits,
    /// `error`: one of the catalogue's codes.
    #[serde(default)]
    pub code: Option<String>,
    /// `error`: repeating may succeed.
    #[serde(default)]
    pub retryable: bool,
    /// `error`: it did not happen and never will.
    #[serde(default)]
    pub definite: bool,
    /// `error`: how long to wait first.
    #[serde(default)]
    pub retry_after_ms: Option<u64>,
    /// `reconnect`: how long to wait first.
    #[serde(default)]
    pub after_ms: Option<u64>,
    /// `reconnect`: the session to name in the new `hello`.
    #[serde(default)]
    pub handover: Option<String>,
    /// `event` and `ack`: the place in the conversation's order.
    #[serde(default)]
    pub seq: u64,
    /// `event`: what happened.
    #[serde(default, rename = "kind")]
    event_kind: Option<String>,
    #[serde(default)]
    sender: Option<UserId>,
    #[serde(default)]
    sent_at: Option<String>,
    #[serde(default)]
    message_id: Option<String>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    client_id: Option<String>,
    /// A user's id in an event; `welcome` may carry more than the id.
    #[serde(default)]
    user: Option<serde_json::Value>,
    #[serde(default)]
    target_seq: Option<u64>,
}

impl ServerFrame {
    /// The live event of an `event` frame, with its conversation; `None` when the frame lacks what makes one.
    pub fn take_event(&mut self) -> Option<(ConversationId, Event)> {
        let event = Event {
            seq: self.seq,
            kind: self.event_kind.take()?,
            sender: self.sender.take(),
            sent_at: self.sent_at.take(),
            message_id: self.message_id.take(),
            body: self.body.take(),
            client_id: self.client_id.take(),
            user: self.user.take(),
            target_seq: self.target_seq,
        };
        Some((self.conversation.clone()?, event))
    }
}

/// One event of a conversation's log, as `events` frames and `/events` carry it.
#[derive(Clone, Debug, Deserialize)]
pub struct Event {
    /// The place in the conversation's order.
    pub seq: u64,
    /// What happened.
    pub kind: String,
    /// Who did it.
    #[serde(default)]
    pub sender: Option<UserId>,
    /// The server's time.
    #[serde(default)]
    pub sent_at: Option<String>,
    /// `message`: its id.
    #[serde(default)]
    pub message_id: Option<String>,
    /// `message`: its text.
    #[serde(default)]
    pub body: Option<String>,
    /// `message`: the idempotency key, shown to the sender's own devices only.
    #[serde(default)]
    pub client_id: Option<String>,
    /// `member_joined` and `member_left`: who.
    #[serde(default)]
    pub user: Option<serde_json::Value>,
    /// What an edit, delete or reaction is about.
    #[serde(default)]
    pub target_seq: Option<u64>,
}

impl Event {
    /// A digest of everything that must be the same for every reader of this seq.
    pub fn identity(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.seq, &self.kind, &self.sender, &self.sent_at, &self.message_id, &self.body, self.target_seq)
            .hash(&mut hasher);
        self.user.as_ref().and_then(|user| user.as_str()).hash(&mut hasher);
        hasher.finish()
    }

    /// The digest of a message's text; `None` for every other kind.
    pub fn body_hash(&self) -> Option<u64> {
        (self.kind == "message").then(|| body_hash(self.body.as_deref().unwrap_or_default()))
    }

    /// Who joined or left.
    pub fn member(&self) -> Option<UserId> {
        self.user.as_ref().and_then(|user| user.as_str()).map(UserId::from)
    }
}

/// The digest by which a text is found again in the log.
pub fn body_hash(body: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    hasher.finish()
}

/// Where a conversation stands, from `welcome` and `heads`.
#[derive(Clone, Debug, Deserialize)]
pub struct Head {
    /// Which one.
    pub conversation: ConversationId,
    /// The newest event.
    #[serde(default)]
    pub last_seq: u64,
    /// The first event this user may see.
    #[serde(default)]
    pub first_seq: u64,
    /// The user is no longer a member; nothing else is told.
    #[serde(default)]
    pub left: bool,
}

/// The part of `welcome.limits` that a sender and a reader must keep.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Longest body, in bytes.
    pub body_bytes: usize,
    /// Most events one `sync` answers.
    pub sync_events: u64,
    /// Most ranges in one `sync`.
    pub sync_ranges: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body_bytes: 1_000, sync_events: 500, sync_ranges: 200 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_encodings_write_the_same_fields() {
        let frame =
            ClientFrame::Send { id: 7, conversation: Some("c"), to: None, client_id: "k", body: "hi" };
        let Message::Text(text) = Encoding::Json.encode(&frame).unwrap() else { panic!("text") };
        let Message::Binary(bytes) = Encoding::Msgpack.encode(&frame).unwrap() else { panic!("binary") };
        let json: serde_json::Value = serde_json::from_str(text.as_str()).unwrap();
        let msgpack: serde_json::Value = rmp_serde::from_slice(&bytes).unwrap();
        assert_eq!(json, msgpack);
        assert_eq!(
            json,
            serde_json::json!({"type": "send", "id": 7, "conversation": "c", "client_id": "k", "body": "hi"})
        );
    }

    #[test]
    fn unknown_types_and_fields_are_ignored() {
        let frame = Message::text(r#"{"type":"weather","wind":3}"#);
        assert_eq!(Encoding::Json.decode(&frame).unwrap().unwrap().kind, FrameType::Other);
        let welcome = r#"{"type":"welcome","session":"s","user":{"id":"u","guest":true},"cursor":"x","new":[1],
            "limits":{"body_bytes":9,"sync_events":5,"sync_ranges":2,"more":1},
            "heads":[{"conversation":"c","kind":"channel","last_seq":4,"read_seq":0,"unread":4,"first_seq":1}]}"#;
        let frame = Encoding::Json.decode(&Message::text(welcome)).unwrap().unwrap();
        assert_eq!((frame.limits.body_bytes, frame.heads[0].last_seq), (9, 4));
    }

    #[test]
    fn an_event_is_the_same_live_and_from_the_log() {
        let live = r#"{"type":"event","conversation":"c","seq":3,"kind":"message","sender":"u",
            "sent_at":"2026-01-01T00:00:00.000Z","message_id":"m","body":"hi"}"#;
        let log = r#"{"seq":3,"kind":"message","sender":"u","sent_at":"2026-01-01T00:00:00.000Z","message_id":"m",
            "body":"hi","client_id":"only the sender sees it"}"#;
        let mut frame = Encoding::Json.decode(&Message::text(live)).unwrap().unwrap();
        let (conversation, event) = frame.take_event().unwrap();
        let stored: Event = serde_json::from_str(log).unwrap();
        assert_eq!(conversation.as_str(), "c");
        assert_eq!(event.identity(), stored.identity());
        assert_eq!(event.body_hash(), Some(body_hash("hi")));
    }
}
