//! How often somebody may ask: a user over all of their connections to this node, or an address.

use std::hash::Hash;
use std::num::NonZeroU32;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::domain::UserId;
use crate::protocol::Failure;

/// One rate per key. Entries of those that have been quiet are dropped by [`Rates::forget_quiet`].
pub struct Rates<K: Hash + Eq + Clone = UserId> {
    limiter: Option<DefaultKeyedRateLimiter<K>>,
    burst: u32,
}

impl<K: Hash + Eq + Clone> Rates<K> {
    /// `per_second` in the long run, `burst` at once; 0 per second means no limit.
    pub fn new(per_second: u32, burst: u32) -> Self {
        let limiter = NonZeroU32::new(per_second).map(|rate| {
            let burst = NonZeroU32::new(burst).unwrap_or(rate);
            RateLimiter::keyed(Quota::per_second(rate).allow_burst(burst))
        });
        Self { limiter, burst: if burst == 0 { per_second } else { burst } }
    }

    /// Counts a request of `who`.
    ///
    /// # Errors
    /// `RateLimited` with the wait until the next one passes.
    pub fn admit(&self, who: K) -> Result<(), Failure> {
        self.admit_times(who, 1)
    }

    /// Counts a request of `who` as so many, at most as many as may be made at once.
    ///
    /// # Errors
    /// `RateLimited` with the wait until the next one passes.
    pub fn admit_times(&self, who: K, times: u32) -> Result<(), Failure> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        let times = NonZeroU32::new(times.min(self.burst)).unwrap_or(NonZeroU32::MIN);
        // More than the burst was cut to it above.
        let Ok(checked) = limiter.check_key_n(&who, times) else { return Ok(()) };
        checked.map_err(|until| {
            let wait = until.wait_time_from(DefaultClock::default().now());
            Failure::RateLimited {
                retry_after_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1),
            }
        })
    }

    /// How many keys are remembered.
    pub fn len(&self) -> usize {
        self.limiter.as_ref().map_or(0, RateLimiter::len)
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Drops those whose allowance is full again; call it now and then.
    pub fn forget_quiet(&self) {
        if let Some(limiter) = &self.limiter {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_burst_passes_and_the_next_waits() {
        let rates = Rates::new(1, 3);
        let user = UserId::from_uuid(Uuid::from_u128(1));
        assert!((0..3).all(|_| rates.admit(user).is_ok()));
        let refused = rates.admit(user);
        assert!(matches!(refused, Err(Failure::RateLimited { retry_after_ms: 1..=1_000 })), "{refused:?}");
        assert!(rates.admit(UserId::from_uuid(Uuid::from_u128(2))).is_ok(), "others are not concerned");
        assert_eq!(rates.len(), 2);
        let third = UserId::from_uuid(Uuid::from_u128(3));
        assert!(rates.admit_times(third, 2).is_ok() && rates.admit_times(third, 2).is_err(), "one is left");
        assert!(rates.admit_times(UserId::from_uuid(Uuid::from_u128(4)), 9).is_ok(), "cut to the burst");
        assert!((0..100).all(|_| Rates::new(0, 0).admit(user).is_ok()));
    }
}
