//! Signs of life of the process's threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::environment::SharedEnvironment;

/// A thread that has not turned for so long stands still.
pub(super) const STILL_MS: u64 = 10_000;

/// A thread's sign of life.
#[derive(Debug)]
pub struct Pulse {
    pub(super) name: String,
    pub(super) beat_ms: AtomicU64,
}

impl Pulse {
    /// A thread's pulse; it counts from its first beat on.
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

    /// Whether the thread has begun to beat and has stopped.
    pub(super) fn is_still(&self, now_ms: u64) -> bool {
        let beat_ms = self.beat_ms.load(Ordering::Relaxed);
        beat_ms > 0 && now_ms.saturating_sub(beat_ms) > STILL_MS
    }
}
