//! The history of commits, from which every copy of the database is made.

use tokio::time::Instant;

use super::copy::{Copy, Write};
use super::warm::empty;
use crate::store::sql;

/// One transaction that ended.
#[derive(Debug)]
pub(super) struct Commit {
    pub at: Instant,
    /// The position of the transaction; `None` for the epoch of a server.
    pub position: Option<u64>,
    /// Empty when it was rolled back.
    pub writes: Vec<Write>,
    /// Where the log ended afterwards.
    pub end: u64,
}

/// The transactions since the tables were made, in the order in which they ended.
#[derive(Debug, Default)]
pub(super) struct History(Vec<Commit>);

impl History {
    pub(super) fn push(&mut self, commit: Commit) {
        self.0.push(commit);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The entries from the one with this index on.
    pub(super) fn since(&self, index: usize) -> &[Commit] {
        self.0.get(index..).unwrap_or_default()
    }

    /// Takes the first `kept` entries out; the rest is dropped.
    pub(super) fn first(&mut self, kept: usize) -> Self {
        self.0.truncate(kept);
        Self(std::mem::take(&mut self.0))
    }

    /// The number of entries before the last `lost` transactions that wrote something.
    pub(super) fn without_last(&self, lost: usize) -> usize {
        let wrote = |commit: &Commit| commit.position.is_some() && !commit.writes.is_empty();
        let mut wrote = self.0.iter().enumerate().rev().filter(|(_, commit)| wrote(commit));
        match lost.checked_sub(1) {
            None => self.0.len(),
            Some(before) => wrote.nth(before).map_or(0, |(index, _)| index),
        }
    }

    /// The highest position in the first `kept` entries.
    pub(super) fn highest(&self, kept: usize) -> u64 {
        self.0[..kept].iter().filter_map(|commit| commit.position).max().unwrap_or_default()
    }

    /// A copy with the first `kept` entries.
    pub(super) fn replayed(&self, kept: usize) -> sql::Result<Copy> {
        let copy = empty()?;
        copy.begin()?;
        for commit in &self.0[..kept] {
            copy.repeat(&commit.writes)?;
        }
        copy.commit()?;
        Ok(copy)
    }
}
