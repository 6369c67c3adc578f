//! Emptying the write-ahead log, since old pages there still hold what was removed.

use std::time::Duration;

use super::SqliteStore;
use super::lane::Phase;
use crate::store::StoreError;

/// Moves the write-ahead log into the file and empties it. Tried a few times: a reader at work keeps its snapshot's part of the
/// log alive for a moment.
pub(super) async fn checkpoint(store: &SqliteStore) -> Result<(), StoreError> {
    for _ in 0..10 {
        let phase = Phase::default();
        if phase.bound(store.timeout, store.writer.checkpoint()).await? {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tracing::warn!("readers keep parts of the write-ahead log; it is emptied at a later checkpoint");
    Ok(())
}
