//! Limits on guessing passwords and on mass sign-ups, per account and per address, on this node.

use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};

use super::options::ThrottleOptions;
use crate::config::subscriber;
use crate::environment::SharedEnvironment;
use crate::protocol::Failure;

/// Names and addresses remembered at once, per limit. Attackers choose both, so there is a bound; past it, those who are
/// new wait until older ones are forgotten (a minute at most).
const MAX_REMEMBERED: usize = 100_000;

#[derive(Debug, Clone)]
struct EnvironmentClock(SharedEnvironment);

impl Clock for EnvironmentClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        Duration::from_micros(self.0.monotonic_us())
    }
}

type Limiter<K> = RateLimiter<K, DefaultKeyedStateStore<K>, EnvironmentClock, NoOpMiddleware<Duration>>;

/// One limit over many keys; no limit when made with 0.
struct PerKey<K: Hash + Eq + Clone> {
    limiter: Option<Limiter<K>>,
    clock: EnvironmentClock,
}

impl<K: Hash + Eq + Clone> PerKey<K> {
    fn new(per_minute: u32, clock: EnvironmentClock) -> Self {
        let limiter = NonZeroU32::new(per_minute).map(|burst| {
            RateLimiter::new(Quota::per_minute(burst), DefaultKeyedStateStore::default(), clock.clone())
        });
        Self { limiter, clock }
    }

    fn check(&self, key: &K) -> Result<(), Failure> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        if limiter.len() >= MAX_REMEMBERED {
            limiter.retain_recent();
            if limiter.len() >= MAX_REMEMBERED {
                return Err(Failure::Overloaded { retry_after_ms: 60_000 });
            }
        }
        limiter.check_key(key).map_err(|refused| {
            let wait: Duration = refused.earliest_possible().duration_since(self.clock.now()).into();
            Failure::RateLimited {
                retry_after_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1),
            }
        })
    }

    fn forget_idle(&self) {
        if let Some(limiter) = &self.limiter {
            limiter.retain_recent();
        }
    }
}

/// All limits of identity.
pub struct Throttle {
    accounts: PerKey<String>,
    sign_in_addresses: PerKey<IpAddr>,
    sign_up_addresses: PerKey<IpAddr>,
}

impl Throttle {
    /// Sets the limits.
    pub fn new(options: ThrottleOptions, environment: SharedEnvironment) -> Self {
        let clock = EnvironmentClock(environment);
        Self {
            accounts: PerKey::new(options.sign_ins_per_minute, clock.clone()),
            sign_in_addresses: PerKey::new(options.sign_ins_per_ip_per_minute, clock.clone()),
            sign_up_addresses: PerKey::new(options.sign_ups_per_ip_per_minute, clock),
        }
    }

    /// May `address` try a password on `account` now? Counts it.
    ///
    /// # Errors
    /// `RateLimited` with the wait; `Overloaded` under an attack from very many addresses.
    pub fn sign_in(&self, account: &str, address: IpAddr) -> Result<(), Failure> {
        self.address(&self.sign_in_addresses, address)?;
        self.account(account)
    }

    /// May a password be tried on `account` now? Counts it.
    ///
    /// # Errors
    /// As [`Throttle::sign_in`].
    pub fn account(&self, account: &str) -> Result<(), Failure> {
        self.accounts.check(&account.to_owned())
    }

    /// May `address` make another account now? Counts it.
    ///
    /// # Errors
    /// As [`Throttle::sign_in`].
    pub fn sign_up(&self, address: IpAddr) -> Result<(), Failure> {
        self.address(&self.sign_up_addresses, address)
    }

    /// This machine itself is not limited by address: whoever is on it could do worse. Behind a proxy on the same machine,
    /// `server.trusted_proxies` makes the clients' own addresses known.
    fn address(&self, limit: &PerKey<IpAddr>, address: IpAddr) -> Result<(), Failure> {
        if address.to_canonical().is_loopback() { Ok(()) } else { limit.check(&subscriber(address)) }
    }

    /// Forgets who has been quiet; called now and then.
    pub fn forget_idle(&self) {
        self.accounts.forget_idle();
        self.sign_in_addresses.forget_idle();
        self.sign_up_addresses.forget_idle();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::environment::ManualEnvironment;

    #[test]
    fn guessing_is_slowed_per_account_and_per_address() {
        let environment = Arc::new(ManualEnvironment::new(1_000_000, 1));
        let options = ThrottleOptions {
            sign_ins_per_minute: 2,
            sign_ins_per_ip_per_minute: 3,
            sign_ups_per_ip_per_minute: 0,
        };
        let throttle = Throttle::new(options, environment.clone());
        let address = |last| IpAddr::from([10, 0, 0, last]);
        assert!(throttle.sign_in("ada", address(1)).is_ok());
        assert!(throttle.sign_in("ada", address(2)).is_ok());
        let Err(Failure::RateLimited { retry_after_ms }) = throttle.sign_in("ada", address(3)) else {
            panic!("the third guess on one account is too many");
        };
        assert!((1..=30_000).contains(&retry_after_ms), "{retry_after_ms}");
        environment.advance_ms(retry_after_ms);
        assert!(throttle.sign_in("ada", address(3)).is_ok(), "the wait that was told is enough");
        for (name, passes) in [("b", true), ("c", true), ("d", true), ("e", false)] {
            assert_eq!(throttle.sign_in(name, address(9)).is_ok(), passes, "{name}");
        }
        for _ in 0..100 {
            assert_eq!(throttle.sign_up(address(1)), Ok(()), "0 is no limit");
        }
    }
}
