//! Heartbeats of the process's threads: one that has none for a while makes the process not ready.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::environment::SharedEnvironment;

/// A thread whose last heartbeat is older is stuck, in milliseconds.
pub(super) const STUCK_AFTER_MS: u64 = 10_000;

/// When a thread last ran its own tasks.
#[derive(Debug)]
pub struct ThreadHeartbeat {
    pub(super) name: String,
    pub(super) beat_ms: AtomicU64,
}

impl ThreadHeartbeat {
    /// Of the thread with this name, which does not count as stuck before its first heartbeat.
    pub fn new(name: String) -> Arc<Self> {
        Arc::new(Self { name, beat_ms: AtomicU64::new(0) })
    }

    /// Beats without end: spawn it on the thread concerned.
    pub async fn beat(self: Arc<Self>, environment: SharedEnvironment) {
        loop {
            self.beat_ms.store(environment.monotonic_ms().max(1), Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Whether the thread had heartbeats and has none any more.
    pub(super) fn is_stuck(&self, now_ms: u64) -> bool {
        let beat_ms = self.beat_ms.load(Ordering::Relaxed);
        beat_ms > 0 && now_ms.saturating_sub(beat_ms) > STUCK_AFTER_MS
    }
}
