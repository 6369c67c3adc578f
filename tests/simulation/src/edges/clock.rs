//! The clock and the randomness of one process.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tidings::domain::Timestamp;
use tidings::environment::Environment;
use tokio::time::Instant;

use crate::dice::Dice;

/// The wall clock of the world at the start of a run, in milliseconds since 1970.
pub const BEGAN_AT_MS: i64 = 1_800_000_000_000;
/// Work that keeps a processor busy takes so long, at most.
const LONGEST_WORK_MS: u64 = 20;

/// A process's own clock: right, or off, or set while the process runs. Its monotonic clock begins anywhere.
pub struct SimEnvironment {
    began: Instant,
    monotonic_from_ms: u64,
    off_ms: AtomicI64,
    dice: Mutex<Dice>,
}

impl SimEnvironment {
    /// The environment of a process whose wall clock is `off_ms` ahead. `began`: the start of the run.
    pub fn new(began: Instant, off_ms: i64, mut dice: Dice) -> Arc<Self> {
        let monotonic_from_ms = dice.below(1 << 32);
        Arc::new(Self { began, monotonic_from_ms, off_ms: AtomicI64::new(off_ms), dice: Mutex::new(dice) })
    }

    /// Sets the wall clock forward or back.
    pub fn jump(&self, by_ms: i64) {
        self.off_ms.fetch_add(by_ms, Ordering::Relaxed);
    }

    fn elapsed_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut Dice) -> T) -> T {
        draw(&mut self.dice.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for SimEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimEnvironment").field("off_ms", &self.off_ms).finish_non_exhaustive()
    }
}

impl Environment for SimEnvironment {
    fn now(&self) -> Timestamp {
        let elapsed_ms = i64::try_from(self.elapsed_us() / 1_000).unwrap_or(i64::MAX);
        Timestamp::from_unix_ms(BEGAN_AT_MS + elapsed_ms + self.off_ms.load(Ordering::Relaxed))
    }

    fn monotonic_ms(&self) -> u64 {
        self.monotonic_us() / 1_000
    }

    fn monotonic_us(&self) -> u64 {
        self.monotonic_from_ms * 1_000 + self.elapsed_us()
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        self.draw(|dice| dice.fill(bytes));
    }

    fn work_aside(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let takes_ms = self.draw(|dice| dice.between(1, LONGEST_WORK_MS));
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(takes_ms)).await;
            work();
        })
    }
}
