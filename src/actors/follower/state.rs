//! Whether a gateway may trust the bus, and from where it reads the log when it may not, as a plain value.

use crate::bus::Digest;
use crate::domain::Position;
use crate::store::Cursor;

/// Without a digest for this long, the bus or the relay counts as unavailable.
const SILENCE_MS: u64 = 1_500;

/// The next action.
#[derive(Debug, PartialEq, Eq)]
pub enum FollowStep {
    /// Nothing: digests arrive without a gap between them.
    Trust,
    /// Read where the log ends: nothing is known yet, or the log may have been replaced.
    Locate,
    /// Read the log from this position and deliver it.
    Tail(Position),
}

/// How a digest relates to the covered position.
#[derive(Debug, PartialEq, Eq)]
pub enum Joins {
    /// It begins at or before the covered position: compare it, and then call [`FollowerState::covered_to`].
    On,
    /// It begins after the covered position, or is of another log: the log must be read.
    Apart,
    /// It contains nothing new.
    Behind,
}

/// The follower's decisions: whether the bus is trusted, and which position is covered.
#[derive(Debug)]
pub struct FollowerState {
    covered: Option<Cursor>,
    heard_ms: u64,
    bus_up: bool,
    gap: bool,
    /// A digest was of another log.
    doubted: bool,
}

impl FollowerState {
    /// Everything before `covered` counts as delivered. The bus counts as unavailable until a digest arrives.
    pub const fn new(covered: Cursor) -> Self {
        Self { covered: Some(covered), heard_ms: 0, bus_up: false, gap: false, doubted: false }
    }

    /// The position before which everything was delivered.
    pub const fn covered(&self) -> Option<Cursor> {
        self.covered
    }

    /// Whether something was lost since the log was last read to its end.
    pub const fn has_gap(&self) -> bool {
        self.gap
    }

    /// Whether the log is read because the bus cannot be trusted.
    pub const fn is_tailing(&self, now_ms: u64) -> bool {
        !self.bus_up || self.gap || now_ms.saturating_sub(self.heard_ms) > SILENCE_MS
    }

    /// The next action at `now_ms`.
    pub fn step(&self, now_ms: u64) -> FollowStep {
        match self.covered {
            None => FollowStep::Locate,
            Some(_) if self.doubted => FollowStep::Locate,
            Some(covered) if self.is_tailing(now_ms) => FollowStep::Tail(covered.position),
            Some(_) => FollowStep::Trust,
        }
    }

    /// The bus can carry messages (`up`), or it cannot.
    pub fn on_bus(&mut self, up: bool) {
        rare!(BusGoesDown, self.bus_up && !up);
        self.bus_up = up;
    }

    /// The bus may have lost something: the log is read once, from the covered position to its end.
    pub fn on_gap(&mut self) {
        self.gap = true;
    }

    /// The bus brought a message of another log: this one may have been replaced.
    pub const fn on_other_log(&mut self) {
        self.doubted = true;
    }

    /// A digest arrived.
    pub fn on_digest(&mut self, digest: &Digest, now_ms: u64) -> Joins {
        rare!(DigestAfterSilence, self.heard_ms > 0 && now_ms.saturating_sub(self.heard_ms) > SILENCE_MS);
        self.heard_ms = now_ms;
        let Some(covered) = self.covered else { return Joins::Apart };
        if digest.epoch != covered.epoch || digest.from > covered.position {
            rare!(DigestOfAnotherLog, digest.epoch != covered.epoch);
            rare!(DigestBehindAGap, digest.epoch == covered.epoch);
            self.doubted |= digest.epoch != covered.epoch;
            self.gap = true;
            return Joins::Apart;
        }
        rare!(DigestBehindTheFollower, digest.to < covered.position);
        if digest.to <= covered.position { Joins::Behind } else { Joins::On }
    }

    /// A digest was compared: everything before `position` was delivered or is being read.
    pub fn covered_to(&mut self, position: Position) {
        if let Some(covered) = &mut self.covered {
            covered.position = covered.position.max(position);
        }
    }

