//! Emptying the write-ahead log: old pages there hold what was removed from the database since.
//!
//! SQLite copies the log into the file by itself, but never cuts it: an installation with little to do keeps
//! everything there. So it is emptied every so often when there is something in it. That costs the writer a
//! moment only: nearly all of it is copied from a connection of its own, and a reader that still needs a part
//! is not waited for.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use super::SqliteStore;
use super::options::SqliteOptions;
use super::pool::Pool;
use crate::environment::SharedEnvironment;
use crate::store::StoreError;

/// Between two times that the log is emptied, in milliseconds.
const EVERY_MS: u64 = 20_000;

/// When the log was last empty.
#[derive(Debug)]
pub(super) struct Scrub {
    /// Copies without keeping anybody from writing.
    pool: Pool,
    log: PathBuf,
    environment: SharedEnvironment,
    /// On the monotonic clock, one more than it says; 0: not yet.
    emptied_ms: AtomicU64,
}

impl Scrub {
    pub(super) fn new(options: &SqliteOptions, pool: Pool, environment: SharedEnvironment) -> Self {
        let mut log = options.path.clone().into_os_string();
        log.push("-wal");
        Self { pool, log: log.into(), environment, emptied_ms: AtomicU64::new(0) }
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    /// Long enough ago, and there is something in it.
    async fn is_due(&self) -> bool {
        let emptied_ms = self.emptied_ms.load(Ordering::Relaxed);
        let since_ms = (self.environment.monotonic_ms() + 1).saturating_sub(emptied_ms);
        if emptied_ms != 0 && since_ms < EVERY_MS {
            return false;
        }
        tokio::fs::metadata(&self.log).await.is_ok_and(|log| log.len() > 0)
    }
}

/// Empties the log when that is due; false when a reader still needs a part of it.
pub(super) async fn scrub(store: &SqliteStore) -> Result<bool, StoreError> {
    if !store.scrub.is_due().await {
        return Ok(true);
    }
    store.checkpoint(&store.scrub.pool, store.timeout, "PRAGMA wal_checkpoint(PASSIVE)").await?;
    let empty = store.checkpoint(&store.writer, store.timeout, "PRAGMA wal_checkpoint(TRUNCATE)").await?;
    if empty {
        store.scrub.emptied_ms.store(store.scrub.environment.monotonic_ms() + 1, Ordering::Relaxed);
    }
    Ok(empty)
}
