//! The one rate limit: how often each of very many users or addresses may do something, on the injected clock
//! and in bounded memory.

use std::fmt::Debug;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed, StateStore};
use governor::{Quota, RateLimiter};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::environment::SharedEnvironment;
use crate::protocol::Failure;

/// Keys remembered at once, per limit. Attackers choose names and addresses freely, so there is a bound.
/// Above it the key that was not used for the longest time is forgotten; a key that exceeds its limit is used
/// often and stays.
const MAX_REMEMBERED: u64 = 100_000;

#[derive(Debug, Clone)]
struct EnvironmentClock(SharedEnvironment);

impl Clock for EnvironmentClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        Duration::from_micros(self.0.monotonic_us())
    }
}

struct Remembered<K>(Cache<K, Arc<InMemoryState>>);

impl<K: Hash + Eq + Clone + Send + Sync + 'static> StateStore for Remembered<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let state = match self.0.get(key) {
            Some(state) => state,
            None => self.0.get_with(key.clone(), Arc::default),
        };
        state.measure_and_replace(&NotKeyed::NonKey, measure)
    }
}

/// One limit for many keys. A check never walks the keys.
pub struct RateLimit<K: Hash + Eq + Clone + Send + Sync + 'static> {
    limiter: Option<RateLimiter<K, Remembered<K>, EnvironmentClock, NoOpMiddleware<Duration>>>,
    burst: u32,
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

    fn new(quota: Option<Quota>, remembered: u64, environment: SharedEnvironment) -> Self {
        let clock = EnvironmentClock(environment);
        let burst = quota.map_or(0, |quota| quota.burst_size().get());
        let limiter = quota.map(|quota| {
            // A key that was not used for this long has its whole allowance again, remembered or not.
            let refilled = quota.replenish_interval().saturating_mul(quota.burst_size().get());
            let keys = Cache::builder()
                .max_capacity(remembered)
                .eviction_policy(EvictionPolicy::lru())
                .time_to_idle(refilled.max(Duration::from_secs(1)));
            RateLimiter::new(quota, Remembered(keys.build()), clock.clone())
        });
        Self { limiter, burst, clock }
    }

    /// Checks whether `key` may do it now, and counts it.
    ///
    /// # Errors
    /// `RateLimited` with the wait, in milliseconds, after which the next one passes.
    pub fn check(&self, key: &K) -> Result<(), Failure> {
        self.check_times(key, 1)
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
            Failure::RateLimited {
                retry_after_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::ManualEnvironment;

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
    fn what_counts_several_times_takes_as_much_and_at_most_the_burst() {
        let environment = Arc::new(ManualEnvironment::new(1_000_000, 1));
        let limit = RateLimit::per_second(1, 3, environment);
        assert!(limit.check_times(&"ada", 2).is_ok() && limit.check_times(&"ada", 2).is_err(), "one is left");
        assert!(limit.check(&"ada").is_ok() && limit.check(&"ada").is_err());
        assert!(limit.check_times(&"ben", 9).is_ok(), "cut to the burst");
        assert!(limit.check(&"ben").is_err());
    }

    #[test]
    fn at_its_bound_it_forgets_the_quiet_and_turns_nobody_away() {
        let environment = Arc::new(ManualEnvironment::new(1_000_000, 1));
        let limit = RateLimit::new(NonZeroU32::new(1).map(Quota::per_minute), 4_000, environment);
        let known = u64::MAX;
        assert!(limit.check(&known).is_ok());
        for stranger in 0..12_000 {
            assert!(limit.check(&stranger).is_ok(), "{stranger} asks for the first time");
            assert!(limit.check(&known).is_err(), "a key that is used on stays known");
        }
        let Remembered(keys) = limit.limiter.expect("a limit").into_state_store();
        keys.run_pending_tasks();
        assert!(keys.entry_count() <= 4_000, "{}", keys.entry_count());
    }
}
