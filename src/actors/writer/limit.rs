//! How many batches may be in flight at once, learnt from how long commits take, as a plain value.
//!
//! Additive increase, multiplicative decrease (RFC 5681 section 3.1, applied to concurrency): while commits
//! stay below the target one more is allowed per round; a slow commit lowers the limit, a failed one halves
//! it. The limit acts before the database is overloaded; [`super::breaker`] acts when it fails.

/// A slow commit multiplies the limit by this.
const SLOWER: f64 = 0.9;
/// A failed commit multiplies the limit by this.
const FAILED: f64 = 0.5;

/// How a batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchOutcome {
    /// The store answered.
    Answered {
        /// Microseconds from the call to its answer.
        took_us: u64,
    },
    /// The store failed or did not answer.
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
    /// Begins with `most` batches and never allows more; lowers the limit while commits take more than
    /// `target_us`.
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
    pub fn ended(&mut self, outcome: BatchOutcome) {
        rare!(
            CommitSlowerThanTheTarget,
            matches!(outcome, BatchOutcome::Answered { took_us } if took_us > self.target_us)
        );
        let saturated = self.in_flight >= self.allowed();
        self.in_flight = self.in_flight.saturating_sub(1);
        self.limit = match outcome {
            BatchOutcome::Failed => self.limit * FAILED,
            BatchOutcome::Answered { took_us } if took_us > self.target_us => self.limit * SLOWER,
            // The limit was not reached, so this answer proves nothing about it.
            BatchOutcome::Answered { .. } if saturated => self.limit + 1.0 / self.limit,
            BatchOutcome::Answered { .. } => self.limit,
        }
        .clamp(1.0, self.most);
    }

    /// A batch was admitted and never begun.
    pub fn cancelled(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// How many batches may be in flight now; at least 1.
    pub fn allowed(&self) -> usize {
        self.limit as usize
    }

    /// How many batches are in flight.
    pub const fn in_flight(&self) -> usize {
        self.in_flight
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round(limit: &mut AdaptiveLimit, outcome: BatchOutcome) {
        while limit.begin() {}
        while limit.in_flight() > 0 {
            limit.ended(outcome);
        }
    }

    #[test]
    fn slows_down_before_the_database_hurts_and_recovers() {
        let mut limit = AdaptiveLimit::new(8, 100);
        assert_eq!(limit.allowed(), 8);
        round(&mut limit, BatchOutcome::Answered { took_us: 101 });
        let slowed = limit.allowed();
        assert!(slowed < 8, "{slowed}");
        round(&mut limit, BatchOutcome::Failed);
        assert_eq!(limit.allowed(), 1);
        for _ in 0..60 {
            round(&mut limit, BatchOutcome::Answered { took_us: 50 });
        }
        assert_eq!(limit.allowed(), 8);
    }

    #[test]
    fn what_was_not_used_is_not_raised() {
        let mut limit = AdaptiveLimit::new(8, 100);
        round(&mut limit, BatchOutcome::Failed);
        let lowered = limit.allowed();
        assert!(limit.begin());
        if lowered > 1 {
            limit.ended(BatchOutcome::Answered { took_us: 1 });
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
                    limit.ended(if took_us > 250 { BatchOutcome::Failed } else { BatchOutcome::Answered { took_us } });
                }
                prop_assert!((1..=4).contains(&limit.allowed()) && limit.in_flight() <= 4);
            }
        }
    }
}
