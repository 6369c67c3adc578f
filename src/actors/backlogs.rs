//! What this process knows of work that continues after its operation was answered. Readiness pages show it,
//! and operations use it to wake the consumer that does the work.

use std::sync::Mutex;

use serde::Serialize;
use tokio::sync::Notify;

use crate::panics::lock;
use crate::store::JobKind;

/// Jobs of one kind that are not done, as last read from the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// The kind of jobs that wait.
    pub kind: JobKind,
    /// How many.
    pub jobs: u64,
    /// How long ago the oldest of them was begun, in milliseconds; 0 when there is none.
    pub oldest_ms: u64,
}

/// Its state, for inspection.
#[derive(Debug, Clone, Serialize)]
pub struct BacklogsObserved {
    /// Jobs that are not done, of each kind.
    pub pending: Vec<PendingObserved>,
}

/// Jobs of one kind.
#[derive(Debug, Clone, Serialize)]
pub struct PendingObserved {
    /// Which kind.
    pub kind: &'static str,
    /// How many wait.
    pub jobs: u64,
    /// How long ago the oldest of them was begun.
    pub oldest_ms: u64,
}

/// The backlogs that this process last read. A process that does no such work knows of none.
#[derive(Debug, Default)]
pub struct Backlogs {
    hint: Notify,
    pending: Mutex<Vec<Pending>>,
}

impl Backlogs {
    /// Wakes the consumer: there is a new job.
    pub fn hint(&self) {
        self.hint.notify_one();
    }

    /// Waits for the next hint.
    pub async fn hinted(&self) {
        self.hint.notified().await;
    }

    /// Stores what was read of the jobs of one kind.
    pub fn show(&self, kind: JobKind, jobs: u64, oldest_ms: u64) {
        let mut pending = lock(&self.pending);
        pending.retain(|one| one.kind != kind);
        pending.push(Pending { kind, jobs, oldest_ms });
    }

    /// Its known state.
    pub fn observed(&self) -> BacklogsObserved {
        let shown = |one: Pending| PendingObserved {
            kind: one.kind.as_str(),
            jobs: one.jobs,
            oldest_ms: one.oldest_ms,
        };
        BacklogsObserved { pending: self.pending().into_iter().map(shown).collect() }
    }

    /// The jobs that are not done.
    pub fn pending(&self) -> Vec<Pending> {
        lock(&self.pending).clone()
    }
}
