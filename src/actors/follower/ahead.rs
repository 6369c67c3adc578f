//! From where to read committed events past the end of the log while that end does not move, as a plain
//! value.
//!
//! The end of the log is the oldest undecided transaction that has written, in any database of the server. A
//! transaction that stays open keeps the end from moving. Events committed after it are read past the end:
//! each read begins at the oldest undecided transaction that may still belong to this log, because those are
//! short. What an older one writes is read when the end moves again.

use std::collections::HashMap;

use crate::domain::Position;
use crate::store::{Cursor, Running};

/// When the end has not moved for this long, something may hold it back.
const STANDS_MS: u64 = 400;
/// Between two reads past the end.
const EVERY_MS: u64 = 400;
/// A transaction that is open for this long does not append to the log: appends end with the store's timeout.
const OLD_MS: u64 = 10_000;

/// How far the log was read past its end.
#[derive(Debug, Default)]
pub struct Ahead {
    /// Undecided transactions, each with when it was first seen.
    seen_ms: HashMap<Position, u64>,
    /// The end of the log, and since when it has been there.
    end: Option<(Cursor, u64)>,
    /// From where the next read past the end begins; `None`: from the end.
    from: Option<Position>,
    read_ms: Option<u64>,
    /// The log was read to its end because something was lost. The lost event may lie past the end.
    due: bool,
    /// A relay said that the end is held back. No digest names an event past it, so an event that the bus
    /// loses there does not show.
    told: bool,
}

impl Ahead {
    /// Everything before `end` is covered.
    pub fn on_end(&mut self, end: Cursor, now_ms: u64) {
        if self.end.is_none_or(|(known, _)| known != end) {
            self.end = Some((end, now_ms));
            self.told = false;
            self.from = self.from.filter(|from| *from > end.position);
        }
    }

    /// The log was read to its end because something was lost. The lost event may lie past the end.
    pub const fn on_gap_closed(&mut self) {
        self.due = true;
    }

    /// A digest arrived. `held_back`: its relay found that the log's end is held back.
    pub const fn on_digest(&mut self, held_back: bool) {
        self.told = held_back;
    }

    /// Whether the end has not moved for so long that something may hold it back.
    pub fn has_stalled(&self, now_ms: u64) -> bool {
        self.end.is_some_and(|(_, since_ms)| now_ms.saturating_sub(since_ms) >= STANDS_MS)
    }

    /// Whether to read past the end now. `tailing`: this node reads the log because the bus cannot be
    /// trusted.
    pub fn is_due(&self, tailing: bool, now_ms: u64) -> bool {
        let rested = self.read_ms.is_none_or(|read_ms| now_ms.saturating_sub(read_ms) >= EVERY_MS);
        self.due || (rested && (self.told || (tailing && self.has_stalled(now_ms))))
    }

    /// `running` transactions are undecided. Returns from where to read; `None`: nothing is past the end.
    pub fn on_running(&mut self, running: &Running, now_ms: u64) -> Option<Position> {
        self.seen_ms.retain(|number, _| running.numbers.contains(number));
        for number in &running.numbers {
            self.seen_ms.entry(*number).or_insert(now_ms);
        }
        let (end, _) = self.end?;
        (running.next > end.position).then(|| self.from.unwrap_or(end.position).max(end.position))
    }

    /// Everything that was committed when `running` was read has been read.
    pub fn on_read(&mut self, running: &Running, now_ms: u64) {
        let young = running.numbers.iter().filter(|number| {
            self.seen_ms.get(number).is_none_or(|seen_ms| now_ms.saturating_sub(*seen_ms) < OLD_MS)
        });
        self.from = Some(young.min().copied().unwrap_or(running.next));
        rare!(TransactionOpenForLong, self.held_back_ms(now_ms) >= OLD_MS);
        self.read_ms = Some(now_ms);
        self.due = false;
    }

    /// For how many milliseconds the oldest undecided transaction has been seen.
    pub fn held_back_ms(&self, now_ms: u64) -> u64 {
        let oldest = self.seen_ms.iter().min_by_key(|(number, _)| **number);
        oldest.map_or(0, |(_, seen_ms)| now_ms.saturating_sub(*seen_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(position: u64) -> Cursor {
        Cursor { epoch: 1, position: Position(position) }
    }

    fn running(numbers: &[u64], next: u64) -> Running {
        Running { numbers: numbers.iter().copied().map(Position).collect(), next: Position(next) }
    }

    #[test]
    fn an_end_that_stands_is_read_past_while_nothing_else_brings_what_lies_there() {
        let mut ahead = Ahead::default();
        ahead.on_end(end(10), 0);
        assert!(!ahead.is_due(true, STANDS_MS - 1));
        assert!(ahead.is_due(true, STANDS_MS) && !ahead.is_due(false, STANDS_MS));
        assert_eq!(ahead.on_running(&running(&[], 10), 500), None, "an idle log");
        let held = running(&[10, 14], 20);
        assert_eq!(ahead.on_running(&held, 500), Some(Position(10)));
        ahead.on_read(&held, 500);
        assert!(!ahead.is_due(true, 500 + EVERY_MS - 1) && ahead.is_due(true, 500 + EVERY_MS));
        // Both may be of this log yet: what they write is looked for.
        assert_eq!(ahead.on_running(&held, 1_000), Some(Position(10)));
        // Only the first is still open much later.
        let later = running(&[10, 30], 40);
        assert_eq!(ahead.on_running(&later, 500 + OLD_MS), Some(Position(10)));
        ahead.on_read(&later, 500 + OLD_MS);
        assert_eq!(ahead.on_running(&later, 600 + OLD_MS), Some(Position(30)));
        assert_eq!(ahead.held_back_ms(600 + OLD_MS), OLD_MS + 100);
        ahead.on_end(end(40), 700 + OLD_MS);
        assert_eq!(ahead.on_running(&running(&[], 41), 800 + OLD_MS), Some(Position(40)));
        assert_eq!(ahead.held_back_ms(900 + OLD_MS), 0);
    }

    #[test]
    fn what_was_lost_may_lie_past_the_end() {
        let mut ahead = Ahead::default();
        ahead.on_end(end(10), 0);
        ahead.on_gap_closed();
        assert!(ahead.is_due(false, 0));
        let held = running(&[10], 20);
        assert_eq!(ahead.on_running(&held, 0), Some(Position(10)));
        ahead.on_read(&held, 0);
        assert!(!ahead.is_due(false, 10 * STANDS_MS), "what the bus loses now shows in a digest");
    }

    #[test]
    fn a_held_back_end_is_read_past_as_long_as_a_relay_says_so() {
        let mut ahead = Ahead::default();
        ahead.on_end(end(10), 0);
        ahead.on_digest(true);
        assert!(ahead.is_due(false, 0));
        ahead.on_read(&running(&[10], 20), 0);
        assert!(!ahead.is_due(false, EVERY_MS - 1) && ahead.is_due(false, EVERY_MS));
        ahead.on_digest(false);
        assert!(!ahead.is_due(false, EVERY_MS));
        ahead.on_digest(true);
        ahead.on_end(end(20), EVERY_MS);
        assert!(!ahead.is_due(false, EVERY_MS), "the end moves");
    }
}
