//! The frames that the server sends, except events ([`super::event`]).

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::client::RequestId;
use super::error::Error;
use super::event::EventList;
use crate::domain::{
    ConversationId, ConversationKind, Event, Head, Limits, MessageId, Seq, SessionId, Timestamp, UserId,
    with_limits,
};

/// `welcome`: the session is live. Live events begin after the `last_seq` of the heads.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Welcome {
    /// The id of this session, for a later `handover`.
    pub session: SessionId,
    /// The user of the token.
    pub user: UserId,
    /// The time on the server's clock when it wrote this frame.
    pub server_time: Timestamp,
    /// The interval between the server's pings, in milliseconds.
    pub heartbeat_ms: u64,
    /// The limits in force.
    pub limits: LimitsView,
    /// The cursor for the next `hello`. It is absent while more heads follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// The conversations that changed since the client's cursor.
    pub heads: Vec<HeadEntry>,
    /// True when more heads follow in `heads` frames.
    pub more_heads: bool,
    /// True when the client's cursor belongs to another log. Then the data that the client holds is no longer
    /// valid.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reset: bool,
    /// The time until the token expires, in milliseconds.
    pub token_expires_in_ms: u64,
}

macro_rules! limits_view {
    ($($(#[$doc:meta])* $name:ident: $kind:ty = $default:expr, $least:expr, $most:expr;)+) => {
        /// The limits that apply to clients.
        #[derive(Debug, Clone, Serialize, JsonSchema)]
        pub struct LimitsView {
            $($(#[$doc])* pub $name: $kind,)+
        }

        impl From<&Limits> for LimitsView {
            fn from(limits: &Limits) -> Self {
                Self { $($name: limits.$name),+ }
            }
        }
    };
}

with_limits!(limits_view);

/// One entry of `heads`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum HeadEntry {
    /// A conversation that changed.
    Moved(HeadView),
    /// A conversation that the user is no longer a member of.
    Left(LeftView),
}

impl From<Head> for HeadEntry {
    fn from(head: Head) -> Self {
        Self::Moved(HeadView::from(head))
    }
}

impl From<ConversationId> for HeadEntry {
    fn from(conversation: ConversationId) -> Self {
        Self::Left(LeftView { conversation, kind: conversation.kind(), left: true })
    }
}

/// A membership that ended: the user left, was removed, or the conversation was deleted.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct LeftView {
    /// The conversation.
    pub conversation: ConversationId,
    /// Its kind.
    pub kind: ConversationKind,
    /// Always true.
    pub left: bool,
}

/// One conversation that changed, as the user sees it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct HeadView {
    /// The id of the conversation.
    pub conversation: ConversationId,
    /// Its kind.
    pub kind: ConversationKind,
    /// The seq of its newest event.
    pub last_seq: Seq,
    /// The seq up to which this user has read.
    pub read_seq: Seq,
    /// The number of messages of other users after `read_seq`.
    pub unread: u64,
    /// The seq of the first event that this user may see.
    pub first_seq: Seq,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The other user of a direct conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<UserId>,
    /// The other user is no contact of this one, and has written. Absent when that is not so.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stranger: bool,
}

impl From<Head> for HeadView {
    fn from(head: Head) -> Self {
        Self {
            conversation: head.conversation,
            kind: head.conversation.kind(),
            last_seq: head.last_seq,
            read_seq: head.read_seq,
            unread: head.unread,
            first_seq: head.first_seq,
            name: head.name,
            peer: head.peer,
            stranger: head.stranger,
        }
    }
}

/// The presence of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PresenceState {
    /// At least one device is in the foreground.
    Online,
    /// Devices are connected, and all are in the background.
    Away,
    /// No device is connected.
    Offline,
}

/// Every frame that the server can send, except `event`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields are those of docs/PROTOCOL.md section 1.2")]
pub enum ServerFrame<'a> {
    Welcome(Box<Welcome>),
    Events {
        id: &'a RequestId,
        conversation: ConversationId,
        events: EventList<'a, Arc<Event>>,
    },
    Synced {
        id: &'a RequestId,
        more: bool,
    },
    Ack {
        id: &'a RequestId,
        conversation: ConversationId,
        seq: Seq,
        #[serde(skip_serializing_if = "Option::is_none")]
        message_id: Option<MessageId>,
        #[serde(skip_serializing_if = "Option::is_none")]
        sent_at: Option<Timestamp>,
        #[serde(skip_serializing_if = "Option::is_none")]
        duplicate: Option<bool>,
    },
    Heads {
        #[serde(skip_serializing_if = "Option::is_none")]
        cursor: Option<&'a str>,
        heads: &'a [HeadEntry],
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        reset: bool,
    },
    Lagging {
        #[serde(skip_serializing_if = "Option::is_none")]
        conversation: Option<ConversationId>,
    },
    Receipt {
        conversation: ConversationId,
        user: UserId,
        #[serde(skip_serializing_if = "Option::is_none")]
        delivered_seq: Option<Seq>,
        #[serde(skip_serializing_if = "Option::is_none")]
        read_seq: Option<Seq>,
    },
    Typing {
        conversation: ConversationId,
        user: UserId,
        on: bool,
    },
    Presence {
        user: UserId,
        state: PresenceState,
        #[serde(skip_serializing_if = "Option::is_none")]
        last_seen: Option<Timestamp>,
    },
    Invited {
        conversation: ConversationId,
        user: UserId,
    },
    Reconnect {
        after_ms: u64,
        deadline_ms: u64,
        handover: bool,
    },
    TokenExpiring {
        expires_in_ms: u64,
    },
    Ok {
        id: &'a RequestId,
    },
    Pong {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a RequestId>,
        server_time: Timestamp,
    },
    Error {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a RequestId>,
        #[serde(flatten)]
        error: &'a Error,
    },
}
