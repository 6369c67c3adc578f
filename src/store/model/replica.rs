//! A replica: a copy that applies the primary's commits later.

use std::time::Duration;

use tokio::time::Instant;

use super::copy::{Copy, Sight};
use super::history::{Commit, History};
use crate::store::sql;

/// How a replica follows its primary.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Settings {
    pub lag: Duration,
    pub frozen: bool,
}

#[derive(Debug)]
pub(super) struct Replica {
    pub copy: Copy,
    /// The number of commits of the history that it has.
    applied: usize,
    settings: Settings,
    /// Where its log ends.
    end: u64,
}

impl Replica {
    /// A replica with the first `applied` commits of a history, whose log ends at `end`.
    pub(super) fn new(copy: Copy, applied: usize, end: u64) -> Self {
        Self { copy, applied, settings: Settings::default(), end }
    }

    pub(super) fn settings(&self) -> Settings {
        self.settings
    }

    pub(super) fn set(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// Applies what has arrived by now.
    pub(super) fn follow(&mut self, history: &History, now: Instant) -> sql::Result<()> {
        let arrived = history
            .since(self.applied)
            .iter()
            .take_while(|commit| !self.settings.frozen && commit.at + self.settings.lag <= now);
        let arrived: Vec<&Commit> = arrived.collect();
        let Some(last) = arrived.last() else { return Ok(()) };
        self.copy.begin()?;
        for commit in &arrived {
            self.copy.repeat(&commit.writes)?;
        }
        self.copy.commit()?;
        self.applied += arrived.len();
        self.end = last.end;
        Ok(())
    }

    pub(super) fn sight(&self, clock_ms: i64) -> Sight {
        Sight { position: 0, end: self.end, clock_ms }
    }
}
