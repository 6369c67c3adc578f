//! A listener that remembers what it received.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use tidings::bus::{BusMessage, Listener, Payload};
use tokio::sync::Notify;

/// How long anything that is owed may take. Far above what is promised, so that a busy machine fails no test.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// See the module's documentation.
#[derive(Default)]
pub struct RecordingListener {
    received: Mutex<Vec<BusMessage>>,
    gaps: AtomicUsize,
    /// The largest batch so far.
    batch: AtomicUsize,
    changed: Notify,
    stopped: Mutex<bool>,
    going_on: Condvar,
}

impl RecordingListener {
    /// Everything received so far.
    pub fn received(&self) -> Vec<BusMessage> {
        self.received.lock().unwrap().clone()
    }

    /// The numbers of the numbered messages (see [`crate::world::numbered`]), in the order they were
    /// received.
    pub fn numbers(&self) -> Vec<u64> {
        let received = self.received.lock().unwrap();
        received.iter().filter_map(number).collect()
    }

    /// How often a gap was told.
    pub fn gaps(&self) -> usize {
        self.gaps.load(Ordering::SeqCst)
    }

    /// The most messages that came at once.
    pub fn largest_batch(&self) -> usize {
        self.batch.load(Ordering::SeqCst)
    }

    /// Forgets what was received.
    pub fn clear(&self) {
        self.received.lock().unwrap().clear();
    }

    /// Waits until `condition` holds.
    pub async fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let holds = async {
            loop {
                let changed = self.changed.notified();
                if condition(self) {
                    break;
                }
                changed.await;
            }
        };
        if tokio::time::timeout(DEADLINE, holds).await.is_err() {
            let numbers = self.numbers();
            let ends = (numbers.first(), numbers.last());
            panic!("not within {DEADLINE:?}: {what}; received {} messages, {ends:?}", self.received().len());
        }
    }

    /// Waits for a numbered message.
    pub async fn number(&self, wanted: u64) {
        self.until(&format!("message {wanted}"), |listener| listener.numbers().contains(&wanted)).await;
    }

    /// Keeps the thread that brings messages waiting until [`RecordingListener::go_on`].
    pub fn stop(&self) {
        *self.stopped.lock().unwrap() = true;
    }

    /// Takes messages again.
    pub fn go_on(&self) {
        *self.stopped.lock().unwrap() = false;
        self.going_on.notify_all();
    }
}

fn number(message: &BusMessage) -> Option<u64> {
    match &message.payload {
        Payload::Published(places) => places.first().map(|(_, seq)| seq.get()),
        _ => None,
    }
}

impl Listener for RecordingListener {
    fn on_messages(&self, messages: Vec<BusMessage>) {
        let mut stopped = self.stopped.lock().unwrap();
        while *stopped {
            stopped = self.going_on.wait(stopped).unwrap();
        }
        drop(stopped);
        self.batch.fetch_max(messages.len(), Ordering::SeqCst);
        self.received.lock().unwrap().extend(messages);
        self.changed.notify_waiters();
    }

    fn on_gap(&self) {
        self.gaps.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_waiters();
    }
}

/// A listener to share.
pub fn listener() -> Arc<RecordingListener> {
    Arc::default()
}
