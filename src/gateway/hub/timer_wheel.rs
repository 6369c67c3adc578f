//! The timers of a worker's sessions: a hashed wheel of slots, so that a connection needs eight bytes of
//! timer and no task.

use crate::actors::inbox::SessionKey;

/// How precise deadlines are.
pub const SLOT_MS: u64 = 250;
const SLOTS: usize = 256;

/// A hashed wheel. A deadline further away than one turn is checked once per turn and put back.
#[derive(Debug)]
pub struct TimerWheel {
    slots: Vec<Vec<SessionKey>>,
    /// The number of the slot that was turned last, not reduced to the wheel's size.
    turned: u64,
}

impl TimerWheel {
    /// A wheel at `now_ms`.
    pub fn new(now_ms: u64) -> Self {
        Self { slots: (0..SLOTS).map(|_| Vec::new()).collect(), turned: now_ms / SLOT_MS }
    }

    /// Asks for a callback of `session` at `at_ms` or up to one slot later; earlier when that is more than
    /// one turn away.
    pub fn schedule(&mut self, session: SessionKey, at_ms: u64) {
        let wanted = at_ms.div_ceil(SLOT_MS).max(self.turned + 1).min(self.turned + SLOTS as u64 - 1);
        self.slots[wanted as usize % SLOTS].push(session);
    }

    /// Turns to `now_ms`. Returns the sessions to call back.
    pub fn turn(&mut self, now_ms: u64) -> Vec<SessionKey> {
        let mut due = Vec::new();
        let target = now_ms / SLOT_MS;
        while self.turned < target {
            self.turned += 1;
            due.append(&mut self.slots[self.turned as usize % SLOTS]);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: SessionKey = SessionKey { slot: 1, generation: 0 };

    #[test]
    fn is_never_early_within_a_turn_and_at_most_a_slot_late() {
        let mut wheel = TimerWheel::new(1_000);
        wheel.schedule(KEY, 5_100);
        assert!(wheel.turn(5_099).is_empty());
        assert_eq!(wheel.turn(5_100 + SLOT_MS), [KEY]);
        assert!(wheel.turn(600_000).is_empty());
    }

    #[test]
    fn what_is_overdue_or_far_away_still_comes() {
        let mut wheel = TimerWheel::new(10_000);
        wheel.schedule(KEY, 0);
        assert_eq!(wheel.turn(10_000 + SLOT_MS), [KEY]);
        wheel.schedule(KEY, 10_000_000);
        assert_eq!(wheel.turn(10_000 + SLOT_MS * 300), [KEY], "looked at once per turn");
    }
}
