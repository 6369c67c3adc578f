//! One conversation's order on this node, as a plain value.
//!
//! ```text
//!           an event that somebody here reads           events before it are missing
//!   Idle ──────────────────────────────────────▶ Live ────────────────────────────────▶ Healing
//!     ▲                                           │ ▲                                      │
//!     └────────── nobody here reads it ───────────┘ └── all that is known of was passed on ┘
//! ```
//!
//! Everything before the *covered* position was passed on here, or is being healed, or nobody here was to get it. So an event
//! whose predecessor lies there joins on, whatever this track saw last; and one that lies there itself is a late copy.

use std::collections::BTreeMap;

use crate::domain::{Committed, Position, Seq};

/// How many events one conversation may hold back while a hole before them is healed; more are dropped and read later.
const HELD_EVENTS: usize = 256;
/// How far before the event that showed a hole the log is read at first, when it is not known how much is missing.
const BACK_EVENTS: u64 = 32;
/// Further back than this the readers compare heads instead: that costs less than passing it all on.
const MOST_BACK_EVENTS: u64 = 8_192;

/// Where an event came from, and so what is known of those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Whoever committed it, here or by the bus. Those before it may have been lost, or be on their way.
    Told,
    /// The log as a whole in commit order: all before it came before it, or are covered.
    Tail,
    /// A stretch of its conversation, read because of a hole.
    Stretch,
}

/// What to do with an event that just came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the next one: pass it on, then what it releases.
    Pass,
    /// It is the next one, and all who read here had it before they came: release what it held up.
    Old,
    /// It was passed on before.
    Repeat,
    /// Nobody here reads it, and nothing waits for it.
    Unread,
    /// Events before it are missing, and they are being read: it is held back.
    Held,
    /// Events before it are missing, and it is the first sign of that: it is held back, and healing starts.
    Hole,
}

/// What a healer is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing is missing any more.
    Nothing,
    /// Read the conversation after this seq.
    After(Seq),
    /// More is missing than is worth passing on: the readers compare heads.
    TooMuch,
}

#[derive(Debug, Default)]
enum Phase {
    /// Nobody here reads it. The track only tells late copies from news.
    #[default]
    Idle,
    Live,
    Healing(Hole),
}

#[derive(Debug)]
struct Hole {
    /// The log is known to reach this far.
    known: Seq,
    /// What lies before this position was covered when the hole was noticed.
    floor: Position,
    /// After which seq to read.
    from: Seq,
    /// How far back `from` was put.
    back: u64,
}

/// What was passed on of one conversation, and what waits for an event before it.
#[derive(Debug, Default)]
pub struct Track {
    /// Everything up to here was passed on, or nobody here is to get it.
    last: Seq,
    phase: Phase,
    held: BTreeMap<Seq, Committed>,
}

impl Track {
    /// Judges an event; a held one is kept inside. `read`: somebody here reads it. `covered`: see the module's
    /// documentation; `None` where no other process writes, so that nothing is lost on the way.
    pub fn admit(
        &mut self,
        one: &Committed,
        read: bool,
        source: Source,
        covered: Option<Position>,
    ) -> Verdict {
        let seq = one.event.seq;
        if seq <= self.last {
            return Verdict::Repeat;
        }
        if let Phase::Healing(hole) = &mut self.phase {
            if read {
                hole.known = hole.known.max(seq);
            }
            let joins_on =
                seq == self.last.next() || (source == Source::Stretch && one.previous < hole.floor);
            if joins_on {
                self.last = seq;
                return if one.position < hole.floor { Verdict::Old } else { Verdict::Pass };
            }
            if source == Source::Stretch && seq == hole.from.next() {
                hole.step_back(self.last, seq);
            }
            self.buffer(one);
            return Verdict::Held;
        }
        if source == Source::Told && covered.is_some_and(|covered| one.position < covered) {
            self.last = seq;
            return Verdict::Repeat;
        }
        let joins_on = seq == self.last.next()
            || match source {
                Source::Told => covered.map_or(self.is_idle(), |covered| one.previous < covered),
                Source::Tail => true,
                Source::Stretch => false,
            };
        if joins_on {
            self.last = seq;
            self.phase = if read { Phase::Live } else { Phase::Idle };
            return Verdict::Pass;
        }
        match source {
            // Read for a hole that was closed meanwhile.
            Source::Stretch => Verdict::Repeat,
            Source::Told | Source::Tail if !read => Verdict::Unread,
            Source::Told | Source::Tail => {
                // Without a covered position nothing is known but what was passed on: all since then is read.
                let back = covered.map_or(u64::MAX, |_| BACK_EVENTS);
                let from = before(seq, back.saturating_add(1)).max(self.last);
                let floor = covered.unwrap_or_default();
                self.phase = Phase::Healing(Hole { known: seq, floor, from, back });
                self.buffer(one);
                Verdict::Hole
            }
        }
    }

