//! The log: appending, changing, and reading it back by seq or by position.

use std::sync::Arc;

use async_trait::async_trait;
use thiserror::Error;

use super::{Outcome, StoreError};
use crate::domain::{
    Changes, ClientId, Committed, Content, ConversationId, Event, Head, Mark, Position, Refusal, Role, Seq,
    Timestamp, UserId,
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
    /// The conversation meant, when `sender` says it.
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
    /// Who says it.
    pub sender: UserId,
    /// The conversation it is sent to.
    pub target: Target,
    /// The idempotency key.
    pub client_id: ClientId,
    /// What it says.
    pub content: Content,
}

/// A send that is in the log, by this call or an earlier one.
#[derive(Debug, Clone)]
pub struct Appended {
    /// The conversation.
    pub conversation: ConversationId,
    /// The message's place.
    pub seq: Seq,
    /// When the first try was accepted.
    pub sent_at: Timestamp,
    /// The event to publish; `None` when an earlier call committed it (a duplicate).
    pub committed: Option<Committed>,
}

/// Why a message of a batch is not in the log, or not known to be.
#[derive(Debug, Clone, Error)]
pub enum AppendError {
    /// A definite no that concerns this message.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The database failed after other messages of the batch were answered; what it says of definiteness
    /// holds for this message.
    #[error(transparent)]
    Failed(#[from] StoreError),
}

/// A change to what is already there. Each is idempotent: what holds already makes no event.
#[derive(Debug, Clone)]
pub enum Change {
    /// Replace a message's body.
    Edit {
        /// The message's place.
        target: Seq,
        /// The new body.
        body: String,
        /// The idempotency key; shares its numbers with the keys of sends. A repetition under it changes
        /// nothing.
        client_id: Option<ClientId>,
    },
    /// Remove a message's content for good, from the message and from every edit of it.
    Delete {
        /// The message's place.
        target: Seq,
    },
    /// Add or take back a reaction.
    React {
        /// The message's place.
        target: Seq,
        /// Which one.
        emoji: String,
        /// Add (true) or take back.
        on: bool,
    },
    /// Make `user` a member (oneself: join; another: invite).
    Join {
        /// Who becomes a member.
        user: UserId,
        /// As what.
        role: Role,
    },
    /// End `user`'s membership (one's own: leave).
    Leave {
        /// Who leaves.
        user: UserId,
    },
    /// Give `user` a role; `Owner` hands ownership over and makes the actor an admin.
    SetRole {
        /// The member concerned.
        user: UserId,
        /// Their new role.
        role: Role,
    },
    /// Keep `user`, a member, from saying anything there.
    Mute {
        /// The member concerned.
        user: UserId,
        /// For how long from now on; 0 lifts it.
        duration_ms: u64,
    },
    /// Change settings (`name`, `history`, `join` of [`Changes`]).
    Configure(Changes),
    /// Delete the conversation: content goes, every membership ends.
    DeleteConversation,
}

impl Change {
    /// The user whose membership it concerns.
    pub const fn user(&self) -> Option<UserId> {
        match self {
            Self::Join { user, .. }
            | Self::Leave { user }
            | Self::SetRole { user, .. }
            | Self::Mute { user, .. } => Some(*user),
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
    /// The place of the event that made it so, by this call or an earlier one.
    pub seq: Seq,
    /// What this call committed, in seq order; empty when everything held already.
    pub committed: Vec<Committed>,
}

/// A client's place in its user's history: which log (epoch), and how far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The log's incarnation; changes when a database was restored or failed over with a doubtful tail.
    pub epoch: u64,
    /// Everything before this position was seen.
    pub position: Position,
}

/// An answer to "what moved since?", read from one snapshot.
#[derive(Debug, Clone)]
pub struct Heads {
    /// Where to go on from next time.
    pub cursor: Cursor,
    /// The conversations that moved, by conversation id.
    pub heads: Vec<Head>,
    /// Those of `heads` without an event since then, by id: the user's membership moved, as by a receipt of
    /// another device.
    pub quiet: Vec<ConversationId>,
    /// What the user is no longer a member of since then, by id, with the event that ended it: they left,
    /// were removed, or the conversation was deleted.
    pub left: Vec<(ConversationId, Seq)>,
    /// Every channel the user is a member of with its newest seq, moved or not: what to subscribe to.
    pub channels: Vec<(ConversationId, Seq)>,
}

/// One range of a `sync`.
#[derive(Debug, Clone, Copy)]
pub struct RangeQuery {
    /// Whose events.
    pub conversation: ConversationId,
    /// Those after this seq.
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
    /// Events exist beyond these.
    pub more: bool,
}

/// Which page of history.
#[derive(Debug, Clone, Copy)]
pub struct HistoryQuery {
    /// Whose messages.
    pub conversation: ConversationId,
    /// Those before this seq (newest first), …
    pub before: Option<Seq>,
    /// … or those after this one (oldest first). Neither: the newest page.
    pub after: Option<Seq>,
    /// At most this many.
    pub limit: usize,
}

/// How often a reaction was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReactionCount {
    /// The reaction's emoji.
    pub emoji: String,
    /// By how many.
    pub count: u64,
    /// By the viewer too.
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
    /// More lie beyond, in the direction asked.
    pub more: bool,
}

/// A receipt that moved something.
#[derive(Debug, Clone)]
pub struct Marked {
    /// Whose, where, and the positions now in force.
    pub mark: Mark,
    /// Who is to be told: the members of a direct or group conversation; in a channel only the user's own
    /// devices.
    pub audience: Arc<[UserId]>,
}

/// A stretch of the log in commit order.
#[derive(Debug, Clone)]
pub struct Tail {
    /// The events, ready to publish.
    pub committed: Vec<Committed>,
    /// Read on from here.
    pub next: Position,
}

/// Numbers of transactions that hold the log's end back, as of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// The positions of those that have written, in any database of the server, and are not decided.
    pub numbers: Vec<Position>,
    /// No position so high was given yet.
    pub next: Position,
}

