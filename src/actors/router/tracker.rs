//! The order of each conversation as this node passes it on: notices repeats and holes by seq.

use std::collections::{BTreeMap, HashMap};

use crate::domain::{Committed, ConversationId, Seq};

/// How many events one conversation may hold back while a hole before them is healed; more are dropped and read later.
const HELD_EVENTS: usize = 256;

/// What to do with an event that just came in.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    /// It is the next one (or the first seen): pass it on.
    Pass,
    /// It was passed on before.
    Repeat,
    /// Events before it are missing: it is held back. `first`: this is the first sign of this hole, so start healing.
    Hole {
        /// Nobody is healing this conversation yet.
        first: bool,
    },
}

#[derive(Debug, Default)]
struct Track {
    last: Seq,
    held: BTreeMap<Seq, Committed>,
    healing: bool,
}

/// The last seq passed on per conversation, and what waits behind holes.
///
/// Bounded: at most `capacity` conversations; past it the quiet ones (nothing held) are forgotten. A forgotten
/// conversation's next event passes as the first seen, and a client that lacks its predecessor notices by seq.
#[derive(Debug)]
pub struct Tracker {
    tracks: HashMap<ConversationId, Track>,
    capacity: usize,
}

impl Tracker {
    /// An empty tracker.
    pub fn new(capacity: usize) -> Self {
        Self { tracks: HashMap::new(), capacity }
    }

    /// Judges an event; a held one is kept inside.
    pub fn admit(&mut self, committed: &Committed) -> Verdict {
        let (conversation, seq) = (committed.event.conversation, committed.event.seq);
        if self.tracks.len() >= self.capacity && !self.tracks.contains_key(&conversation) {
            self.tracks.retain(|_, track| track.healing);
        }
        let track = self.tracks.entry(conversation).or_default();
        if track.last == Seq::ZERO || seq == track.last.next() {
            track.last = seq;
            return Verdict::Pass;
        }
        if seq <= track.last {
            return Verdict::Repeat;
        }
        if track.held.len() < HELD_EVENTS {
            track.held.insert(seq, committed.clone());
        }
        let first = !track.healing;
        track.healing = true;
        Verdict::Hole { first }
    }

    /// The events that may go out now that their predecessor has, in order. Call after each [`Verdict::Pass`].
    pub fn release(&mut self, conversation: ConversationId) -> Vec<Committed> {
        let mut released = Vec::new();
        let Some(track) = self.tracks.get_mut(&conversation) else { return released };
        while let Some(entry) = track.held.first_entry() {
            if *entry.key() > track.last.next() {
                break;
            }
            let committed = entry.remove();
            if committed.event.seq == track.last.next() {
                track.last = committed.event.seq;
                released.push(committed);
            }
        }
        released
    }

    /// The last seq passed on; `None` when the conversation is not tracked.
    pub fn passed(&self, conversation: ConversationId) -> Option<Seq> {
        self.tracks.get(&conversation).map(|track| track.last)
    }

    /// After which seq to read the log to heal a hole; `None` when there is none any more (the healer may stop).
    pub fn hole(&mut self, conversation: ConversationId) -> Option<Seq> {
        let track = self.tracks.get_mut(&conversation)?;
        if track.held.is_empty() {
            track.healing = false;
            return None;
        }
        Some(track.last)
    }

    /// Forgets a conversation that nobody here reads any more.
    pub fn forget(&mut self, conversation: ConversationId) {
        self.tracks.remove(&conversation);
    }

    /// How many conversations are tracked.
    pub fn len(&self) -> usize {
        self.tracks.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.tracks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::domain::{Audience, ConversationKind, Event, EventKind, Position, Timestamp, UserId};

    fn conversation() -> ConversationId {
        ConversationId::from_random(ConversationKind::Group, Uuid::from_u128(1))
    }

    fn committed(seq: u64) -> Committed {
        let user = UserId::from_uuid(Uuid::from_u128(1));
        let seq = Seq::new(seq).unwrap_or_default();
        Committed {
            event: Arc::new(Event {
                conversation: conversation(),
                seq,
                sender: user,
                sent_at: Timestamp::default(),
                kind: EventKind::Delete { target: seq },
            }),
            position: Position(seq.get()),
            previous: Position(seq.get() - 1),
            audience: Audience { users: Arc::new([]) },
        }
    }

    /// Feeds seqs as a node would and answers what it passed on.
    fn passed(tracker: &mut Tracker, seqs: &[u64]) -> Vec<u64> {
        let mut out = Vec::new();
        for seq in seqs {
            if tracker.admit(&committed(*seq)) == Verdict::Pass {
                out.push(*seq);
                out.extend(tracker.release(conversation()).iter().map(|next| next.event.seq.get()));
            }
        }
        out
    }

    #[test]
    fn repeats_are_dropped_and_holes_held_until_filled() {
        let mut tracker = Tracker::new(10);
        assert_eq!(passed(&mut tracker, &[5, 6, 6, 5, 8, 9]), [5, 6]);
        assert_eq!(tracker.hole(conversation()), Seq::new(6));
        assert_eq!(passed(&mut tracker, &[7]), [7, 8, 9]);
        assert_eq!(tracker.hole(conversation()), None);
        assert_eq!(tracker.admit(&committed(11)), Verdict::Hole { first: true });
        assert_eq!(tracker.admit(&committed(12)), Verdict::Hole { first: false });
    }

    #[test]
    fn forgets_quiet_conversations_at_its_bound() {
        let mut tracker = Tracker::new(0);
        assert_eq!(passed(&mut tracker, &[1, 2]), [1, 2]);
        tracker.forget(conversation());
        assert!(tracker.is_empty());
    }

    proptest! {
        /// However the bus shuffles and repeats, what is passed on is a run of successive seqs, none twice; and once the log
        /// is read behind every hole, nothing is missing.
        #[test]
        fn passes_each_event_once_and_in_order(mut seqs in proptest::collection::vec(1_u64..40, 1..120)) {
            let mut tracker = Tracker::new(10);
            seqs.insert(0, 1);
            let highest = seqs.iter().copied().max().unwrap_or(1);
            let mut out = passed(&mut tracker, &seqs);
            while let Some(after) = tracker.hole(conversation()) {
                let next = after.get() + 1;
                out.extend(passed(&mut tracker, &[next]));
            }
            prop_assert_eq!(out, (1..=highest).collect::<Vec<_>>());
        }
    }
}
