//! Work that continues in bounded steps after its operation was answered. Any process may run the next step.

use async_trait::async_trait;

use super::StoreError;
use crate::domain::{Committed, ConversationId, Timestamp};

/// The kind of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobKind {
    /// Removes the remaining data of an erased account: memberships, content, reactions.
    Erasure,
    /// Removes the content of a deleted conversation.
    Purge,
    /// Removes messages and reactions of a suspended account.
    Content,
    /// Erases guests who have not been there for long.
    Guests,
}

impl JobKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Erasure, Self::Purge, Self::Content, Self::Guests];

    /// Its name in the table and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Erasure => "erasure",
            Self::Purge => "purge",
            Self::Content => "content",
            Self::Guests => "guests",
        }
    }
}

/// The result of one step of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// More work remains and can be done at once.
    More,
    /// The job waits for a condition; try again later.
    Later,
    /// The job is done, and its row is deleted.
    Done,
    /// No job of the kind is due.
    Idle,
}

/// A step that is committed.
#[derive(Debug)]
pub struct Worked {
    /// The result.
    pub step: Step,
    /// The events it committed, to publish now.
    pub committed: Vec<Committed>,
    /// The progress of a purge; `None` for other kinds.
    pub purged: Option<Purged>,
}

/// One step of removing the content of a deleted conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purged {
    /// The conversation.
    pub conversation: ConversationId,
    /// The number of events that this step processed.
    pub events: u64,
    /// The number of events left in this conversation.
    pub left: u64,
}

/// Jobs that are not done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// The number of jobs.
    pub jobs: u64,
    /// The start time of the oldest of them.
    pub oldest: Option<Timestamp>,
}

/// Jobs. The operation that makes a job necessary writes its row in the same transaction.
#[async_trait]
pub trait Jobs: Send + Sync {
    /// Runs one bounded step of the job of this kind that has waited longest, in one transaction. Any process
    /// may repeat a failed step.
    async fn work(&self, kind: JobKind, now: Timestamp) -> Result<Worked, StoreError>;

    /// Begins a job of [`JobKind::Guests`], unless one is under way: it erases the guests whose account is
    /// older than `before` and who have not signed in or refreshed a token since.
    async fn expire_guests(&self, before: Timestamp, now: Timestamp) -> Result<(), StoreError>;

    /// The jobs of a kind that are not done.
    async fn backlog(&self, kind: JobKind) -> Result<Backlog, StoreError>;

    /// Removes deleted content from the database's files too. Returns false when this must be tried again,
    /// and returns at once when nothing was deleted. A database server manages its own files.
    async fn scrub(&self) -> Result<bool, StoreError>;
}
