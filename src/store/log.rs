//! The log: appending, changing, and reading it back by seq or by position.

use std::sync::Arc;

use async_trait::async_trait;
use thiserror::Error;

use super::{Outcome, StoreError};
use crate::domain::{
    Changes, ClientId, Committed, Content, ConversationId, Event, Head, Position, Receipt, Refusal, Role,
    Seq, Timestamp, UserId,
};

/// Where a send goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// An existing conversation.
    Conversation(ConversationId),
    /// The direct conversation with this user, made with the first message.
    User(UserId),
}

impl Target {
    /// The conversation of the target when `sender` is the sender.
    pub fn conversation(&self, sender: UserId) -> ConversationId {
        match self {
            Self::Conversation(id) => *id,
            Self::User(other) => ConversationId::direct(sender, *other),
        }
    }
}

/// A send that passed all checks of shape and size.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// The sender.
    pub sender: UserId,
    /// The conversation it is sent to.
    pub target: Target,
    /// The idempotency key.
    pub client_id: ClientId,
    /// The content.
    pub content: Content,
}

/// A send that is in the log, by this call or an earlier one.
#[derive(Debug, Clone)]
pub struct Appended {
    /// The conversation.
    pub conversation: ConversationId,
    /// The message's seq.
    pub seq: Seq,
    /// When the first try was accepted.
    pub sent_at: Timestamp,
    /// The event to publish; `None` when an earlier call committed it (a duplicate).
    pub committed: Option<Committed>,
}

/// Why a message of a batch is not in the log, or may not be in it.
#[derive(Debug, Clone, Error)]
pub enum AppendError {
    /// A definite refusal of this message.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The database failed after other messages of the batch were answered. Whether the failure is definite
    /// also applies to this message.
    #[error(transparent)]
    Failed(#[from] StoreError),
}

/// A change to stored data. Each is idempotent: a change that has no effect makes no event.
#[derive(Debug, Clone)]
pub enum Change {
    /// Replace a message's body.
    Edit {
        /// The message's seq.
        target: Seq,
        /// The new body.
        body: String,
        /// The idempotency key, from the same key space as the keys of sends. A repetition with the same key
        /// changes nothing.
        client_id: Option<ClientId>,
    },
    /// Remove a message's content permanently, from the message and from every edit of it.
    Delete {
        /// The message's seq.
        target: Seq,
    },
    /// Add or remove a reaction.
    React {
        /// The message's seq.
        target: Seq,
        /// The reaction.
        emoji: String,
        /// Add (true) or remove (false).
        on: bool,
    },
    /// Make `user` a member (the actor: join; another user: invite).
    Join {
        /// The new member.
        user: UserId,
        /// The new member's role.
        role: Role,
    },
    /// End `user`'s membership (the actor's own: leave).
    Leave {
        /// The member who leaves.
        user: UserId,
    },
    /// Give `user` a role. `Owner` transfers the ownership and makes the actor an admin.
    SetRole {
        /// The member concerned.
        user: UserId,
        /// Their new role.
        role: Role,
    },
    /// Mute `user`, a member, in the conversation.
    Mute {
        /// The member concerned.
        user: UserId,
        /// The duration from now on, in milliseconds; 0 ends the mute.
        duration_ms: u64,
    },
    /// Remove `user` from the conversation, where they are a member, and keep them out of it.
    Ban {
        /// The user concerned.
        user: UserId,
        /// The end of the ban; not later than now: the ban is lifted.
        until: Timestamp,
        /// Why, in the admin's words.
        reason: Option<String>,
    },
    /// Change settings (`name`, `history`, `join` of [`Changes`]).
    Configure(Changes),
    /// Delete the conversation: its content is removed, and every membership ends.
    DeleteConversation,
}

impl Change {
    /// The user whose membership it concerns.
    pub const fn user(&self) -> Option<UserId> {
        match self {
            Self::Join { user, .. }
            | Self::Leave { user }
            | Self::SetRole { user, .. }
            | Self::Mute { user, .. }
            | Self::Ban { user, .. } => Some(*user),
            Self::Edit { .. }
            | Self::Delete { .. }
            | Self::React { .. }
            | Self::Configure(_)
            | Self::DeleteConversation => None,
        }
    }

