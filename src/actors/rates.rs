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
}

impl<K: Hash + Eq + Clone> Rates<K> {
    /// `per_second` in the long run, `burst` at once; 0 per second means no limit.
    pub fn new(per_second: u32, burst: u32) -> Self {
        let limiter = NonZeroU32::new(per_second).map(|rate| {
            let burst = NonZeroU32::new(burst).unwrap_or(rate);
            RateLimiter::keyed(Quota::per_second(rate).allow_burst(burst))
        });
        Self { limiter }
    }

    /// Counts a request of `who`.
    ///
    /// # Errors
    /// `RateLimited` with the wait until the next one passes.
    pub fn admit(&self, who: K) -> Result<(), Failure> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        limiter.check_key(&who).map_err(|until| {
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
        assert!((0..100).all(|_| Rates::new(0, 0).admit(user).is_ok()));
    }
}
