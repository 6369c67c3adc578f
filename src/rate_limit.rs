//! The one rate limit: how often each of very many users or addresses may do something, on the injected clock
//! and in bounded memory.

mod addresses;

use std::fmt::Debug;
use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::Duration;

use governor::clock::{Clock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};
use hashlink::LruCache;

use crate::environment::SharedEnvironment;
use crate::panics::lock;
use crate::protocol::Failure;

pub use addresses::AddressLimit;

/// Keys remembered at once, per limit. Attackers choose names and addresses freely, so there is a bound.
/// Above it the key that was not used for the longest time is forgotten; a key that exceeds its limit is used
/// often and stays.
const MAX_REMEMBERED: usize = 100_000;
/// The keys are divided by their hash, each part with a lock of its own, so that threads rarely wait for each
/// other.
const PARTS: usize = 16;
/// Idle keys that one check forgets at most. Two, so that more are forgotten than a check can add.
const FORGOTTEN_PER_CHECK: usize = 2;

#[derive(Debug, Clone)]
struct EnvironmentClock(SharedEnvironment);

impl Clock for EnvironmentClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        Duration::from_micros(self.0.monotonic_us())
    }
}

#[derive(Debug)]
struct Usage {
    used_at: Duration,
    /// The state of the key in the limiter.
    state: Nanos,
}

/// The keys of one limit, in each part from the one that was not used for the longest time on.
struct Remembered<K> {
    parts: Vec<Mutex<LruCache<K, Usage>>>,
    hasher: RandomState,
    clock: EnvironmentClock,
    /// A key that was not used for this long has its whole allowance again, remembered or not.
    refilled_after: Duration,
}

impl<K: Hash + Eq> Remembered<K> {
    fn new(most: usize, refilled_after: Duration, clock: EnvironmentClock) -> Self {
        let part = || Mutex::new(LruCache::new(most.div_ceil(PARTS)));
        Self {
            parts: (0..PARTS).map(|_| part()).collect(),
            hasher: RandomState::new(),
            clock,
            refilled_after,
        }
    }

    fn forget_idle(&self, part: &mut LruCache<K, Usage>, now: Duration) {
        for _ in 0..FORGOTTEN_PER_CHECK {
            let oldest = part.iter().next();
            if oldest.is_none_or(|(_, usage)| now.saturating_sub(usage.used_at) < self.refilled_after) {
                return;
            }
            part.remove_lru();
        }
    }
}

impl<K: Hash + Eq + Clone> StateStore for Remembered<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let part = &self.parts[self.hasher.hash_one(key) as usize % PARTS];
        let mut part = lock(part);
        let now = self.clock.now();
        self.forget_idle(&mut part, now);
        if let Some(usage) = part.get_mut(key) {
            usage.used_at = now;
            let (outcome, state) = measure(Some(usage.state))?;
            usage.state = state;
            return Ok(outcome);
        }
        let (outcome, state) = measure(None)?;
        part.insert(key.clone(), Usage { used_at: now, state });
        Ok(outcome)
    }
}

/// One limit for many keys. A check never walks the keys: it forgets two of those that are idle.
pub struct RateLimit<K: Hash + Eq + Clone + Send + Sync + 'static> {
    limiter: Option<RateLimiter<K, Remembered<K>, EnvironmentClock, NoOpMiddleware<Duration>>>,
    burst: u32,
    /// Between two times that are counted, in the long run.
    interval: Duration,
    clock: EnvironmentClock,
}

