//! The durable truth: what an ack depends on, and nothing else.
//!
//! Traits here; rules that both databases share in `sql`; what differs in the folders of the backends
//! ([`sqlite`] embedded, [`postgres`] for a fleet). One behavioural suite (`tests/contract/`) runs over every
//! backend. To add a backend: implement the traits, name it in `app`, add it to the suite.
//!
//! **Rules every backend keeps**
//! - An operation is one transaction. What it returned is committed; an [`StoreError::Unavailable`] says
//!   whether it may be.
//! - Seqs of a conversation are given under that conversation's lock, after deduplication: no holes, ever.
//! - Permissions are decided by [`crate::domain::permissions`] on rows read in the same transaction, or on
//!   rows that are compared when the change is written. Where a statement has to decide by itself, because a
//!   send is one round trip to Postgres (docs/adr/0010-the-log-on-postgres.md), `sql/permissions.rs` has the
//!   rule as SQL, and `tests/contract/suite/sending.rs` compares the two.
//! - "Not there" is `Ok(None)`; a definite no is a [`Refusal`]; only a broken dependency is a [`StoreError`].
//! - Nothing pages by OFFSET; nothing reads without a limit.

mod accounts;
mod consumers;
mod conversations;
mod deadline;
mod error;
mod guarded;
mod jobs;
mod log;
pub mod postgres;
mod shared;
mod sql;
pub mod sqlite;

use std::sync::Arc;

pub use accounts::{
    Accounts, Credentials, Family, FamilyRotation, NewFamily, NewUser, NewUserOutcome, Revocation,
    RevocationCursor,
};
pub use consumers::{Consumers, Lease};
pub use conversations::{
    ChannelOrder, ChannelPlace, ConversationView, Conversations, Created, MemberView, NewConversation,
    OpenChannel, Page, Preview,
};
pub use deadline::within;
pub use error::StoreError;
pub use guarded::Guarded;
pub use jobs::{Backlog, JobKind, Jobs, Purged, Step, Worked};
pub use log::{
    AppendError, Appended, Change, Changed, Cursor, Heads, HistoryPage, HistoryQuery, Log, Marked,
    MessageView, NewMessage, RangeEvents, RangeQuery, ReactionCount, Running, Tail, Target,
};
pub use sql::text::SchemaStep;

use crate::domain::Refusal;
pub use crate::domain::{Head, Mark};

/// A store operation's outcome: done, a definite no, or a broken dependency.
pub type Outcome<T> = Result<Result<T, Refusal>, StoreError>;

/// Everything durable, as one shared handle.
pub trait Store: Log + Conversations + Accounts + Consumers + Jobs {}
impl<T: Log + Conversations + Accounts + Consumers + Jobs> Store for T {}

/// How the store is shared: behind [`Guarded`], so that nobody outside needs a timeout of its own.
pub type SharedStore = Arc<dyn Store>;
