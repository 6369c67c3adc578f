//! What the server says, apart from events ([`super::event`]).

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

/// `welcome`: the session stands; live events begin after the heads' `last_seq`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Welcome {
    /// This session, for a later `handover`.
    pub session: SessionId,
    /// Whom the token names.
    pub user: UserId,
    /// The server's clock when this was written.
    pub server_time: Timestamp,
    /// How often the server pings.
    pub heartbeat_ms: u64,
    /// The limits in force.
    pub limits: LimitsView,
    /// What to give in the next `hello`; absent while more heads are to come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// The conversations that moved.
    pub heads: Vec<HeadEntry>,
    /// More follow in `heads` frames.
    pub more_heads: bool,
    /// The log is another one than that of the cursor which the client brought: nothing it holds counts any
    /// more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reset: bool,
    /// How long the token lives.
    pub token_expires_in_ms: u64,
}

macro_rules! limits_view {
    ($($(#[$doc:meta])* $name:ident: $kind:ty = $default:expr, $least:expr, $most:expr;)+) => {
        /// The limits as clients see them.
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

/// What `heads` lists.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum HeadEntry {
    /// A conversation that moved.
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
    /// Of which conversation.
    pub conversation: ConversationId,
    /// Its kind.
    pub kind: ConversationKind,
    /// Always true.
    pub left: bool,
}

/// One conversation that moved.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct HeadView {
    /// The conversation it describes.
    pub conversation: ConversationId,
    /// Its kind.
    pub kind: ConversationKind,
    /// Its newest event.
    pub last_seq: Seq,
    /// Up to where this user has read.
    pub read_seq: Seq,
    /// How many messages of others come after that.
    pub unread: u64,
    /// The first event this user may see.
    pub first_seq: Seq,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The other user of a direct conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<UserId>,
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
        }
    }
}

/// Presence of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PresenceState {
    /// A device is in the foreground.
    Online,
    /// Devices are connected, all in the background.
    Away,
    /// None is connected.
    Offline,
}

/// Everything the server can say, apart from `event`.
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
