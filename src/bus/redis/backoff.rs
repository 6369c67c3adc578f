//! How long to wait before connecting again.

use std::time::Duration;

use crate::environment::Environment;

const FIRST_MS: u64 = 50;
const LONGEST_MS: u64 = 1_000;

/// Doubles from 50 ms to 1 s, each wait drawn from the upper half, so that a fleet does not come back in step.
#[derive(Debug)]
pub struct Backoff {
    next_ms: u64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next_ms: FIRST_MS }
    }
}

impl Backoff {
    /// It worked: the next wait is the shortest again.
    pub fn reset(&mut self) {
        self.next_ms = FIRST_MS;
    }

    /// The next wait.
    pub fn next(&mut self, environment: &dyn Environment) -> Duration {
        let half_ms = self.next_ms / 2;
        let wait_ms = half_ms + environment.random_below(half_ms + 1);
        self.next_ms = (self.next_ms * 2).min(LONGEST_MS);
        Duration::from_millis(wait_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::ManualEnvironment;

    #[test]
    fn waits_grow_to_a_second_and_begin_anew() {
        let environment = ManualEnvironment::new(0, 7);
        let mut backoff = Backoff::default();
        for longest_ms in [50, 100, 200, 400, 800, 1_000, 1_000] {
            let wait = backoff.next(&environment).as_millis() as u64;
            assert!((longest_ms / 2..=longest_ms).contains(&wait), "{wait} of {longest_ms}");
        }
        backoff.reset();
        assert!(backoff.next(&environment).as_millis() <= 50);
    }
}
