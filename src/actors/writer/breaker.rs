//! The circuit breaker in front of the database, as a plain value.
//!
//! After several failures in a row no batch is tried for a moment, and all jobs are refused at once. Then one
//! batch tries, and its result decides. So an unavailable database gets one batch at a time, however many
//! jobs wait.

use crate::environment::Backoff;

/// Failures in a row after which the breaker opens.
const FAILURES: u32 = 2;
/// The first pause. It doubles with every failed try.
const FIRST_PAUSE_MS: u64 = 250;
/// The longest pause.
const LONGEST_PAUSE_MS: u64 = 2_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until_ms: u64, pause_ms: u64 },
    Trying { pause_ms: u64 },
}

/// A circuit breaker. It has no clock and no connection to the database.
#[derive(Debug)]
pub struct Breaker {
    state: State,
    pauses: Backoff,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { state: State::Closed { failures: 0 }, pauses: Backoff::new(FIRST_PAUSE_MS, LONGEST_PAUSE_MS) }
    }
}

impl Breaker {
    /// Whether a batch may be tried now.
    ///
    /// # Errors
    /// The milliseconds to wait before asking again.
    pub fn admit(&mut self, now_ms: u64) -> Result<(), u64> {
        match self.state {
            State::Closed { .. } => Ok(()),
            State::Open { until_ms, pause_ms } if now_ms >= until_ms => {
                self.state = State::Trying { pause_ms };
                Ok(())
            }
            State::Open { until_ms, .. } => Err(until_ms - now_ms),
            State::Trying { pause_ms } => Err(pause_ms),
        }
    }

    /// An admitted batch ended. `timed_out`: the database did not answer within the deadline, which opens the
    /// breaker at once.
    pub fn ended(&mut self, worked: bool, timed_out: bool, now_ms: u64) {
        rare!(BreakerOpensByOneTimeout, timed_out && matches!(self.state, State::Closed { failures: 0 }));
        self.state = match self.state {
            _ if worked => {
                rare!(BreakerCloses, self.is_open());
                self.pauses.reset();
                State::Closed { failures: 0 }
            }
            State::Closed { failures } if failures + 1 < FAILURES && !timed_out => {
                State::Closed { failures: failures + 1 }
            }
            State::Closed { .. } | State::Trying { .. } => {
                rare!(TrialOfTheBreakerFails, self.is_open());
                rare!(BreakerOpens, !self.is_open());
                let pause_ms = self.pauses.next_ms();
                State::Open { until_ms: now_ms + pause_ms, pause_ms }
            }
            // The batch began before the breaker opened.
            open @ State::Open { .. } => {
                rare!(BatchFailsBehindAnOpenBreaker);
                open
            }
        };
    }

    /// An admitted batch was never tried.
    pub fn cancelled(&mut self, now_ms: u64) {
        if let State::Trying { pause_ms } = self.state {
            self.state = State::Open { until_ms: now_ms, pause_ms };
        }
    }

    /// Whether no batch, or only one trial batch, is tried.
    pub const fn is_open(&self) -> bool {
        !matches!(self.state, State::Closed { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_after_failures_in_a_row_and_lets_one_try() {
        let mut breaker = Breaker::default();
        breaker.ended(false, false, 0);
        breaker.ended(true, false, 0);
        breaker.ended(false, false, 0);
        assert!(!breaker.is_open() && breaker.admit(0).is_ok(), "not in a row");
        breaker.ended(false, false, 0);
        assert_eq!(breaker.admit(10), Err(FIRST_PAUSE_MS - 10));
        assert!(breaker.admit(FIRST_PAUSE_MS).is_ok());
        assert_eq!(breaker.admit(FIRST_PAUSE_MS), Err(FIRST_PAUSE_MS), "one tries");
        breaker.ended(false, false, FIRST_PAUSE_MS);
        assert_eq!(breaker.admit(FIRST_PAUSE_MS), Err(2 * FIRST_PAUSE_MS), "and waits twice as long");
        assert!(breaker.admit(3 * FIRST_PAUSE_MS).is_ok());
        breaker.ended(true, false, 3 * FIRST_PAUSE_MS);
        assert!(!breaker.is_open());
    }

    #[test]
    fn a_deadline_that_passed_opens_it_at_once_and_pauses_are_bounded() {
        let mut breaker = Breaker::default();
        let mut now_ms = 0;
        breaker.ended(false, true, now_ms);
        for _ in 0..20 {
            let Err(wait_ms) = breaker.admit(now_ms) else { panic!("it is open") };
            assert!(wait_ms <= LONGEST_PAUSE_MS);
            now_ms += wait_ms;
            assert!(breaker.admit(now_ms).is_ok());
            breaker.ended(false, true, now_ms);
        }
        assert!(breaker.admit(now_ms + LONGEST_PAUSE_MS).is_ok());
        breaker.cancelled(now_ms + LONGEST_PAUSE_MS);
        assert!(breaker.admit(now_ms + LONGEST_PAUSE_MS).is_ok(), "another may try instead");
    }
}
