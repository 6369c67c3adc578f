//! The events of a conversation's log.

use std::sync::Arc;

use super::{ConversationId, HistoryPolicy, JoinPolicy, Message, Position, Role, Seq, Timestamp, UserId};

/// One durable event of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The conversation.
    pub conversation: ConversationId,
    /// Its seq.
    pub seq: Seq,
    /// The user who caused it.
    pub sender: UserId,
    /// When the server accepted it.
    pub sent_at: Timestamp,
    /// What happened.
    pub kind: EventKind,
}

/// The kinds of events.
#[derive(Debug, Clone, PartialEq)]
pub enum EventKind {
    /// A message. Read later it has its present content, not the first.
    Message(Message),
    /// A message's body was replaced. `body` is `None` once the message is deleted.
    Edit {
        /// The message.
        target: Seq,
        /// The body as of this edit.
        body: Option<String>,
    },
    /// A message's content was removed permanently.
    Delete {
        /// The message.
        target: Seq,
    },
    /// A reaction was added or removed.
    Reaction {
        /// The message.
        target: Seq,
        /// The reaction.
        emoji: String,
        /// Whether it was added or removed.
        on: bool,
    },
    /// A user became a member.
    MemberJoined {
        /// The new member.
        user: UserId,
        /// The new member's role.
        role: Role,
    },
    /// A user is no longer a member.
    MemberLeft {
        /// The former member.
        user: UserId,
        /// Why they left.
        reason: LeaveReason,
    },
    /// Settings or a member's role changed.
    ConversationChanged(Changes),
}

/// Why a user is no longer a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaveReason {
    /// The user left.
    Left,
    /// An admin removed the user.
    Removed,
    /// The user's account was erased.
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

/// What changed about a conversation. An absent field did not change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// The new name.
    pub name: Option<String>,
    /// The new history policy.
    pub history: Option<HistoryPolicy>,
    /// The new join policy.
    pub join: Option<JoinPolicy>,
    /// A member's new role.
    pub role: Option<(UserId, Role)>,
    /// The conversation was deleted; no event follows.
    pub deleted: bool,
}

/// Who gets an event: the channel's subscribers, or the named users.
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
    /// Its position in the log.
    pub position: Position,
    /// The position of its predecessor in the same conversation; `Position(0)` for the first event. A node
    /// that begins to follow the conversation with this event sees from it whether the predecessor is before
    /// its own snapshot.
    pub previous: Position,
    /// Who gets it.
    pub audience: Audience,
}
