//! The events of a conversation's log.

use std::sync::Arc;

use super::{ConversationId, HistoryPolicy, JoinPolicy, Message, Position, Role, Seq, Timestamp, UserId};

/// One durable event at its place in its conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Whose log.
    pub conversation: ConversationId,
    /// Its place there.
    pub seq: Seq,
    /// Who caused it.
    pub sender: UserId,
    /// When the server accepted it.
    pub sent_at: Timestamp,
    /// What happened.
    pub kind: EventKind,
}

/// What can happen in a conversation.
#[derive(Debug, Clone, PartialEq)]
pub enum EventKind {
    /// Something was said. Read later it carries its present content, not the first.
    Message(Message),
    /// A message's body was replaced. `body` is `None` once the message is deleted.
    Edit {
        /// The message.
        target: Seq,
        /// The body as of this edit.
        body: Option<String>,
    },
    /// A message's content was removed for good.
    Delete {
        /// The message.
        target: Seq,
    },
    /// A reaction came or went.
    Reaction {
        /// The message.
        target: Seq,
        /// Which one.
        emoji: String,
        /// Came (true) or went.
        on: bool,
    },
    /// Somebody became a member.
    MemberJoined {
        /// The new member.
        user: UserId,
        /// As what.
        role: Role,
    },
    /// Somebody is a member no more.
    MemberLeft {
        /// The former member.
        user: UserId,
        /// Why they left.
        reason: LeaveReason,
    },
    /// Settings or somebody's role changed.
    ConversationChanged(Changes),
}

/// Why somebody is a member no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaveReason {
    /// By their own wish.
    Left,
    /// By an admin's.
    Removed,
    /// Their account was erased.
    Erased,
}

impl LeaveReason {
    /// The reason's name on the wire and in stores.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Removed => "removed",
            Self::Erased => "erased",
        }
    }

    /// The reason of a name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Left, Self::Removed, Self::Erased].into_iter().find(|reason| reason.as_str() == text)
    }
}

/// What changed about a conversation; absent fields stayed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// The new name.
    pub name: Option<String>,
    /// The new history policy.
    pub history: Option<HistoryPolicy>,
    /// The new join policy.
    pub join: Option<JoinPolicy>,
    /// Somebody's new role.
    pub role: Option<(UserId, Role)>,
    /// The conversation was deleted; nothing follows.
    pub deleted: bool,
}

/// Who is to be told of an event: the channel's subscribers, or the named users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audience {
    /// The members of a direct or group conversation; in a channel, the user whose membership the event
    /// changes.
    pub users: Arc<[UserId]>,
}

/// An event that is committed in the log, with what delivery needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Committed {
    /// The event.
    pub event: Arc<Event>,
    /// Its place in the log as a whole.
    pub position: Position,
    /// The place of its predecessor in the same conversation; `Position(0)` for the first. A node that starts
    /// to follow a conversation here knows from it whether the predecessor lies before its own snapshot.
    pub previous: Position,
    /// Who is to be told.
    pub audience: Audience,
}
