//! Which worker threads have a reader of a topic, and whether the node has any.

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use smallvec::SmallVec;

use crate::domain::Topic;

/// A worker thread's number, from 0.
pub type WorkerId = u8;

/// The most worker threads a node may have: one bit each.
pub const MAX_WORKERS: usize = 64;

/// A set of worker threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WorkerSet(u64);

impl WorkerSet {
    /// No worker.
    pub const EMPTY: Self = Self(0);

    /// Adds all of another set.
    pub fn extend(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Adds one worker.
    pub fn insert(&mut self, worker: WorkerId) {
        self.0 |= 1 << worker;
    }

    /// Whether a worker is in the set.
    pub const fn contains(self, worker: WorkerId) -> bool {
        self.0 & (1 << worker) != 0
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The workers in the set.
    pub fn iter(self) -> impl Iterator<Item = WorkerId> {
        (0..MAX_WORKERS as u8).filter(move |worker| self.0 & (1 << worker) != 0)
    }
}

/// Counts of local sessions per topic and worker. An entry exists only while a count is above zero, so the
/// map is bounded by the connections and their subscriptions.
///
/// The bus is called for the first and the last session of a topic while the topic's entry is locked. So
/// subscriptions on the bus match the map, also when one session comes while another leaves.
#[derive(Debug, Default)]
pub struct Interest {
    counts: DashMap<Topic, SmallVec<[(WorkerId, u32); 2]>>,
}

impl Interest {
    /// A session of `worker` reads `topic` from now on. `first` subscribes the node; it must not call this
    /// map.
    pub fn add(&self, worker: WorkerId, topic: Topic, first: impl FnOnce()) {
        let mut entry = self.counts.entry(topic).or_default();
        if entry.is_empty() {
            first();
        }
        match entry.iter_mut().find(|(other, _)| *other == worker) {
            Some((_, count)) => *count += 1,
            None => entry.push((worker, 1)),
        }
    }

    /// A session of `worker` stops reading `topic`. `last` unsubscribes the node; it must not call this map.
    /// Returns whether this was the last session.
    pub fn remove(&self, worker: WorkerId, topic: Topic, last: impl FnOnce()) -> bool {
        let Entry::Occupied(mut entry) = self.counts.entry(topic) else { return false };
        let counts = entry.get_mut();
        if let Some(at) = counts.iter().position(|(other, _)| *other == worker) {
            counts[at].1 -= 1;
            if counts[at].1 == 0 {
                counts.swap_remove(at);
            }
        }
        let was_last = counts.is_empty();
        if was_last {
            last();
            entry.remove();
        }
        was_last
    }

    /// The workers that have a reader of any of `topics`.
    pub fn workers(&self, topics: impl Iterator<Item = Topic>) -> WorkerSet {
        let mut set = WorkerSet::EMPTY;
        for topic in topics {
            if let Some(counts) = self.counts.get(&topic) {
                for (worker, _) in counts.iter() {
                    set.insert(*worker);
                }
            }
        }
        set
    }

    /// How many sessions read `topic`.
    pub fn readers(&self, topic: Topic) -> u32 {
        self.counts.get(&topic).map_or(0, |counts| counts.iter().map(|(_, count)| count).sum())
    }

    /// How many topics have a reader.
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether no topic has a reader.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicBool, Ordering};

    use uuid::Uuid;

    use super::*;
    use crate::domain::UserId;

    fn topic() -> Topic {
        Topic::User(UserId::from_uuid(Uuid::from_u128(1)))
    }

    #[test]
    fn only_the_first_and_the_last_local_reader_turn_the_node() {
        let interest = Interest::default();
        let add = |worker| {
            let mut first = false;
            interest.add(worker, topic(), || first = true);
            first
        };
        let remove = |worker| {
            let mut last = false;
            assert_eq!(interest.remove(worker, topic(), || last = true), last);
            last
        };
        assert_eq!([add(0), add(1), add(1)], [true, false, false]);
        assert_eq!(interest.workers([topic()].into_iter()).iter().collect::<Vec<_>>(), [0, 1]);
        assert_eq!([remove(0), remove(1), remove(1)], [false, false, true]);
        assert!(!remove(1), "a repeated removal changes nothing");
        assert!(interest.is_empty());
    }

    /// The last reader leaves, and another comes before the bus was informed. The bus must not get the two in
    /// the other order.
    #[test]
    fn who_comes_while_another_goes_stays_subscribed() {
        let (interest, wanted) = (Interest::default(), AtomicBool::new(false));
        interest.add(0, topic(), || wanted.store(true, Ordering::SeqCst));
        let (going, came) = (Barrier::new(2), AtomicBool::new(false));
        std::thread::scope(|threads| {
            threads.spawn(|| {
                going.wait();
                interest.add(1, topic(), || {
                    came.store(true, Ordering::SeqCst);
                    wanted.store(true, Ordering::SeqCst);
                });
            });
            interest.remove(0, topic(), || {
                going.wait();
                // As long as it takes the other to come in between, if it can.
                (0..1_000).for_each(|_| {
                    if !came.load(Ordering::SeqCst) {
                        std::thread::yield_now();
                    }
                });
                wanted.store(false, Ordering::SeqCst);
            });
        });
        assert!(wanted.load(Ordering::SeqCst) && !interest.is_empty());
    }
}
