//! How long to wait before something that failed is tried again. The one place where waits double.

use std::time::Duration;

use super::Environment;

/// Waits that double from a first to a longest one, and begin anew after a success. It knows no clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first_ms: u64,
    longest_ms: u64,
    next_ms: u64,
}

impl Backoff {
    /// The first wait is `first_ms`; no wait is longer than `longest_ms`.
    pub const fn new(first_ms: u64, longest_ms: u64) -> Self {
        Self { first_ms, longest_ms, next_ms: first_ms }
    }

    /// To be called after a success: the next wait is the first one again.
    pub const fn reset(&mut self) {
        self.next_ms = self.first_ms;
    }

    /// The wait that [`Backoff::next_ms`] will return, in milliseconds.
    pub const fn peek_ms(&self) -> u64 {
        self.next_ms
    }

    /// How long to wait now, in milliseconds. The wait after it is twice as long, up to the longest.
    pub fn next_ms(&mut self) -> u64 {
        let wait_ms = self.next_ms;
        self.next_ms = wait_ms.saturating_mul(2).min(self.longest_ms);
        wait_ms
    }

    /// As [`Backoff::next_ms`], drawn at random from the upper half of that wait, so that many processes
    /// which failed at the same moment do not try again at the same moment.
    pub fn next_spread(&mut self, environment: &dyn Environment) -> Duration {
        let longest_ms = self.next_ms();
        let half_ms = longest_ms / 2;
        Duration::from_millis(half_ms + environment.random_below(longest_ms - half_ms + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::ManualEnvironment;

    #[test]
    fn waits_double_to_the_longest_and_begin_anew() {
        let mut backoff = Backoff::new(50, 1_000);
        let waits: Vec<u64> = (0..7).map(|_| backoff.next_ms()).collect();
        assert_eq!(waits, [50, 100, 200, 400, 800, 1_000, 1_000]);
        backoff.reset();
        assert_eq!((backoff.peek_ms(), backoff.next_ms(), backoff.peek_ms()), (50, 50, 100));
    }

    #[test]
    fn spread_waits_lie_in_the_upper_half() {
        let environment = ManualEnvironment::new(0, 7);
        let mut backoff = Backoff::new(50, 1_000);
        for longest_ms in [50, 100, 200, 400, 800, 1_000, 1_000] {
            let wait_ms = backoff.next_spread(&environment).as_millis() as u64;
            assert!((longest_ms / 2..=longest_ms).contains(&wait_ms), "{wait_ms} of {longest_ms}");
        }
    }
}
