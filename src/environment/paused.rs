//! Tests under tokio's paused clock: an environment on that clock, and a way to hold the clock while another
//! thread works.
//!
//! Under a paused clock tokio advances time to the next timer as soon as no task can run. It does not know of
//! threads outside the runtime: without [`hold`] a call to the database would seem to take minutes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::{Environment, ManualEnvironment};
use crate::domain::Timestamp;

/// An environment on the clock of the runtime it was made in, with predictable randomness.
#[derive(Debug)]
pub struct PausedEnvironment {
    began: Instant,
    began_at: Timestamp,
    /// Threads outside the runtime see the time that a task of the runtime read last.
    last_us: AtomicU64,
    random: ManualEnvironment,
}

impl PausedEnvironment {
    /// Call inside the runtime. The wall clock begins at `began_ms`, in milliseconds since 1970.
    #[expect(clippy::disallowed_methods, reason = "this is the runtime's clock, made an injected one")]
    pub fn begin(began_ms: u64, seed: u64) -> Arc<Self> {
        let random = ManualEnvironment::new(began_ms, seed);
        Arc::new(Self { began: Instant::now(), began_at: random.now(), last_us: AtomicU64::new(0), random })
    }
}

impl Environment for PausedEnvironment {
    fn now(&self) -> Timestamp {
        self.began_at.plus_ms(i64::try_from(self.monotonic_ms()).unwrap_or(i64::MAX))
    }

    fn monotonic_ms(&self) -> u64 {
        self.monotonic_us() / 1_000
    }

    fn monotonic_us(&self) -> u64 {
        if Handle::try_current().is_err() {
            return self.last_us.load(Ordering::SeqCst);
        }
        let now_us = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.last_us.fetch_max(now_us, Ordering::SeqCst).max(now_us)
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        self.random.fill_random(bytes);
    }
}

/// While this lives, a paused clock does not move.
#[derive(Debug)]
#[must_use]
pub struct ClockHold {
    _ends: Option<mpsc::Sender<()>>,
}

/// Holds the clock of the current runtime, when there is one.
pub fn hold() -> ClockHold {
    let Ok(runtime) = Handle::try_current() else { return ClockHold { _ends: None } };
    let (ends, ended) = mpsc::channel();
    // Tokio does not advance a paused clock while blocking work is under way.
    runtime.spawn_blocking(move || {
        let _ = ended.recv();
    });
    ClockHold { _ends: Some(ends) }
}
