//! The durable store. An ack depends on it and on nothing else.
//!
//! The traits are here. `sql` has the rules that both databases share. The folders of the backends
//! ([`sqlite`] embedded, [`postgres`] for a fleet) have the parts that differ. One behavioural suite
//! (`tests/contract/`) runs on every backend. To add a backend: implement the traits, name it in `app`, add
//! it to the suite.
//!
//! **Rules every backend keeps**
//! - An operation is one transaction. Its result is committed. A [`StoreError::Unavailable`] says whether the
//!   transaction may be committed.
//! - Seqs of a conversation are assigned under that conversation's lock, after deduplication, so there are
//!   never holes.
//! - Permissions are decided by [`crate::domain::permissions`] on rows read in the same transaction, or on
//!   rows that are compared when the change is written. Where a statement has to decide by itself, because a
//!   send is one round trip to Postgres (docs/adr/0010-the-log-on-postgres.md), `sql/permissions.rs` has the
//!   rule as SQL, and `tests/contract/suite/sending.rs` compares the two.
//! - An absent row is `Ok(None)`. A definite refusal is a [`Refusal`]. Only a failed dependency is a
//!   [`StoreError`].
//! - No statement pages by OFFSET, and no statement reads without a limit.

mod accounts;
mod audit;
mod consent;
mod consumers;
mod conversations;
mod deadline;
mod error;
mod guarded;
mod jobs;
mod log;
#[cfg(feature = "simulation")]
pub mod model;
mod pooled;
pub mod postgres;
mod shared;
mod sql;
pub mod sqlite;

use std::sync::Arc;

pub use accounts::{
    Accounts, Credentials, Family, FamilyRotation, ListedRevocation, NewFamily, NewUser, NewUserOutcome,
    Revocation, RevocationCursor, RevocationKind, SignInView, SuspendedUser,
};
pub use audit::Audit;
pub use consent::{Consent, InvitationView};
pub use consumers::{Consumers, Holder, Lease};
pub use conversations::{
    BanView, ChannelOrder, ChannelPlace, ConversationView, Conversations, Created, MemberView,
    NewConversation, OpenChannel, Page, Preview,
};
pub use deadline::within;
pub use error::StoreError;
pub use guarded::Guarded;
pub use jobs::{Backlog, JobKind, Jobs, Purged, Step, Worked};
pub use log::{
    AppendError, Appended, Change, Changed, Cursor, Heads, HistoryPage, HistoryQuery, Invited, Log,
    MessageView, MovedReceipt, NewMessage, RangeEvents, RangeQuery, ReactionCount, Running, Tail, Target,
};
pub use sql::text::SchemaStep;

use crate::domain::Refusal;
pub use crate::domain::{Head, Receipt};

/// The result of a store operation: a value, a definite refusal, or a failed dependency.
pub type Outcome<T> = Result<Result<T, Refusal>, StoreError>;

/// The whole store, as one shared handle.
pub trait Store: Log + Conversations + Accounts + Consent + Audit + Consumers + Jobs {}
impl<T: Log + Conversations + Accounts + Consent + Audit + Consumers + Jobs> Store for T {}

/// The shared store, behind [`Guarded`], so that no caller needs its own timeout.
pub type SharedStore = Arc<dyn Store>;