    /// The log was read up to `next`. `end`: there was no more. A read closes a gap only if it began after
    /// the gap was noticed, so call this for reads that began after the last [`FollowerState::on_gap`].
    pub fn on_tailed(&mut self, next: Position, end: bool) {
        self.covered_to(next);
        if end {
            self.gap = false;
        }
    }

    /// The log ends at `end`. Returns `true` if the log was replaced, so that nothing known of it is valid.
    pub fn on_end(&mut self, end: Cursor) -> bool {
        self.doubted = false;
        let another = self.covered.is_some_and(|covered| covered.epoch != end.epoch);
        if another || self.covered.is_none() {
            self.covered = Some(end);
        }
        another
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(position: u64) -> Cursor {
        Cursor { epoch: 1, position: Position(position) }
    }

    fn digest(from: u64, to: u64) -> Digest {
        Digest { epoch: 1, from: Position(from), to: Position(to), held_back: false, moved: Vec::new() }
    }

    #[test]
    fn trusts_the_bus_while_digests_join_up() {
        let mut state = FollowerState::new(at(10));
        assert_eq!(state.step(0), FollowStep::Tail(Position(10)), "the bus was not heard yet");
        state.on_bus(true);
        assert_eq!(state.on_digest(&digest(8, 12), 100), Joins::On);
        state.covered_to(Position(12));
        assert_eq!(state.step(200), FollowStep::Trust);
        assert_eq!(state.on_digest(&digest(9, 12), 300), Joins::Behind);
        assert_eq!(state.on_digest(&digest(12, 15), 400), Joins::On);
        state.covered_to(Position(15));
        assert_eq!(state.on_digest(&digest(16, 20), 500), Joins::Apart, "15 to 16 is missing");
        assert_eq!(state.step(500), FollowStep::Tail(Position(15)));
        state.on_tailed(Position(20), true);
        assert_eq!(state.step(600), FollowStep::Trust);
    }

    #[test]
    fn reads_the_log_while_the_bus_or_the_relay_is_away() {
        let mut state = FollowerState::new(at(10));
        state.on_bus(true);
        state.on_digest(&digest(10, 11), 1_000);
        state.covered_to(Position(11));
        assert_eq!(state.step(1_000 + SILENCE_MS), FollowStep::Trust);
        assert_eq!(state.step(1_001 + SILENCE_MS), FollowStep::Tail(Position(11)), "no relay");
        state.on_digest(&digest(11, 12), 3_000);
        assert_eq!(state.step(3_000), FollowStep::Trust);
        state.on_bus(false);
        assert_eq!(state.step(3_000), FollowStep::Tail(Position(11)), "no bus");
        state.on_tailed(Position(40), true);
        assert_eq!(state.step(3_000), FollowStep::Tail(Position(40)), "and on it goes");
        state.on_bus(true);
        state.on_gap();
        assert_eq!(state.step(3_000), FollowStep::Tail(Position(40)), "what was lost while subscribing");
        state.on_tailed(Position(41), false);
        assert_eq!(state.step(3_000), FollowStep::Tail(Position(41)), "there is more");
        state.on_tailed(Position(42), true);
        assert_eq!(state.step(3_000), FollowStep::Trust);
    }

    #[test]
    fn another_log_is_noticed() {
        let mut state = FollowerState::new(at(10));
        assert!(!state.on_end(at(12)));
        assert_eq!(state.covered(), Some(at(10)), "what lies between was not passed on");
        let restored = Cursor { epoch: 2, position: Position(5) };
        assert!(state.on_end(restored));
        assert_eq!(state.covered(), Some(restored));
        assert_eq!(state.on_digest(&digest(1, 9), 0), Joins::Apart, "of the old log");
        assert_eq!(state.step(0), FollowStep::Locate, "or of a newer one");
        assert!(!state.on_end(restored));
        assert_eq!(state.step(0), FollowStep::Tail(Position(5)));
    }
}