    /// The message that it concerns.
    pub const fn target(&self) -> Option<Seq> {
        match self {
            Self::Edit { target, .. } | Self::Delete { target } | Self::React { target, .. } => Some(*target),
            Self::Join { .. }
            | Self::Leave { .. }
            | Self::SetRole { .. }
            | Self::Mute { .. }
            | Self::Ban { .. }
            | Self::Configure(_)
            | Self::DeleteConversation => None,
        }
    }

    /// The role that it gives.
    pub const fn role(&self) -> Option<Role> {
        if let Self::Join { role, .. } | Self::SetRole { role, .. } = self { Some(*role) } else { None }
    }
}

/// A change that is in the log.
#[derive(Debug, Clone)]
pub struct Changed {
    /// The seq of the event that made the change, in this call or an earlier one.
    pub seq: Seq,
    /// The author of the message that this call edited, deleted or reacted to; `None` when nothing had to
    /// change.
    pub author: Option<UserId>,
    /// The events that this call committed, in seq order; empty when nothing had to change.
    pub committed: Vec<Committed>,
    /// The user who was to be added is invited instead, by this call or an earlier one.
    pub invited: Option<Invited>,
}

/// A user is asked whether they want to be a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invited {
    /// By this call.
    Now,
    /// By an earlier call, which the user may have declined.
    Before,
}

/// A client's place in its user's history: the log's epoch and a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The epoch. It changes when a database is restored, or fails over and may have lost its last events.
    pub epoch: u64,
    /// The client has seen everything before this position.
    pub position: Position,
}

/// An answer to "what moved since?", read from one snapshot.
#[derive(Debug, Clone)]
pub struct Heads {
    /// The cursor for the next call.
    pub cursor: Cursor,
    /// The conversations that moved, by conversation id.
    pub heads: Vec<Head>,
    /// The conversations of `heads` without an event since then, by id: only the user's membership changed,
    /// for example by a receipt of another device.
    pub quiet: Vec<ConversationId>,
    /// Conversations that the user is no longer a member of since then, by id, with the event that ended the
    /// membership: the user left, was removed, or the conversation was deleted.
    pub left: Vec<(ConversationId, Seq)>,
    /// Every channel that the user is a member of, with its newest seq, changed or not. The session
    /// subscribes to these.
    pub channels: Vec<(ConversationId, Seq)>,
}

/// One range of a `sync`.
#[derive(Debug, Clone, Copy)]
pub struct RangeQuery {
    /// The conversation.
    pub conversation: ConversationId,
    /// The range begins after this seq.
    pub after: Seq,
    /// At most this many.
    pub limit: usize,
    /// Stop after this many bytes of content (at least one event is returned).
    pub max_bytes: usize,
}

/// Events of one range, ascending and without holes from the first visible seq on.
#[derive(Debug, Clone)]
pub struct RangeEvents {
    /// The events.
    pub events: Vec<Arc<Event>>,
    /// More events exist after these.
    pub more: bool,
}

/// Which page of history.
#[derive(Debug, Clone, Copy)]
pub struct HistoryQuery {
    /// The conversation.
    pub conversation: ConversationId,
    /// Messages before this seq (newest first), …
    pub before: Option<Seq>,
    /// … or messages after this seq (oldest first). Neither: the newest page.
    pub after: Option<Seq>,
    /// At most this many.
    pub limit: usize,
    /// Stop after this many bytes of content (at least one message is returned).
    pub max_bytes: usize,
}

/// The number of users who gave a reaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReactionCount {
    /// The reaction's emoji.
    pub emoji: String,
    /// How many users gave it.
    pub count: u64,
    /// Whether the viewer gave it.
    pub me: bool,
}

/// A message as a history page shows it.
#[derive(Debug, Clone)]
pub struct MessageView {
    /// The message event in its present state.
    pub event: Arc<Event>,
    /// Its reactions, in order of first appearance.
    pub reactions: Vec<ReactionCount>,
}

/// A page of history, ascending by seq.
#[derive(Debug, Clone)]
pub struct HistoryPage {
    /// The messages.
    pub messages: Vec<MessageView>,
    /// More messages exist in the requested direction.
    pub more: bool,
}

