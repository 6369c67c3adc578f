//! The run's clock and its only sources of real time and real randomness.

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

/// Microseconds since the run began: one time line for every client of the run, which is what makes a
/// latency between two of them meaningful.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// Starts the time line at zero.
    #[expect(clippy::disallowed_methods, reason = "the one place where the tool reads real time")]
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// Time since [`Clock::start`], in microseconds.
    pub fn now_us(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// The instant at `at_us` on this time line, to sleep until.
    pub fn instant(&self, at_us: u64) -> Instant {
        self.origin + Duration::from_micros(at_us)
    }
}

/// A fresh idempotency key. Never seeded: two runs with the same seed against one server must not share keys.
pub fn new_client_id() -> Uuid {
    uuid::Builder::from_random_bytes(rand::random()).into_uuid()
}
