//! How many batches may be in flight at once, learnt from how long commits take, as a plain value.
//!
//! Additive increase, multiplicative decrease (RFC 5681 section 3.1, applied to concurrency): while commits stay below the
//! target one more is allowed per round; a slow one lowers the limit, a failed one halves it. It acts before the database
//! hurts; [`super::breaker`] acts once it does.

/// A slow commit leaves this share of the limit.
const SLOWER: f64 = 0.9;
/// A failed one leaves this share.
const FAILED: f64 = 0.5;

/// How a batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered after so many microseconds.
    Answered {
        /// From the call to its answer.
        took_us: u64,
    },
    /// The store did not do it, or did not say so.
    Failed,
}

/// The number of batches that may be in flight now.
#[derive(Debug)]
pub struct AdaptiveLimit {
    limit: f64,
    most: f64,
    target_us: u64,
    in_flight: usize,
}

impl AdaptiveLimit {
    /// Begins with `most` in flight and never allows more; lowers it while commits take more than `target_us`.
    pub fn new(most: usize, target_us: u64) -> Self {
        let most = most.max(1) as f64;
        Self { limit: most, most, target_us, in_flight: 0 }
    }

    /// Begins a batch if the limit allows it.
    pub fn begin(&mut self) -> bool {
        let free = self.in_flight < self.allowed();
        self.in_flight += usize::from(free);
        free
    }

    /// A batch ended.
    pub fn ended(&mut self, outcome: Outcome) {
        let saturated = self.in_flight >= self.allowed();
        self.in_flight = self.in_flight.saturating_sub(1);
        self.limit = match outcome {
            Outcome::Failed => self.limit * FAILED,
            Outcome::Answered { took_us } if took_us > self.target_us => self.limit * SLOWER,
            // A limit that was not reached has proven nothing.
            Outcome::Answered { .. } if saturated => self.limit + 1.0 / self.limit,
            Outcome::Answered { .. } => self.limit,
        }
        .clamp(1.0, self.most);
    }

    /// A batch was never begun after all.
    pub fn cancelled(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// How many may be in flight now: 1 at least.
    pub fn allowed(&self) -> usize {
        self.limit as usize
    }

    /// How many are.
    pub const fn in_flight(&self) -> usize {
        self.in_flight
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round(limit: &mut AdaptiveLimit, outcome: Outcome) {
        while limit.begin() {}
        while limit.in_flight() > 0 {
            limit.ended(outcome);
        }
    }

    #[test]
    fn slows_down_before_the_database_hurts_and_recovers() {
        let mut limit = AdaptiveLimit::new(8, 100);
        assert_eq!(limit.allowed(), 8);
        round(&mut limit, Outcome::Answered { took_us: 101 });
        let slowed = limit.allowed();
        assert!(slowed < 8, "{slowed}");
        round(&mut limit, Outcome::Failed);
        assert_eq!(limit.allowed(), 1);
        for _ in 0..60 {
            round(&mut limit, Outcome::Answered { took_us: 50 });
        }
        assert_eq!(limit.allowed(), 8);
    }

    #[test]
    fn what_was_not_used_is_not_raised() {
        let mut limit = AdaptiveLimit::new(8, 100);
        round(&mut limit, Outcome::Failed);
        let lowered = limit.allowed();
        assert!(limit.begin());
        if lowered > 1 {
            limit.ended(Outcome::Answered { took_us: 1 });
            assert_eq!(limit.allowed(), lowered);
        }
    }

    proptest! {
        #[test]
        fn is_never_exceeded_and_never_nothing(steps in proptest::collection::vec((any::<bool>(), 0_u64..300), 0..200)) {
            let mut limit = AdaptiveLimit::new(4, 100);
            for (begin, took_us) in steps {
                if begin {
                    let before = limit.in_flight();
                    prop_assert_eq!(limit.begin(), before < limit.allowed());
                } else if limit.in_flight() > 0 {
                    limit.ended(if took_us > 250 { Outcome::Failed } else { Outcome::Answered { took_us } });
                }
                prop_assert!((1..=4).contains(&limit.allowed()) && limit.in_flight() <= 4);
            }
        }
    }
}
