//! Empties the write-ahead log, because its old pages contain data that was deleted from the database since.
//!
//! SQLite copies the log into the file by itself, but never truncates it: on a server with little traffic the
//! old pages stay there. So the log is emptied at intervals if it is not empty. This blocks the writer only
//! briefly: a separate connection copies nearly all of it. The code does not wait for a reader that still
//! needs a part of it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use super::SqliteStore;
use super::options::SqliteOptions;
use super::pool::Pool;
use crate::environment::SharedEnvironment;
use crate::store::StoreError;

/// The interval between two emptyings of the log, in milliseconds.
const EVERY_MS: u64 = 20_000;

/// The time when the log was last empty.
#[derive(Debug)]
pub(super) struct Scrub {
    /// Copies without blocking writers.
    pool: Pool,
    log: PathBuf,
    environment: SharedEnvironment,
    /// On the monotonic clock, plus one; 0: never yet.
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

    /// Whether the interval has passed and the log is not empty.
    async fn is_due(&self) -> bool {
        let emptied_ms = self.emptied_ms.load(Ordering::Relaxed);
        let since_ms = (self.environment.monotonic_ms() + 1).saturating_sub(emptied_ms);
        if emptied_ms != 0 && since_ms < EVERY_MS {
            return false;
        }
        tokio::fs::metadata(&self.log).await.is_ok_and(|log| log.len() > 0)
    }
}

/// Empties the log if that is due; false when a reader still needs a part of it.
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