impl<K: Hash + Eq + Clone + Debug + Send + Sync + 'static> RateLimit<K> {
    /// At most `most` per minute, all of them at once if necessary; 0: any number.
    pub fn per_minute(most: u32, environment: SharedEnvironment) -> Self {
        Self::new(NonZeroU32::new(most).map(Quota::per_minute), MAX_REMEMBERED, environment)
    }

    /// At most `most` per second in the long run, and `burst` at once; 0 per second: any number.
    pub fn per_second(most: u32, burst: u32, environment: SharedEnvironment) -> Self {
        let quota = NonZeroU32::new(most)
            .map(|most| Quota::per_second(most).allow_burst(NonZeroU32::new(burst).unwrap_or(most)));
        Self::new(quota, MAX_REMEMBERED, environment)
    }

    fn new(quota: Option<Quota>, remembered: usize, environment: SharedEnvironment) -> Self {
        let clock = EnvironmentClock(environment);
        let burst = quota.map_or(0, |quota| quota.burst_size().get());
        let interval = quota.map_or(Duration::ZERO, |quota| quota.replenish_interval());
        let limiter = quota.map(|quota| {
            let refilled_after = quota.replenish_interval().saturating_mul(quota.burst_size().get());
            let keys = Remembered::new(remembered, refilled_after, clock.clone());
            RateLimiter::new(quota, keys, clock.clone())
        });
        Self { limiter, burst, interval, clock }
    }

    /// Checks whether `key` may do it now, and counts it.
    ///
    /// # Errors
    /// `RateLimited` with the wait, in milliseconds, after which the next one passes.
    pub fn check(&self, key: &K) -> Result<(), Failure> {
        self.check_times(key, 1)
    }

    /// Counts what is left of `times` after `counted` were counted already. A number above what may be done
    /// at once counts as exactly that.
    ///
    /// # Errors
    /// `RateLimited` with the wait after which all of `times` pass.
    pub fn check_rest(&self, key: &K, times: u32, counted: u32) -> Result<(), Failure> {
        let rest = match times.min(self.burst).saturating_sub(counted) {
            0 => return Ok(()),
            rest => rest,
        };
        self.check_times(key, rest).map_err(|failure| match failure {
            // Who comes back begins with what was counted already.
            Failure::RateLimited { retry_after_ms } => {
                let more_ms = self.interval.saturating_mul(counted).as_nanos().div_ceil(1_000_000);
                let more_ms = u64::try_from(more_ms).unwrap_or(u64::MAX);
                Failure::RateLimited { retry_after_ms: retry_after_ms.saturating_add(more_ms) }
            }
            other => other,
        })
    }

    /// As [`RateLimit::check`], but counts as `times`. A number above what may be done at once counts as
    /// exactly that.
    ///
    /// # Errors
    /// As [`RateLimit::check`].
    pub fn check_times(&self, key: &K, times: u32) -> Result<(), Failure> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        let times = NonZeroU32::new(times.min(self.burst)).unwrap_or(NonZeroU32::MIN);
        // More than the burst was cut to it above.
        let Ok(checked) = limiter.check_key_n(key, times) else { return Ok(()) };
        checked.map_err(|refused| {
            let wait: Duration = refused.earliest_possible().duration_since(self.clock.now()).into();
            // Rounded up: who waits a part of a millisecond less is refused again.
            let wait_ms = wait.as_nanos().div_ceil(1_000_000);
            Failure::RateLimited { retry_after_ms: u64::try_from(wait_ms).unwrap_or(u64::MAX).max(1) }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use governor::state::keyed::ShrinkableKeyedStateStore;

    use super::*;
    use crate::environment::ManualEnvironment;

    fn once_a_minute(most: usize, environment: SharedEnvironment) -> RateLimit<u64> {
        RateLimit::new(NonZeroU32::new(1).map(Quota::per_minute), most, environment)
    }

    impl<K: Hash + Eq + Clone> ShrinkableKeyedStateStore<K> for Remembered<K> {
        fn retain_recent(&self, _: Nanos) {}

        fn len(&self) -> usize {
            self.parts.iter().map(|part| lock(part).len()).sum()
        }

        fn is_empty(&self) -> bool {
            self.len() == 0
        }
    }

    fn remembered(limit: &RateLimit<u64>) -> usize {
        limit.limiter.as_ref().expect("a limit").len()
    }

    #[test]
    fn the_wait_that_is_told_is_enough_and_others_are_not_concerned() {
        let environment = Arc::new(ManualEnvironment::new(1_000_000, 1));
        let limit = RateLimit::per_minute(2, environment.clone());
        assert!(limit.check(&"ada").is_ok() && limit.check(&"ada").is_ok());
        let Err(Failure::RateLimited { retry_after_ms }) = limit.check(&"ada") else {
            panic!("the third is too many");
        };
        assert!((1..=30_000).contains(&retry_after_ms), "{retry_after_ms}");
        assert!(limit.check(&"ben").is_ok());
        environment.advance_ms(retry_after_ms);
        assert!(limit.check(&"ada").is_ok());
        let none = RateLimit::per_second(0, 0, environment);
        assert!((0..100).all(|_| none.check(&"ada").is_ok()));
    }

    #[test]
    fn a_wait_of_a_part_of_a_millisecond_is_rounded_up() {
        let environment = Arc::new(ManualEnvironment::new(1_000_000, 1));
        // One every 333.3 ms.
        let limit = RateLimit::per_second(3, 1, environment.clone());
        assert!(limit.check(&"ada").is_ok());
        for _ in 0..4 {
            let Err(Failure::RateLimited { retry_after_ms }) = limit.check(&"ada") else {
                panic!("the next one is too many");
            };
            environment.advance_ms(retry_after_ms);
            assert!(limit.check(&"ada").is_ok(), "after {retry_after_ms} ms");
        }
    }

    #[test]
    fn what_counts_several_times_takes_as_much_and_at_most_the_burst() {
        let environment = Arc::new(ManualEnvironment::new(1_000_000, 1));
        let limit = RateLimit::per_second(1, 3, environment.clone());
        assert!(limit.check_times(&"ada", 2).is_ok() && limit.check_times(&"ada", 2).is_err(), "one is left");
        assert!(limit.check(&"ada").is_ok() && limit.check(&"ada").is_err());
        assert!(limit.check_times(&"ben", 9).is_ok(), "cut to the burst");
        assert!(
            limit.check(&"cid").is_ok() && limit.check_rest(&"cid", 9, 1).is_ok(),
            "cut to what is left of it"
        );
        assert!(limit.check(&"cid").is_err());
        assert!(limit.check(&"ben").is_err());
        assert!(limit.check(&"dan").is_ok() && limit.check(&"dan").is_ok());
        let Err(Failure::RateLimited { retry_after_ms }) = limit.check_rest(&"dan", 3, 1) else {
            panic!("one of two is left");
        };
        environment.advance_ms(retry_after_ms);
        assert!(
            limit.check(&"dan").is_ok() && limit.check_rest(&"dan", 3, 1).is_ok(),
            "the wait is enough for all"
        );
    }

    #[test]
    fn at_its_bound_it_forgets_the_quiet_and_turns_nobody_away() {
        let limit = once_a_minute(4_000, Arc::new(ManualEnvironment::new(1_000_000, 1)));
        let known = u64::MAX;
        assert!(limit.check(&known).is_ok());
        for stranger in 0..12_000 {
            assert!(limit.check(&stranger).is_ok(), "{stranger} asks for the first time");
            assert!(limit.check(&known).is_err(), "a key that is used on stays known");
        }
        assert_eq!(remembered(&limit), 4_000);
    }

    #[test]
    fn idle_keys_are_forgotten_by_the_injected_clock_and_not_before_they_are_whole_again() {
        let environment = Arc::new(ManualEnvironment::new(1_000_000, 1));
        let limit = once_a_minute(16_000, environment.clone());
        assert!((0..1_000).all(|key| limit.check(&key).is_ok()));
        environment.advance_ms(59_999);
        assert!(
            (0..1_000).all(|key| limit.check(&key).is_err()),
            "a millisecond is missing, and this is a use"
        );
        environment.advance_ms(59_999);
        assert!((1_000..4_000).all(|key| limit.check(&key).is_ok()));
        assert_eq!(remembered(&limit), 4_000, "none was idle for a minute");
        environment.advance_ms(1);
        assert!((4_000..7_000).all(|key| limit.check(&key).is_ok()));
        assert_eq!(remembered(&limit), 6_000, "the first thousand made room");
        assert!((0..1_000).all(|key| limit.check(&key).is_ok()), "and begin again with all that they may");
    }
}
