//! Work that goes on after its operation was answered, in bounded steps. Any process may do the next one.

use async_trait::async_trait;

use super::StoreError;
use crate::domain::{Committed, ConversationId, Timestamp};

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobKind {
    /// Takes out what an erased account left: memberships, content, reactions.
    Erasure,
    /// Takes out what was said in a deleted conversation.
    Purge,
}

impl JobKind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Erasure, Self::Purge];

    /// Its name in the table and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Erasure => "erasure",
            Self::Purge => "purge",
        }
    }
}

/// What one step of a job came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// There is more to do, at once.
    More,
    /// What it waits for has not happened yet; ask again in a while.
    Later,
    /// The job is done and forgotten.
    Done,
    /// No job of the kind is due.
    Idle,
}

/// A step that is committed.
#[derive(Debug)]
pub struct Worked {
    /// What it came to.
    pub step: Step,
    /// The events it committed, to publish now.
    pub committed: Vec<Committed>,
    /// How far a purge has come; `None` for other kinds.
    pub purged: Option<Purged>,
}

/// A step of removing what was said in a deleted conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purged {
    /// Which conversation.
    pub conversation: ConversationId,
    /// How many events this step went over.
    pub events: u64,
    /// How many events are left in this conversation.
    pub left: u64,
}

/// Jobs that are not done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many.
    pub jobs: u64,
    /// When the oldest of them was begun.
    pub oldest: Option<Timestamp>,
}

/// Jobs: each a row that the operation which makes it necessary writes in its own transaction.
#[async_trait]
pub trait Jobs: Send + Sync {
    /// Does one bounded step of the job of this kind that has waited longest, in one transaction. A step that
    /// failed may be done again by anybody.
    async fn work(&self, kind: JobKind, now: Timestamp) -> Result<Worked, StoreError>;

    /// The jobs of a kind that are not done.
    async fn backlog(&self, kind: JobKind) -> Result<Backlog, StoreError>;

    /// Makes sure that what was removed is in no file of the database either; false when that has to be tried
    /// again. Answers at once when nothing was removed. A database server looks after its own files.
    async fn scrub(&self) -> Result<bool, StoreError>;
}
