//! Time and randomness, the two inputs that every rule takes as arguments, and work that keeps a processor
//! busy.
//!
//! Nothing else in the tree reads a clock or draws random bytes: `clippy.toml` forbids it. Production code
//! gets a [`SystemEnvironment`]; tests get a [`ManualEnvironment`], whose clock moves only when the test
//! moves it.

mod backoff;
#[cfg(test)]
pub mod paused;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::BoxFuture;
use uuid::Uuid;

pub use self::backoff::Backoff;
use crate::domain::Timestamp;

/// A clock and a source of random bytes.
///
/// `monotonic_ms` never goes back and is the only time that deadlines and rates may use; `now` is wall-clock
/// time for timestamps that people see and for token expiry.
pub trait Environment: Send + Sync + fmt::Debug {
    /// Wall-clock time, in milliseconds since 1970.
    fn now(&self) -> Timestamp;
    /// Milliseconds since some fixed moment of this process; never decreases.
    fn monotonic_ms(&self) -> u64;
    /// Microseconds on the same scale as [`Environment::monotonic_ms`], for measuring latency.
    fn monotonic_us(&self) -> u64;
    /// Fills `bytes` with unpredictable bytes.
    fn fill_random(&self, bytes: &mut [u8]);

    /// Runs work that keeps a processor busy for long, apart from the thread that waits for it. The future
    /// ends when the work has ended or has panicked.
    fn work_aside(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            // A panic of the work is known by the result that it did not leave.
            let _ = tokio::task::spawn_blocking(work).await;
        })
    }

    /// A time-ordered unique id (UUID version 7, RFC 9562 section 5.7).
    fn new_uuid(&self) -> Uuid {
        let mut random = [0_u8; 10];
        self.fill_random(&mut random);
        uuid::Builder::from_unix_timestamp_millis(self.now().as_unix_ms().max(0) as u64, &random).into_uuid()
    }

    /// A number drawn evenly from `0..bound`; 0 when `bound` is 0.
    fn random_below(&self, bound: u64) -> u64 {
        let mut bytes = [0_u8; 8];
        self.fill_random(&mut bytes);
        if bound == 0 { 0 } else { u64::from_le_bytes(bytes) % bound }
    }
}

/// A shared handle to the environment.
pub type SharedEnvironment = Arc<dyn Environment>;

/// The machine's own clock and randomness.
#[derive(Debug)]
pub struct SystemEnvironment {
    started: std::time::Instant,
}

impl SystemEnvironment {
    /// Starts the monotonic scale at zero.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
    pub fn shared() -> SharedEnvironment {
        Arc::new(Self { started: std::time::Instant::now() })
    }
}

impl Environment for SystemEnvironment {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
    fn now(&self) -> Timestamp {
        let since_epoch =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_unix_ms(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }

    fn monotonic_ms(&self) -> u64 {
        self.monotonic_us() / 1_000
    }

    fn monotonic_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        // The operating system's generator is seeded long before a server starts. If it fails, the process
        // must end, because tokens and ids would be guessable.
        aws_lc_rs::rand::fill(bytes).expect("the operating system's random generator answers");
    }
}

/// A clock that moves only when a test moves it, and a predictable sequence of bytes.
#[derive(Debug)]
pub struct ManualEnvironment {
    now_ms: AtomicU64,
    random_state: AtomicU64,
}

impl ManualEnvironment {
    /// Starts at `now_ms` with the given seed.
    pub fn new(now_ms: u64, seed: u64) -> Self {
        Self { now_ms: AtomicU64::new(now_ms), random_state: AtomicU64::new(seed) }
    }

    /// Moves both clocks forward.
    pub fn advance_ms(&self, by_ms: u64) {
        self.now_ms.fetch_add(by_ms, Ordering::SeqCst);
    }
}

impl Environment for ManualEnvironment {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.now_ms.load(Ordering::SeqCst) as i64)
    }

    fn monotonic_ms(&self) -> u64 {
        self.now_ms.load(Ordering::SeqCst)
    }

    fn monotonic_us(&self) -> u64 {
        self.monotonic_ms() * 1_000
    }

    /// SplitMix64: a fixed sequence for a fixed seed.
    fn fill_random(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let mut z = self.random_state.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::SeqCst);
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            let word = (z ^ (z >> 31)).to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}
