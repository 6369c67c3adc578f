//! Envelopes that arrived and are not yet given to the listener.
//!
//! Bound: bytes. Policy when full: arriving envelopes are dropped and noted as a gap, so that the listener
//! reads the log.

use std::collections::VecDeque;
use std::sync::Mutex;

use tokio::sync::Notify;

use crate::environment::SharedEnvironment;
use crate::panics::lock;

/// The bytes that an envelope counts in addition to its own.
const ENVELOPE_BYTES: usize = 64;

#[derive(Default)]
struct Queue {
    envelopes: VecDeque<Vec<u8>>,
    bytes: usize,
    gap: bool,
    /// When the first envelope came after the queue was empty, on the monotonic clock.
    since_ms: u64,
}

/// The queue between the connections, which must not wait, and the one task that hands messages over.
pub struct IncomingQueue {
    queue: Mutex<Queue>,
    filled: Notify,
    most_bytes: usize,
    environment: SharedEnvironment,
}

impl IncomingQueue {
    /// An empty queue for at most this many bytes.
    pub fn new(most_bytes: usize, environment: SharedEnvironment) -> Self {
        Self { queue: Mutex::default(), filled: Notify::new(), most_bytes, environment }
    }

    /// Queues an envelope. Returns `false` if it was dropped.
    pub fn put(&self, envelope: Vec<u8>) -> bool {
        let mut queue = self.lock();
        let bytes = queue.bytes + envelope.len() + ENVELOPE_BYTES;
        let fits = bytes <= self.most_bytes;
        if fits {
            if queue.envelopes.is_empty() {
                queue.since_ms = self.environment.monotonic_ms();
            }
            queue.bytes = bytes;
            queue.envelopes.push_back(envelope);
        } else {
            queue.gap = true;
        }
        drop(queue);
        self.filled.notify_one();
        fits
    }

    /// Takes up to `most` envelopes. Also returns whether some were dropped after them; that is reported when
    /// nothing older waits.
    pub fn take(&self, most: usize) -> (Vec<Vec<u8>>, bool) {
        let mut queue = self.lock();
        let count = queue.envelopes.len().min(most);
        let taken: Vec<Vec<u8>> = queue.envelopes.drain(..count).collect();
        queue.bytes -= taken.iter().map(|envelope| envelope.len() + ENVELOPE_BYTES).sum::<usize>();
        let gap = queue.envelopes.is_empty() && std::mem::take(&mut queue.gap);
        (taken, gap)
    }

    /// Waits until something may be there.
    pub async fn filled(&self) {
        self.filled.notified().await;
    }

    /// How many bytes wait.
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// For how long the queue has not been empty; no envelope in it is older. 0 when nothing waits.
    pub fn oldest_ms(&self) -> u64 {
        let now_ms = self.environment.monotonic_ms();
        let queue = self.lock();
        if queue.envelopes.is_empty() { 0 } else { now_ms.saturating_sub(queue.since_ms) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        lock(&self.queue)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::environment::ManualEnvironment;

    #[test]
    fn what_does_not_fit_becomes_a_gap_behind_what_did() {
        let environment = Arc::new(ManualEnvironment::new(5_000, 1));
        let queue = IncomingQueue::new(2 * (ENVELOPE_BYTES + 10), environment.clone());
        assert_eq!(queue.oldest_ms(), 0);
        assert!(queue.put(vec![1; 10]) && queue.put(vec![2; 10]));
        assert!(!queue.put(vec![3; 1]));
        environment.advance_ms(42);
        assert_eq!(queue.oldest_ms(), 42);
        assert_eq!(queue.take(1), (vec![vec![1; 10]], false));
        assert!(queue.put(vec![4; 10]));
        assert_eq!(queue.take(10), (vec![vec![2; 10], vec![4; 10]], true));
        assert_eq!(queue.take(10), (vec![], false));
        assert_eq!((queue.bytes(), queue.oldest_ms()), (0, 0));
    }
}
