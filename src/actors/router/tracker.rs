//! The order of each conversation as this node passes it on: notices repeats and holes by seq.

use std::collections::{BTreeMap, HashMap};

use crate::domain::{Committed, ConversationId, Position, Seq};

/// How many events one conversation may hold back while a hole before them is healed; more are dropped and read later.
const HELD_EVENTS: usize = 256;
/// How far back the log is read when a conversation is first seen in the middle of a burst.
const BACK_EVENTS: u64 = 500;

/// What to do with an event that just came in.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    /// It is the next one: pass it on.
    Pass,
    /// It is the next one, and all who read here had it before they came: drop it, then look what it releases.
    Old,
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
    /// The log is known to reach this far.
    known: Seq,
    /// While catching up behind the first event seen: events before this position are older than everybody's heads here.
    floor: Position,
    held: BTreeMap<Seq, Committed>,
    healing: bool,
    /// Nobody reads it at the moment: `last` only tells what was passed on before.
    resting: bool,
}

/// The last seq passed on per conversation, and what waits behind holes.
///
/// Bounded: at most `capacity` conversations; past it the quiet ones (nothing held) are forgotten. A forgotten
/// conversation's next event is judged like a first one.
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

    /// Judges an event; a held one is kept inside. Everything before `covered` has reached this node, or those who read here
    /// have read it; `None` where no other process writes. So a conversation's first event passes when its predecessor lies
    /// there, repeats when it lies there itself, and else its predecessor was lost.
    pub fn admit(&mut self, committed: &Committed, covered: Option<Position>) -> Verdict {
        let (conversation, seq) = (committed.event.conversation, committed.event.seq);
        if !self.tracks.contains_key(&conversation) {
            self.make_room();
            self.tracks.insert(conversation, Track { resting: true, ..Track::default() });
        }
        let track = self.tracks.entry(conversation).or_default();
        if track.resting && seq > track.last {
            *track = match covered {
                Some(covered) if committed.position < covered => {
                    Track { last: seq, known: seq, ..Track::default() }
                }
                Some(covered) if seq.get() > 1 && committed.previous >= covered => {
                    let last = before(seq, 1 + BACK_EVENTS).max(track.last);
                    Track { last, floor: covered, ..Track::default() }
                }
                _ => Track { last: before(seq, 1), ..Track::default() },
            };
        }
        if seq <= track.last {
            return Verdict::Repeat;
        }
        track.known = track.known.max(seq);
        if seq == track.last.next() {
            track.last = seq;
            if committed.position < track.floor {
                return Verdict::Old;
            }
            track.floor = Position(0);
            return Verdict::Pass;
        }
        if track.held.len() < HELD_EVENTS {
            track.held.insert(seq, committed.clone());
        }
        let first = !track.healing;
        track.healing = true;
        Verdict::Hole { first }
    }

    /// Somebody begins to read here and has everything up to `last`.
    pub fn begin(&mut self, conversation: ConversationId, last: Seq) {
        self.make_room();
        let track =
            self.tracks.entry(conversation).or_insert_with(|| Track { resting: true, ..Track::default() });
        if track.resting {
            let last = last.max(track.last);
            *track = Track { last, known: last, ..Track::default() };
        }
    }

    /// Somebody reads here from `last` on, and nobody did before: whatever was being healed concerns nobody any more.
    pub fn restart(&mut self, conversation: ConversationId, last: Seq) {
        self.rest(conversation);
        self.begin(conversation, last);
    }

    /// Nobody reads a conversation here any more. What was passed on is remembered while there is room, so that a late copy
    /// of it is not taken for news when somebody comes back.
    pub fn rest(&mut self, conversation: ConversationId) {
        if let Some(track) = self.tracks.get_mut(&conversation) {
            *track = Track { last: track.last, known: track.last, resting: true, ..Track::default() };
        }
    }

    /// The last seq that was passed on or that all who read here had; `None` when the conversation is not tracked.
    pub fn last(&self, conversation: ConversationId) -> Option<Seq> {
        self.tracks.get(&conversation).map(|track| track.last)
    }

    /// Takes in that the log holds events `first..=last` of a conversation that somebody here reads, and that all of them
    /// should have come by now. Answers whether to start healing.
    pub fn learn(&mut self, conversation: ConversationId, first: Seq, last: Seq) -> bool {
        self.begin(conversation, before(first, 1));
        let track = self.tracks.entry(conversation).or_default();
        track.known = track.known.max(last);
        let start = track.known > track.last && !track.healing;
        track.healing |= start;
        start
    }

    /// The events that may go out now that their predecessor has, in order. Call after each [`Verdict::Pass`] or
    /// [`Verdict::Old`].
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
                if committed.position >= track.floor {
                    track.floor = Position(0);
                    released.push(committed);
                }
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
        if track.known <= track.last {
            track.healing = false;
            return None;
        }
        Some(track.last)
    }

    /// A hole cannot be looked into now: the next sign of it starts healing again. What was passed on stays known, or the log
    /// read as a whole would bring it twice.
    pub fn put_off(&mut self, conversation: ConversationId) {
        if let Some(track) = self.tracks.get_mut(&conversation) {
            track.healing = false;
        }
    }

    fn make_room(&mut self) {
        if self.tracks.len() >= self.capacity {
            self.tracks.retain(|_, track| !track.resting);
        }
        if self.tracks.len() >= self.capacity {
            self.tracks.retain(|_, track| track.healing);
        }
    }

    /// Forgets a conversation whose holes cannot be healed now.
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