    /// Takes in that the log holds events `first..=last`, that somebody here reads some of them, that all should have come by
    /// now, and that what came before `first` is covered. Answers whether to start healing.
    pub fn learn(&mut self, first: Seq, last: Seq, covered: Option<Position>) -> bool {
        if let Phase::Healing(hole) = &mut self.phase {
            hole.known = hole.known.max(last);
            return false;
        }
        self.last = self.last.max(before(first, 1));
        if last <= self.last {
            return false;
        }
        let floor = covered.unwrap_or_default();
        self.phase = Phase::Healing(Hole { known: last, floor, from: self.last, back: u64::MAX });
        true
    }

    /// Somebody begins to read here and has everything up to `last`.
    pub fn follow_from(&mut self, last: Seq) {
        if self.is_idle() {
            *self = Self { last: self.last.max(last), phase: Phase::Live, held: BTreeMap::new() };
        }
    }

    /// Nobody reads here any more. A hole is still healed: who is named in what is missing may be here.
    pub fn unfollow(&mut self) {
        if matches!(self.phase, Phase::Live) {
            self.phase = Phase::Idle;
            self.held.clear();
        }
    }

    /// The events that may go out now that their predecessor has, in order. Call after each [`Verdict::Pass`] or
    /// [`Verdict::Old`].
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
        released
    }

    /// What a healer is to do now; a hole that is closed ends the healing.
    pub fn need(&mut self) -> Need {
        let Phase::Healing(hole) = &self.phase else { return Need::Nothing };
        if hole.known <= self.last {
            self.phase = Phase::Live;
            return Need::Nothing;
        }
        if hole.back != u64::MAX && hole.back > MOST_BACK_EVENTS {
            return Need::TooMuch;
        }
        Need::After(hole.from.max(self.last))
    }

    /// A hole cannot be looked into now, and is not covered yet: the next sign of it starts healing again.
    pub fn postpone(&mut self) {
        if matches!(self.phase, Phase::Healing(_)) {
            self.phase = Phase::Live;
        }
    }

    /// A hole is not healed: its readers learn from heads of all that is known of.
    pub fn give_up(&mut self) {
        if let Phase::Healing(hole) = &self.phase {
            let held = self.held.last_key_value().map_or(Seq::ZERO, |(seq, _)| *seq);
            let last = self.last.max(hole.known).max(held);
            *self = Self { last, phase: Phase::Live, held: BTreeMap::new() };
        }
    }

    /// The last seq that was passed on or that nobody here was to get.
    pub const fn last(&self) -> Seq {
        self.last
    }

    /// Whether nobody here reads it.
    pub const fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle)
    }

    /// Whether a hole is being healed.
    pub const fn is_healing(&self) -> bool {
        matches!(self.phase, Phase::Healing(_))
    }

    fn buffer(&mut self, one: &Committed) {
        if self.held.len() < HELD_EVENTS {
            self.held.insert(one.event.seq, one.clone());
        }
    }
}

impl Hole {
    /// The first event that was read is not early enough: what is covered ends before it.
    fn step_back(&mut self, last: Seq, first: Seq) {
        self.back = self.back.saturating_mul(8);
        self.from = before(first, self.back).max(last);
    }
}

fn before(seq: Seq, steps: u64) -> Seq {
    Seq::new(seq.get().saturating_sub(steps)).unwrap_or(Seq::ZERO)
}