/// A receipt that moved a position.
#[derive(Debug, Clone)]
pub struct MovedReceipt {
    /// Whose, where, and the positions now in force.
    pub receipt: Receipt,
    /// Who is to be told: the members of a direct or group conversation; in a channel only the user's own
    /// devices.
    pub audience: Arc<[UserId]>,
}

/// A part of the log, in commit order.
#[derive(Debug, Clone)]
pub struct Tail {
    /// The events, ready to publish.
    pub committed: Vec<Committed>,
    /// The position to continue from.
    pub next: Position,
}

/// The transactions that hold back the log's end at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// The positions of transactions that have written, in any database of the server, and have not ended.
    pub numbers: Vec<Position>,
    /// The lowest position that was not assigned yet.
    pub next: Position,
}

/// Appending, changing and reading events.
#[async_trait]
pub trait Log: Send + Sync {
    /// Appends a batch, in one transaction unless a key occurs twice or a row cannot be stored: deduplicates,
    /// checks membership and blocks, assigns seqs, inserts.
    ///
    /// Returns one result per message, in order. A [`Refusal`] concerns only its message: `NotMember`,
    /// `NotFound` (no such conversation or user), `Blocked`, `Muted`, `Conflict` (the `client_id` was used
    /// for something else), `Invalid` (`reply_to` names no message). The sender's read position moves to its
    /// message.
    ///
    /// # Errors
    /// [`StoreError`] concerns every message: none was answered. If it is indefinite, the caller may repeat
    /// the same batch.
    async fn append(
        &self,
        batch: &[NewMessage],
        now: Timestamp,
    ) -> Result<Vec<Result<Appended, AppendError>>, StoreError>;

    /// Makes one change as `actor`, in one transaction.
    async fn change(
        &self,
        actor: UserId,
        conversation: ConversationId,
        change: &Change,
        now: Timestamp,
    ) -> Outcome<Changed>;

    /// Moves receipts forward, in one transaction; answers those that moved. Receipts of non-members and
    /// backward ones are dropped.
    async fn move_receipts(
        &self,
        receipts: &[Receipt],
        now: Timestamp,
    ) -> Result<Vec<MovedReceipt>, StoreError>;

    /// The events of a range that `user` may see. Refusals: `NotFound`, `NotMember`.
    async fn range(&self, user: UserId, query: RangeQuery) -> Outcome<RangeEvents>;

    /// A page of messages as `user` may see it. Refusals: `NotFound`, `NotMember`.
    async fn history(&self, user: UserId, query: HistoryQuery) -> Outcome<HistoryPage>;

    /// The conversations of `user` that changed since `since` (all of them without `since`, or when its epoch
    /// is another), from one snapshot taken after this call began. A conversation counts as changed after an
    /// event, a change of the membership, or a receipt of the user on another device.
    async fn heads(&self, user: UserId, since: Option<Cursor>) -> Result<Heads, StoreError>;

    /// The heads of the given conversations that `user` is a member of, changed or not.
    async fn heads_of(&self, user: UserId, conversations: &[ConversationId])
    -> Result<Vec<Head>, StoreError>;

    /// Events of a conversation after a seq, ready to publish, to heal holes in delivery. As in [`Log::tail`]
    /// and [`Log::ahead`], the audience of an event is its members when it was committed, not the members
    /// now.
    async fn stretch(
        &self,
        conversation: ConversationId,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<Committed>, StoreError>;

    /// Committed events from `after` on in commit order, at most `limit`, for log consumers.
    async fn tail(&self, after: Position, limit: usize) -> Result<Tail, StoreError>;

    /// Committed events from `after` on, at most `limit`, even if transactions with earlier positions have
    /// not ended. When `limit` events are returned, `next` is the position to continue from. The order is
    /// that of [`Log::tail`]: no event of a conversation is left out.
    async fn ahead(&self, after: Position, limit: usize) -> Result<Tail, StoreError>;

    /// The transactions that hold back the log's end. An event that a later [`Log::ahead`] does not return
    /// has one of these positions: one of [`Running::numbers`], [`Running::next`] or more, or the position of
    /// the event before it.
    async fn running(&self) -> Result<Running, StoreError>;

    /// The end of the log now.
    async fn end(&self) -> Result<Cursor, StoreError>;

    /// Returns within its timeout if the database can read and write.
    async fn ping(&self) -> Result<(), StoreError>;
}
