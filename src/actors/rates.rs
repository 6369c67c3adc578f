//! How often a user may ask, over all of their connections to this node.

use std::num::NonZeroU32;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::domain::UserId;
use crate::protocol::Failure;

/// One rate per user. Entries of users that have been quiet are dropped by [`Rates::forget_quiet`].
pub struct Rates {
    limiter: Option<DefaultKeyedRateLimiter<UserId>>,
}

impl Rates {
    /// `per_second` in the long run, `burst` at once; 0 per second means no limit.
    pub fn new(per_second: u32, burst: u32) -> Self {
        let limiter = NonZeroU32::new(per_second).map(|rate| {
            let burst = NonZeroU32::new(burst).unwrap_or(rate);
            RateLimiter::keyed(Quota::per_second(rate).allow_burst(burst))
        });
        Self { limiter }
    }

    /// Counts a request of `user`.
    ///
    /// # Errors
    /// `RateLimited` with the wait until the next one passes.
    pub fn admit(&self, user: UserId) -> Result<(), Failure> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        limiter.check_key(&user).map_err(|until| {
            let wait = until.wait_time_from(DefaultClock::default().now());
            Failure::RateLimited {
                retry_after_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1),
            }
        })
    }

    /// Drops users whose allowance is full again; call it now and then.
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
        assert!((0..100).all(|_| Rates::new(0, 0).admit(user).is_ok()));
    }
}