/// Appending, changing and reading events.
#[async_trait]
pub trait Log: Send + Sync {
    /// Appends a batch in one go, and in one transaction unless a key occurs twice or a row cannot be stored:
    /// deduplicates, checks membership and blocks, gives seqs, inserts.
    ///
    /// Answers one result per message, in order. A [`Refusal`] concerns its message alone: `NotMember`,
    /// `NotFound` (no such conversation or user), `Blocked`, `Muted`, `Conflict` (the `client_id` was used
    /// for something else), `Invalid` (`reply_to` names no message). The sender's read position moves to its
    /// message.
    ///
    /// # Errors
    /// [`StoreError`] concerns every message: none was answered. When indefinite, the same batch may be given
    /// again.
    async fn append(
        &self,
        batch: &[NewMessage],
        now: Timestamp,
    ) -> Result<Vec<Result<Appended, AppendError>>, StoreError>;

    /// Carries out one change as `actor`, in one transaction.
    async fn change(
        &self,
        actor: UserId,
        conversation: ConversationId,
        change: &Change,
        now: Timestamp,
    ) -> Outcome<Changed>;

    /// Moves receipts forward, in one transaction; answers those that moved something. Marks of non-members
    /// and backward marks are dropped.
    async fn mark(&self, marks: &[Mark], now: Timestamp) -> Result<Vec<Marked>, StoreError>;

    /// What `user` may see of a range. Refusals: `NotFound`, `NotMember`.
    async fn range(&self, user: UserId, query: RangeQuery) -> Outcome<RangeEvents>;

    /// A page of messages as `user` may see it. Refusals: `NotFound`, `NotMember`.
    async fn history(&self, user: UserId, query: HistoryQuery) -> Outcome<HistoryPage>;

    /// The conversations of `user` that moved since `since` (all without it, or when its epoch is another),
    /// from one snapshot taken after this call began. Moved: an event, a membership, or one's own receipt on
    /// another device.
    async fn heads(&self, user: UserId, since: Option<Cursor>) -> Result<Heads, StoreError>;

    /// The heads of those of some conversations that `user` is a member of, moved or not.
    async fn heads_of(&self, user: UserId, conversations: &[ConversationId])
    -> Result<Vec<Head>, StoreError>;

    /// Events of a conversation after a seq, ready to publish: for healing holes in delivery. Each is for
    /// those who were members when it was committed, as in [`Log::tail`] and [`Log::ahead`], and
    /// not those who are members now.
    async fn stretch(
        &self,
        conversation: ConversationId,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<Committed>, StoreError>;

    /// Committed events from `after` on in commit order, at most `limit`, for log consumers.
    async fn tail(&self, after: Position, limit: usize) -> Result<Tail, StoreError>;

    /// Events from `after` on that are committed, at most `limit`, whether or not what has an earlier
    /// position is decided; `next` is where to read on when there were as many. Ordered as by [`Log::tail`]:
    /// of each conversation nothing is left out.
    async fn ahead(&self, after: Position, limit: usize) -> Result<Tail, StoreError>;

    /// What holds the log's end back. An event that [`Log::ahead`], asked after this, does not show has a
    /// position of [`Running::numbers`], or [`Running::next`] or more, or its predecessor's.
    async fn running(&self) -> Result<Running, StoreError>;

    /// Where the log ends now.
    async fn end(&self) -> Result<Cursor, StoreError>;

    /// Answers within its timeout when the database can read and write.
    async fn ping(&self) -> Result<(), StoreError>;
}
