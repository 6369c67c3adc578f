//! Helpers for every suite: a real server in a child process, a client, and a raw socket.

pub mod client;
pub mod inspect;
pub mod raw;
pub mod rest;
pub mod server;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// How long anything the server owes may take before the test fails. Far above what is promised, so that a
/// busy machine does not fail a test, and far below a hang.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// The wire encoding of a session, chosen by subprotocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Text frames, one JSON object each.
    Json,
    /// Binary frames, one MessagePack map each.
    Msgpack,
}

impl Encoding {
    /// The subprotocol that asks for this encoding.
    pub fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "tidings.v1.json",
            Self::Msgpack => "tidings.v1.msgpack",
        }
    }
}

/// The monotonic clock. Tests measure real servers, so real time is what they need.
#[expect(clippy::disallowed_methods, reason = "a black-box test has no clock to inject")]
pub fn now() -> Instant {
    Instant::now()
}

/// Seconds since the epoch, for the claims of forged tokens.
#[expect(clippy::disallowed_methods, reason = "a black-box test has no clock to inject")]
pub fn unix_seconds() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// Waits until `probe` answers something, for as long as `within`. Where nothing tells of a change, looking
/// again is all that a test outside of the process can do; this is the one place that does it.
pub async fn until<T>(what: &str, within: Duration, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let answered = async {
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            tokio::time::sleep(AGAIN).await;
        }
    };
    tokio::time::timeout(within, answered).await.unwrap_or_else(|_| panic!("not within {within:?}: {what}"))
}

/// Between two looks.
const AGAIN: Duration = Duration::from_millis(20);

static COUNTER: AtomicU64 = AtomicU64::new(1);

/// A string nobody else in this run has: `label` with a number. Every server has its own empty data
/// directory, so a counter is as unique as randomness and reads better in a failure.
pub fn unique(label: &str) -> String {
    format!("{label}-{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed))
}

/// A fresh UUID (version 4 by its bits), for `client_id`.
pub fn uuid() -> String {
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("{:08x}-0000-4000-8000-{number:012x}", std::process::id())
}

/// Runs `work` over `items`, at most `limit` at a time, and returns what each gave, in the order they ended.
/// A panic in one is a panic here.
pub async fn in_parallel<T, F, R>(limit: usize, items: Vec<T>, work: impl Fn(T) -> F) -> Vec<R>
where
    F: Future<Output = R> + Send + 'static,
    R: Send + 'static,
{
    let places = Arc::new(Semaphore::new(limit));
    let mut running = JoinSet::new();
    for item in items {
        let place = Arc::clone(&places).acquire_owned().await.unwrap();
        let task = work(item);
        running.spawn(async move {
            let result = task.await;
            drop(place);
            result
        });
    }
    running.join_all().await
}
