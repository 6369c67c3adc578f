//! What is known here of work that goes on after its operation was answered: for readiness pages, and to wake whoever does it.

use std::sync::Mutex;

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

/// See the module's documentation. A process that does no such work knows of none.
#[derive(Debug, Default)]
pub struct Backlogs {
    hint: Notify,
    pending: Mutex<Vec<Pending>>,
    /// Deleted conversations whose content is not gone yet; `None` until the consumer that purges has looked.
    purges: Mutex<Option<u64>>,
}

impl Backlogs {
    /// There is a new job.
    pub fn hint(&self) {
        self.hint.notify_one();
    }

    /// Waits for the next hint.
    pub async fn hinted(&self) {
        self.hint.notified().await;
    }

    /// Keeps what was read of the jobs of a kind.
    pub fn show(&self, kind: JobKind, jobs: u64, oldest_ms: u64) {
        let mut pending = lock(&self.pending);
        pending.retain(|one| one.kind != kind);
        pending.push(Pending { kind, jobs, oldest_ms });
    }

    /// Keeps how many deleted conversations still have content.
    pub fn show_purges(&self, conversations: u64) {
        *lock(&self.purges) = Some(conversations);
    }

    /// How many deleted conversations still have content, as last read; `None` where this process does not purge.
    pub fn purges(&self) -> Option<u64> {
        *lock(&self.purges)
    }

    /// What is not done.
    pub fn pending(&self) -> Vec<Pending> {
        lock(&self.pending).clone()
    }
}
