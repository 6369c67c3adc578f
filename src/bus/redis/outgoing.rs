//! Messages that wait to be published.
//!
//! Bounds: bytes and messages. Policy when full: the oldest are dropped. A node that misses one notices the
//! hole by the next seq, while nothing after the newest ones would show that they were lost.

use std::collections::VecDeque;
use std::sync::Mutex;

use smallvec::SmallVec;
use tokio::sync::Notify;

use crate::environment::SharedEnvironment;
use crate::panics::lock;

/// An envelope and the channels it goes to.
#[derive(Debug)]
pub struct Outbound {
    /// The names of the channels.
    pub channels: SmallVec<[String; 2]>,
    /// The message as bytes.
    pub envelope: Vec<u8>,
    /// It was sent once on a connection that broke before the server answered.
    pub tried: bool,
}

impl Outbound {
    fn weight_bytes(&self) -> usize {
        self.envelope.len() + self.channels.iter().map(|channel| channel.len() + 16).sum::<usize>()
    }
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Outbound>,
    bytes: usize,
    /// When the first message came after the queue was empty, on the monotonic clock.
    since_ms: u64,
}

/// The queue of one publisher.
pub struct Outgoing {
    queue: Mutex<Queue>,
    filled: Notify,
    most_bytes: usize,
    most_messages: usize,
    environment: SharedEnvironment,
}

impl Outgoing {
    /// An empty queue with these bounds.
    pub fn new(most_bytes: usize, most_messages: usize, environment: SharedEnvironment) -> Self {
        Self { queue: Mutex::default(), filled: Notify::new(), most_bytes, most_messages, environment }
    }

    /// Queues a batch. Returns how many envelopes were dropped.
    pub fn put(&self, batch: impl IntoIterator<Item = Outbound>) -> u64 {
        let mut dropped = 0;
        let mut queue = self.lock();
        self.begin(&mut queue);
        for outbound in batch {
            queue.bytes += outbound.weight_bytes();
            queue.waiting.push_back(outbound);
            dropped += self.shrink(&mut queue);
        }
        drop(queue);
        self.filled.notify_one();
        dropped
    }

    /// Puts a batch back to the front when it is not known whether it was published. Receivers skip copies by
    /// their ids. An envelope that was put back before is dropped, because it could be the one that breaks
    /// every connection. Returns how many were dropped.
    pub fn put_back(&self, batch: Vec<Outbound>) -> u64 {
        let mut queue = self.lock();
        self.begin(&mut queue);
        let all = batch.len();
        let again: Vec<Outbound> = batch.into_iter().filter(|outbound| !outbound.tried).collect();
        let mut dropped = (all - again.len()) as u64;
        for outbound in again.into_iter().rev() {
            queue.bytes += outbound.weight_bytes();
            queue.waiting.push_front(Outbound { tried: true, ..outbound });
        }
        dropped += self.shrink(&mut queue);
        drop(queue);
        self.filled.notify_one();
        dropped
    }

    fn begin(&self, queue: &mut Queue) {
        if queue.waiting.is_empty() {
            queue.since_ms = self.environment.monotonic_ms();
        }
    }

    fn shrink(&self, queue: &mut Queue) -> u64 {
        let mut dropped = 0;
        while queue.bytes > self.most_bytes || queue.waiting.len() > self.most_messages {
            let Some(oldest) = queue.waiting.pop_front() else { break };
            queue.bytes -= oldest.weight_bytes();
            dropped += 1;
        }
        dropped
    }

    /// Takes from the front, at least one envelope when there is one, up to about `most_bytes` and
    /// `most_messages`.
    pub fn take(&self, most_bytes: usize, most_messages: usize) -> Vec<Outbound> {
        let mut queue = self.lock();
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while let Some(next) = queue.waiting.front() {
            if !taken.is_empty() && (bytes + next.weight_bytes() > most_bytes || taken.len() >= most_messages)
            {
                break;
            }
            bytes += next.weight_bytes();
            taken.extend(queue.waiting.pop_front());
        }
        queue.bytes -= bytes;
        taken
    }

    /// Waits until something may be there.
    pub async fn filled(&self) {
        self.filled.notified().await;
    }

    /// How many bytes wait.
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// For how long the queue has not been empty; no message in it is older. 0 when nothing waits.
    pub fn oldest_ms(&self) -> u64 {
        let now_ms = self.environment.monotonic_ms();
        let queue = self.lock();
        if queue.waiting.is_empty() { 0 } else { now_ms.saturating_sub(queue.since_ms) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        lock(&self.queue)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use smallvec::smallvec;

    use super::*;
    use crate::environment::ManualEnvironment;

    fn queue(most_bytes: usize, most_messages: usize) -> (Outgoing, Arc<ManualEnvironment>) {
        let environment = Arc::new(ManualEnvironment::new(5_000, 1));
        (Outgoing::new(most_bytes, most_messages, environment.clone()), environment)
    }

    fn outbound(mark: u8, bytes: usize) -> Outbound {
        Outbound { channels: smallvec!["c".to_owned()], envelope: vec![mark; bytes], tried: false }
    }

    fn marks(taken: &[Outbound]) -> Vec<u8> {
        taken.iter().map(|outbound| outbound.envelope[0]).collect()
    }

    #[test]
    fn the_oldest_go_first_out_and_first_lost() {
        let (queue, environment) = queue(1_000_000, 3);
        assert_eq!(queue.oldest_ms(), 0);
        assert_eq!(queue.put((1..=3).map(|mark| outbound(mark, 10))), 0);
        assert_eq!(queue.put([outbound(4, 10), outbound(5, 10)]), 2);
        environment.advance_ms(42);
        assert_eq!(marks(&queue.take(usize::MAX, 2)), [3, 4]);
        assert_eq!(queue.oldest_ms(), 42);
        assert_eq!(marks(&queue.take(usize::MAX, 2)), [5]);
        assert_eq!(queue.oldest_ms(), 0);
        assert_eq!(queue.bytes(), 0);
    }

    #[test]
    fn what_is_put_back_is_tried_once_more_before_the_rest() {
        let (queue, _) = queue(1_000_000, 3);
        queue.put((1..=3).map(|mark| outbound(mark, 10)));
        let batch = queue.take(usize::MAX, 2);
        queue.put([outbound(4, 10)]);
        assert_eq!(queue.put_back(batch), 1, "the oldest finds no room");
        let batch = queue.take(usize::MAX, 9);
        assert_eq!(marks(&batch), [2, 3, 4]);
        assert_eq!(queue.put_back(batch), 1, "2 was tried twice");
        assert_eq!(marks(&queue.take(usize::MAX, 9)), [3, 4]);
        assert_eq!(queue.bytes(), 0);
    }

    #[test]
    fn bytes_are_bounded_whatever_the_sizes() {
        let (queue, _) = queue(200, 100);
        assert_eq!(queue.put((1..=5).map(|mark| outbound(mark, 43))), 2, "each weighs 60");
        assert_eq!(queue.bytes(), 180);
        assert_eq!(marks(&queue.take(100, 100)), [3]);
        assert_eq!(queue.put([outbound(6, 1_000)]), 3, "one that never fits takes all with it");
        assert_eq!(queue.bytes(), 0);
        assert_eq!(queue.put([outbound(7, 100)]), 0);
        assert_eq!(marks(&queue.take(1, 1)), [7], "at least one is taken");
    }
}
