//! The events of a conversation's log.

use std::sync::Arc;

use super::{ConversationId, Message, Position, Role, Seq, Timestamp, UserId};

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

/// Hands the table of what a change says to the macro `$then`: documentation, name and type. What concerns
/// one member is a pair of the user and a value, whose name follows its type. Clients, the bus, the log and
/// the tests of each take the fields from here. Types have their whole path, because the table is read in
/// several files.
macro_rules! with_changes {
    ($then:ident) => {
        $then! {
            {
                /// The new name.
                name: String;
                /// The new topic; empty: it has none any more.
                topic: String;
                /// The new history policy.
                history: crate::domain::HistoryPolicy;
                /// The new join policy.
                join: crate::domain::JoinPolicy;
                /// Why an admin banned a user, in the admin's words.
                reason: String;
            }
            {
                /// A member's new role.
                role: crate::domain::Role as role;
                /// A member may say nothing until then; not after the event: a mute was lifted.
                muted: crate::domain::Timestamp as until;
                /// A user may not become a member until then; not after the event: a ban was lifted.
                banned: crate::domain::Timestamp as until;
            }
        }
    };
}
pub(crate) use with_changes;

macro_rules! changes {
    (
        { $($(#[$doc:meta])* $name:ident: $kind:ty;)+ }
        { $($(#[$about:meta])* $of_member:ident: $value:ty as $key:ident;)+ }
    ) => {
        /// What changed about a conversation. An absent field did not change.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct Changes {
            $($(#[$doc])* pub $name: Option<$kind>,)+
            $($(#[$about])* pub $of_member: Option<(UserId, $value)>,)+
            /// The conversation was deleted; no event follows.
            pub deleted: bool,
        }
    };
}

with_changes!(changes);

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
