//! One conversation's order on this node, as a plain value.
//!
//! ```text
//!           an event that somebody here reads           events before it are missing
//!   Idle ──────────────────────────────────────▶ Live ────────────────────────────────▶ Healing
//!     ▲                                           │ ▲                                      │
//!     └────────── nobody here reads it ───────────┘ └── all that is known of was passed on ┘
//! ```
//!
//! Every event before the *covered* position was delivered here, is being healed, or was for no reader here.
//! So an event whose predecessor lies before it is the next one, even if this track saw an older one last. An
//! event before the covered position is a late copy.

use std::collections::BTreeMap;

use super::named::Named;
use crate::domain::{Committed, Position, Seq, UserId};

/// How many events of one conversation may be held back while a hole before them is healed. More are dropped
/// and read later.
const HELD_EVENTS: usize = 256;
/// How far before the event that showed a hole the log is read first, when it is not known how much is
/// missing.
const BACK_EVENTS: u64 = 32;
/// When more than this is missing, the readers compare heads instead: that costs less than delivering it all.
const MOST_BACK_EVENTS: u64 = 8_192;

/// Where an event came from. It decides what is known of the events before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventSource {
    /// The node that committed it: this one, or another one by the bus. Earlier events may be lost or still
    /// on their way.
    Live,
    /// The whole log, read in commit order: every earlier event was read before it or is covered.
    Tail,
    /// A part of its conversation, read because of a hole.
    Stretch,
}

/// The next action for an event that has just arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the next one: deliver it, then the events that it releases.
    Pass,
    /// It is the next one, and every reader here had it before subscribing: release the events held back for
    /// it.
    Old,
    /// It was delivered before.
    Repeat,
    /// Nobody here was sent it: the heads of the first reader counted it, or it is of a hole that was given
    /// up. Only a user who joined or left by it may need it.
    Undelivered,
    /// It has no reader here, and no event waits for it.
    Unread,
    /// Earlier events are missing and are being read: hold it back.
    Held,
    /// Earlier events are missing, and this is the first sign of it: hold it back and start healing.
    Hole,
}

/// The next action of the healer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing is missing any more.
    Nothing,
    /// Read the conversation after this seq.
    After(Seq),
    /// More is missing than is worth delivering: the readers compare heads instead.
    TooMuch,
}

#[derive(Debug, Default)]
enum Phase {
    /// No session here reads it. The track only distinguishes late copies from new events.
    #[default]
    Idle,
    Live,
    Healing(Box<Hole>),
}

#[derive(Debug)]
struct Hole {
    /// The log reaches at least this seq.
    known: Seq,
    /// Everything before this position was covered when the hole was noticed.
    floor: Position,
    /// After which seq to read.
    from: Seq,
    /// How far before the hole `from` was put.
    back: u64,
    /// Users that its events are for, except the users of held events.
    named: Named,
}

/// The delivered seqs of one conversation, and the events that wait for an earlier one.
#[derive(Debug, Default)]
pub struct Track {
    /// Everything up to here was delivered or had no reader here.
    last: Seq,
    /// After the first seq and up to the second one the heads of the first reader counted the events.
    counted: (Seq, Seq),
    /// The events of holes that were given up lie after the first seq and up to the second one.
    given_up: (Seq, Seq),
    phase: Phase,
    held: BTreeMap<Seq, Committed>,
}

