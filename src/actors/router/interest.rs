//! Which worker threads have somebody for a topic, and whether the node has anybody at all.

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

    /// Whether a worker is in it.
    pub const fn contains(self, worker: WorkerId) -> bool {
        self.0 & (1 << worker) != 0
    }

    /// Whether nobody is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The workers in it.
    pub fn iter(self) -> impl Iterator<Item = WorkerId> {
        (0..MAX_WORKERS as u8).filter(move |worker| self.0 & (1 << worker) != 0)
    }
}

/// A change of the node's interest as a whole, to pass on to the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The first local session: subscribe the node.
    First,
    /// The last one is gone: unsubscribe the node.
    Last,
    /// Neither.
    Same,
}

/// Counts of local sessions per topic and worker. Entries exist only while a count is above zero, so the map is bounded
/// by the connections and their subscriptions.
#[derive(Debug, Default)]
pub struct Interest {
    counts: DashMap<Topic, SmallVec<[(WorkerId, u32); 2]>>,
}

impl Interest {
    /// A session of `worker` reads `topic` from now on.
    pub fn add(&self, worker: WorkerId, topic: Topic) -> Turn {
        let mut entry = self.counts.entry(topic).or_default();
        let turn = if entry.is_empty() { Turn::First } else { Turn::Same };
        match entry.iter_mut().find(|(other, _)| *other == worker) {
            Some((_, count)) => *count += 1,
            None => entry.push((worker, 1)),
        }
        turn
    }

    /// A session of `worker` reads `topic` no more.
    pub fn remove(&self, worker: WorkerId, topic: Topic) -> Turn {
        let Entry::Occupied(mut entry) = self.counts.entry(topic) else { return Turn::Same };
        let counts = entry.get_mut();
        if let Some(at) = counts.iter().position(|(other, _)| *other == worker) {
            counts[at].1 -= 1;
            if counts[at].1 == 0 {
                counts.swap_remove(at);
            }
        }
        if counts.is_empty() {
            entry.remove();
            return Turn::Last;
        }
        Turn::Same
    }

    /// The workers that have somebody for any of `topics`.
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

    /// How many topics somebody reads.
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether nobody reads anything.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::UserId;

    #[test]
    fn only_the_first_and_the_last_local_reader_turn_the_node() {
        let interest = Interest::default();
        let topic = Topic::User(UserId::from_uuid(Uuid::from_u128(1)));
        assert_eq!(interest.add(0, topic), Turn::First);
        assert_eq!(interest.add(1, topic), Turn::Same);
        assert_eq!(interest.add(1, topic), Turn::Same);
        assert_eq!(interest.workers([topic].into_iter()).iter().collect::<Vec<_>>(), [0, 1]);
        assert_eq!(interest.remove(0, topic), Turn::Same);
        assert_eq!(interest.remove(1, topic), Turn::Same);
        assert_eq!(interest.remove(1, topic), Turn::Last);
        assert_eq!(interest.remove(1, topic), Turn::Same, "a repeated removal changes nothing");
        assert!(interest.is_empty());
    }
}
