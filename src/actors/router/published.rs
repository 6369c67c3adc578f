//! The events that nodes announced as published. The relay publishes the others.

use std::collections::HashSet;
use std::sync::Mutex;

use crate::domain::{ConversationId, Seq};
use crate::panics::lock;

/// Announcements kept, the newest last. Older ones are forgotten; at worst their events are published again.
const MOST: usize = 200_000;

/// An event, in the incarnation of the log that has it.
type Key = (u64, ConversationId, Seq);

#[derive(Debug, Default)]
struct Generations {
    young: HashSet<Key>,
    old: HashSet<Key>,
}

/// The announcements of the last seconds, in two generations of half the bound each.
#[derive(Debug, Default)]
pub struct PublishedSet {
    generations: Mutex<Generations>,
}

impl PublishedSet {
    /// Notes events of the log `epoch` that a node published.
    pub fn note(&self, epoch: u64, events: impl IntoIterator<Item = (ConversationId, Seq)>) {
        let mut generations = self.lock();
        for (conversation, seq) in events {
            generations.young.insert((epoch, conversation, seq));
            if generations.young.len() >= bound!(AnnouncedEvents, MOST) / 2 {
                generations.old = std::mem::take(&mut generations.young);
            }
        }
    }

    /// Whether a node published an event. Each event is asked for once, so its note is removed.
    pub fn take(&self, epoch: u64, conversation: ConversationId, seq: Seq) -> bool {
        let (mut generations, key) = (self.lock(), (epoch, conversation, seq));
        generations.young.remove(&key) || generations.old.remove(&key)
    }

    /// How many announcements are kept.
    pub fn len(&self) -> usize {
        let generations = self.lock();
        generations.young.len() + generations.old.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Generations> {
        lock(&self.generations)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::ConversationKind;

    #[test]
    fn remembers_what_was_published_once_and_is_bounded() {
        let conversation = ConversationId::from_random(ConversationKind::Group, Uuid::from_u128(1));
        let seq = |n| (conversation, Seq::new(n).unwrap_or_default());
        let announced = PublishedSet::default();
        announced.note(1, [seq(1), seq(2)]);
        assert!(!announced.take(2, conversation, seq(1).1), "another log has another event there");
        assert!(announced.take(1, conversation, seq(1).1));
        assert!(!announced.take(1, conversation, seq(1).1));
        announced.note(1, (0..2 * MOST as u64).map(|n| seq(n + 10)));
        assert!(announced.len() <= MOST);
    }
}
