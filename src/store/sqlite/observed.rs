//! The state of the embedded store, for inspection.

use serde::Serialize;

use super::SqliteStore;

/// The queues of the database threads.
#[derive(Debug, Clone, Serialize)]
pub struct SqliteObserved {
    /// The thread that writes.
    pub writer: QueueObserved,
    /// The threads that read.
    pub readers: QueueObserved,
}

/// One queue.
#[derive(Debug, Clone, Serialize)]
pub struct QueueObserved {
    /// Operations that wait for a thread.
    pub waiting_operations: usize,
    /// How long the oldest of them has waited.
    pub oldest_ms: u64,
    /// Operations that are running on a thread.
    pub at_work: usize,
}

impl SqliteStore {
    /// The current load of its threads.
    pub fn observed(&self) -> SqliteObserved {
        SqliteObserved { writer: self.writer.observed(), readers: self.reader.observed() }
    }
}