impl Track {
    /// Judges an event and keeps it if it must be held back. `read`: it has a reader here. `covered`: see the
    /// module's documentation; `None` where no other process writes, so that nothing is lost on the way.
    pub fn admit(
        &mut self,
        one: &Committed,
        read: bool,
        source: EventSource,
        covered: Option<Position>,
    ) -> Verdict {
        let seq = one.event.seq;
        if seq <= self.last {
            return if self.undelivered(seq, seq) { Verdict::Undelivered } else { Verdict::Repeat };
        }
        if let Phase::Healing(hole) = &mut self.phase {
            if read {
                hole.known = hole.known.max(seq);
            }
            let joins_on =
                seq == self.last.next() || (source == EventSource::Stretch && one.previous < hole.floor);
            if joins_on {
                self.last = seq;
                rare!(OldEventReadForAHole, one.position < hole.floor);
                return if one.position < hole.floor { Verdict::Old } else { Verdict::Pass };
            }
            if source == EventSource::Stretch && seq == hole.from.next() {
                hole.step_back(self.last, seq);
            }
            self.buffer(one);
            return Verdict::Held;
        }
        if source == EventSource::Live && covered.is_some_and(|covered| one.position < covered) {
            rare!(LateCopyOfACoveredEvent);
            self.last = seq;
            return Verdict::Repeat;
        }
        let joins_on = seq == self.last.next()
            || match source {
                EventSource::Live => covered.map_or(self.is_idle(), |covered| one.previous < covered),
                EventSource::Tail => true,
                EventSource::Stretch => false,
            };
        if joins_on {
            self.last = seq;
            self.phase = if read { Phase::Live } else { Phase::Idle };
            return Verdict::Pass;
        }
        match source {
            // It was read for a hole that was closed in the meantime.
            EventSource::Stretch => {
                rare!(HoleClosedDuringItsRead);
                Verdict::Repeat
            }
            EventSource::Live | EventSource::Tail if !read => Verdict::Unread,
            EventSource::Live | EventSource::Tail => {
                // Without a covered position only what was delivered is known, so everything after that is
                // read.
                let back = covered.map_or(u64::MAX, |_| bound!(FirstDepthOfAHole, BACK_EVENTS));
                let from = before(seq, back.saturating_add(1)).max(self.last);
                let floor = covered.unwrap_or_default();
                self.phase = Phase::Healing(Hole::new(seq, floor, from, back));
                self.buffer(one);
                Verdict::Hole
            }
        }
    }

    /// The log holds events `first..=last`, a session here reads some of them, all should have arrived, and
    /// everything before `first` is covered. `users`: the users here that any of them is for. Returns whether
    /// healing must start.
    pub fn learn(
        &mut self,
        (first, last): (Seq, Seq),
        users: impl IntoIterator<Item = UserId>,
        covered: Option<Position>,
    ) -> bool {
        if let Phase::Healing(hole) = &mut self.phase {
            rare!(DigestDuringARepair);
            hole.known = hole.known.max(last);
            hole.named.add(users);
            return false;
        }
        self.last = self.last.max(before(first, 1));
        if last <= self.last {
            return false;
        }
        rare!(HoleFoundByADigest);
        let floor = covered.unwrap_or_default();
        let mut hole = Hole::new(last, floor, self.last, u64::MAX);
        hole.named.add(users);
        self.phase = Phase::Healing(hole);
        true
    }

    /// A session here begins to read and has everything up to `last`.
    pub fn follow_from(&mut self, last: Seq) {
        if self.is_idle() {
            let (before, last) = (self.last, self.last.max(last));
            let (counted, held) = ((before, last), BTreeMap::new());
            *self = Self { last, counted, phase: Phase::Live, held, ..*self };
        }
    }

    /// Whether any of the events `first..=last` was sent to nobody here, because the heads of the first
    /// reader counted it or because it is of a hole that was given up.
    pub fn undelivered(&self, first: Seq, last: Seq) -> bool {
        [self.counted, self.given_up].iter().any(|(after, upto)| first <= *upto && last > *after)
    }

    /// No session here reads any more. A hole is still healed, because a missing event may be for a user
    /// here.
    pub fn unfollow(&mut self) {
        rare!(LastReaderLeavesDuringARepair, self.is_healing());
        if matches!(self.phase, Phase::Live) {
            self.phase = Phase::Idle;
            self.held.clear();
        }
    }