fn before(seq: Seq, steps: u64) -> Seq {
    Seq::new(seq.get().saturating_sub(steps)).unwrap_or(Seq::ZERO)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::domain::{Audience, ConversationKind, Event, EventKind, Timestamp, UserId};

    const ALL: Option<Position> = None;

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
    fn passed_from(tracker: &mut Tracker, seqs: &[u64], covered: Option<Position>) -> Vec<u64> {
        let mut out = Vec::new();
        for seq in seqs {
            let verdict = tracker.admit(&committed(*seq), covered);
            if verdict == Verdict::Pass {
                out.push(*seq);
            }
            if matches!(verdict, Verdict::Pass | Verdict::Old) {
                out.extend(tracker.release(conversation()).iter().map(|next| next.event.seq.get()));
            }
        }
        out
    }

    fn passed(tracker: &mut Tracker, seqs: &[u64]) -> Vec<u64> {
        passed_from(tracker, seqs, ALL)
    }

    #[test]
    fn repeats_are_dropped_and_holes_held_until_filled() {
        let mut tracker = Tracker::new(10);
        assert_eq!(passed(&mut tracker, &[5, 6, 6, 5, 8, 9]), [5, 6]);
        assert_eq!(tracker.hole(conversation()), Seq::new(6));
        assert_eq!(passed(&mut tracker, &[7]), [7, 8, 9]);
        assert_eq!(tracker.hole(conversation()), None);
        assert_eq!(tracker.admit(&committed(11), ALL), Verdict::Hole { first: true });
        assert_eq!(tracker.admit(&committed(12), ALL), Verdict::Hole { first: false });
    }

    #[test]
    fn forgets_quiet_conversations_at_its_bound() {
        let mut tracker = Tracker::new(0);
        assert_eq!(passed(&mut tracker, &[1, 2]), [1, 2]);
        tracker.forget(conversation());
        assert!(tracker.is_empty());
    }

    #[test]
    fn a_first_event_whose_predecessor_was_lost_waits_for_what_is_not_covered() {
        let mut tracker = Tracker::new(10);
        let covered = Some(Position(7));
        let first = passed_from(&mut tracker, &[10], covered);
        assert!(first.is_empty(), "9 lies behind what is covered, and is missing");
        let after = tracker.hole(conversation()).map(Seq::get);
        assert_eq!(after, Some(0), "the log is read from far enough back");
        assert_eq!(passed_from(&mut tracker, &[1, 2, 3, 4, 5, 6, 7, 8, 9], covered), [7, 8, 9, 10]);
        assert_eq!(tracker.hole(conversation()), None);
        assert_eq!(passed_from(&mut tracker, &[11], covered), [11]);

        let mut tracker = Tracker::new(10);
        assert_eq!(passed_from(&mut tracker, &[7, 8], covered), [7, 8], "6 is covered");
        tracker.forget(conversation());
        assert_eq!(passed_from(&mut tracker, &[6, 7], covered), [7], "6 came before");
    }

    #[test]
    fn a_digest_shows_the_hole_at_the_end() {
        let mut tracker = Tracker::new(10);
        let seq = |n| Seq::new(n).unwrap_or_default();
        assert_eq!(passed(&mut tracker, &[4, 5]), [4, 5]);
        assert!(!tracker.learn(conversation(), seq(4), seq(5)), "all came");
        assert!(tracker.learn(conversation(), seq(5), seq(7)));
        assert!(!tracker.learn(conversation(), seq(7), seq(8)), "being healed");
        assert_eq!(tracker.hole(conversation()), Some(seq(5)));
        assert_eq!(passed(&mut tracker, &[6, 7, 8]), [6, 7, 8]);
        assert_eq!(tracker.hole(conversation()), None);

        tracker.forget(conversation());
        assert!(tracker.learn(conversation(), seq(20), seq(21)), "nothing of it ever came");
        assert_eq!(passed(&mut tracker, &[20, 21]), [20, 21]);
    }

    #[test]
    fn a_hole_put_off_is_filled_by_whatever_brings_it_and_nothing_comes_twice() {
        let mut tracker = Tracker::new(10);
        let seq = |n| Seq::new(n).unwrap_or_default();
        assert_eq!(passed(&mut tracker, &[4, 5]), [4, 5]);
        assert!(tracker.learn(conversation(), seq(4), seq(7)));
        tracker.put_off(conversation());
        assert_eq!(passed(&mut tracker, &[4, 5, 6]), [6], "the log from before the digest");
        assert_eq!(tracker.admit(&committed(8), ALL), Verdict::Hole { first: true }, "healing starts again");
        assert_eq!(passed(&mut tracker, &[7]), [7, 8]);
    }

    #[test]
    fn who_comes_back_is_not_told_again_what_was_passed_on_before() {
        let mut tracker = Tracker::new(10);
        let seq = |n| Seq::new(n).unwrap_or_default();
        let covered = Some(Position(2));
        tracker.begin(conversation(), seq(3));
        assert_eq!(passed_from(&mut tracker, &[4, 5], covered), [4, 5]);
        tracker.rest(conversation());
        assert_eq!(tracker.last(conversation()), Some(seq(5)));
        assert_eq!(tracker.admit(&committed(5), covered), Verdict::Repeat, "a late copy");
        tracker.begin(conversation(), seq(9));
        assert_eq!(passed_from(&mut tracker, &[8, 9, 10], covered), [10]);
        tracker.rest(conversation());
        assert!(passed_from(&mut tracker, &[13], covered).is_empty(), "11 and 12 are missing");
        assert_eq!(tracker.hole(conversation()), Some(seq(10)));
        assert_eq!(passed_from(&mut tracker, &[11, 12], covered), [11, 12, 13]);
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
