//! A listener that remembers what it heard.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use tidings::bus::{Cargo, Listener, Parcel};
use tokio::sync::Notify;

/// How long anything that is owed may take. Far above what is promised, so that a busy machine fails no test.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// See the module's documentation.
#[derive(Default)]
pub struct Ear {
    heard: Mutex<Vec<Parcel>>,
    gaps: AtomicUsize,
    /// The largest batch so far.
    batch: AtomicUsize,
    changed: Notify,
    stopped: Mutex<bool>,
    going_on: Condvar,
}

impl Ear {
    /// Everything heard so far.
    pub fn heard(&self) -> Vec<Parcel> {
        self.heard.lock().unwrap().clone()
    }

    /// The numbers of the numbered parcels (see [`crate::world::numbered`]), in the order they were heard.
    pub fn numbers(&self) -> Vec<u64> {
        let heard = self.heard.lock().unwrap();
        heard.iter().filter_map(number).collect()
    }

    /// How often a gap was told.
    pub fn gaps(&self) -> usize {
        self.gaps.load(Ordering::SeqCst)
    }

    /// The most parcels that came at once.
    pub fn largest_batch(&self) -> usize {
        self.batch.load(Ordering::SeqCst)
    }

    /// Forgets what was heard.
    pub fn clear(&self) {
        self.heard.lock().unwrap().clear();
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
            panic!("not within {DEADLINE:?}: {what}; heard {} parcels, {ends:?}", self.heard().len());
        }
    }

    /// Waits for a numbered parcel.
    pub async fn number(&self, wanted: u64) {
        self.until(&format!("parcel {wanted}"), |ear| ear.numbers().contains(&wanted)).await;
    }

    /// Keeps whoever brings parcels waiting, thread and all, until [`Ear::go_on`].
    pub fn stop(&self) {
        *self.stopped.lock().unwrap() = true;
    }

    /// Takes parcels again.
    pub fn go_on(&self) {
        *self.stopped.lock().unwrap() = false;
        self.going_on.notify_all();
    }
}

fn number(parcel: &Parcel) -> Option<u64> {
    match &parcel.cargo {
        Cargo::Published(places) => places.first().map(|(_, seq)| seq.get()),
        _ => None,
    }
}

impl Listener for Ear {
    fn on_parcels(&self, parcels: Vec<Parcel>) {
        let mut stopped = self.stopped.lock().unwrap();
        while *stopped {
            stopped = self.going_on.wait(stopped).unwrap();
        }
        drop(stopped);
        self.batch.fetch_max(parcels.len(), Ordering::SeqCst);
        self.heard.lock().unwrap().extend(parcels);
        self.changed.notify_waiters();
    }

    fn on_gap(&self) {
        self.gaps.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_waiters();
    }
}

/// An ear to share.
pub fn ear() -> Arc<Ear> {
    Arc::default()
}