    /// The events that may be delivered now because their predecessor was, in order. Call after each
    /// [`Verdict::Pass`] or [`Verdict::Old`].
    pub fn release(&mut self) -> Vec<Committed> {
        let mut released = Vec::new();
        let floor = match &self.phase {
            Phase::Healing(hole) => hole.floor,
            Phase::Idle | Phase::Live => Position::default(),
        };
        while let Some(entry) = self.held.first_entry() {
            if *entry.key() > self.last.next() {
                break;
            }
            let committed = entry.remove();
            if committed.event.seq == self.last.next() {
                self.last = committed.event.seq;
                if committed.position >= floor {
                    released.push(committed);
                }
            }
        }
        rare!(EventsHeldBehindAHole, !released.is_empty());
        released
    }

    /// What the healer must do now. When the hole is closed, healing ends.
    pub fn need(&mut self) -> Need {
        let Phase::Healing(hole) = &self.phase else { return Need::Nothing };
        if hole.known <= self.last {
            self.phase = Phase::Live;
            return Need::Nothing;
        }
        if hole.back != u64::MAX && hole.back > bound!(DepthOfAHole, MOST_BACK_EVENTS) {
            return Need::TooMuch;
        }
        Need::After(hole.from.max(self.last))
    }

    /// A hole cannot be read now and is not covered yet: the next sign of it starts healing again.
    pub fn postpone(&mut self) {
        if matches!(self.phase, Phase::Healing(_)) {
            rare!(RepairPostponed);
            self.phase = Phase::Live;
        }
    }

    /// A hole is not healed: its readers learn the newest seq from heads. Returns the users that its events
    /// are for, as far as they are known. A digest that comes later may name more.
    pub fn give_up(&mut self) -> Named {
        let Phase::Healing(hole) = &mut self.phase else { return Named::default() };
        let (known, mut named) = (hole.known, std::mem::take(&mut hole.named));
        self.phase = Phase::Live;
        let held = std::mem::take(&mut self.held);
        let mut users: &[UserId] = &[];
        for one in held.values().filter(|one| !std::ptr::eq(users, &*one.audience.users)) {
            users = &one.audience.users;
            named.add(users.iter().copied());
        }
        let newest = held.last_key_value().map_or(Seq::ZERO, |(seq, _)| *seq);
        let last = self.last.max(known).max(newest);
        let (after, upto) = self.given_up;
        self.given_up = (if upto == Seq::ZERO { self.last } else { after }, last);
        self.last = last;
        named
    }

    /// The last seq that was delivered or had no reader here.
    pub const fn last(&self) -> Seq {
        self.last
    }

    /// Whether it has no reader here.
    pub const fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle)
    }

    /// Whether a hole is being healed.
    pub const fn is_healing(&self) -> bool {
        matches!(self.phase, Phase::Healing(_))
    }

    /// How many events are held back behind a hole.
    pub fn held_events(&self) -> usize {
        self.held.len()
    }

    fn buffer(&mut self, one: &Committed) {
        if self.held.len() < bound!(EventsBehindAHole, HELD_EVENTS) {
            self.held.insert(one.event.seq, one.clone());
        } else {
            rare!(TooManyEventsBehindAHole);
            if let Phase::Healing(hole) = &mut self.phase {
                hole.named.add(one.audience.users.iter().copied());
            }
        }
    }
}

impl Hole {
    fn new(known: Seq, floor: Position, from: Seq, back: u64) -> Box<Self> {
        Box::new(Self { known, floor, from, back, named: Named::default() })
    }

    /// The first event that was read is too late: the covered position ends before it.
    fn step_back(&mut self, last: Seq, first: Seq) {
        rare!(HoleDeeperThanGuessed);
        self.back = self.back.saturating_mul(8);
        self.from = before(first, self.back).max(last);
    }
}

fn before(seq: Seq, steps: u64) -> Seq {
    Seq::new(seq.get().saturating_sub(steps)).unwrap_or(Seq::ZERO)
}
