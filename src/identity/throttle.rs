//! Limits on guessing passwords and on mass sign-ups, per account and per address, on this node.

use crate::config::AuthSettings;
use crate::domain::ClientAddress;
use crate::environment::SharedEnvironment;
use crate::protocol::Failure;
use crate::rate_limit::{AddressLimit, RateLimit};

/// All limits of identity.
pub struct Throttle {
    accounts: RateLimit<String>,
    sign_in_addresses: AddressLimit,
    sign_up_addresses: AddressLimit,
    refresh_addresses: AddressLimit,
}

impl Throttle {
    /// Sets the limits.
    pub fn new(auth: &AuthSettings, environment: SharedEnvironment) -> Self {
        let per_minute = |most| AddressLimit::per_minute(most, &environment);
        Self {
            accounts: RateLimit::per_minute(auth.sign_ins_per_minute, std::sync::Arc::clone(&environment)),
            sign_in_addresses: per_minute(auth.sign_ins_per_ip_per_minute),
            sign_up_addresses: per_minute(auth.sign_ups_per_ip_per_minute),
            refresh_addresses: per_minute(auth.refreshes_per_ip_per_minute),
        }
    }

    /// Checks whether `address` may try a password on `account` now, and counts it.
    ///
    /// # Errors
    /// `RateLimited` with the wait.
    pub fn sign_in(&self, account: &str, address: ClientAddress) -> Result<(), Failure> {
        self.sign_in_addresses.check(address)?;
        self.account(account)
    }

    /// Checks whether a password may be tried on `account` now, and counts it.
    ///
    /// # Errors
    /// As [`Throttle::sign_in`].
    pub fn account(&self, account: &str) -> Result<(), Failure> {
        self.accounts.check(&account.to_owned())
    }

    /// Checks whether `address` may create another account now, and counts it.
    ///
    /// # Errors
    /// As [`Throttle::sign_in`].
    pub fn sign_up(&self, address: ClientAddress) -> Result<(), Failure> {
        self.sign_up_addresses.check(address)
    }

    /// Checks whether `address` may present another refresh token now, and counts it.
    ///
    /// # Errors
    /// As [`Throttle::sign_in`].
    pub fn refresh(&self, address: ClientAddress) -> Result<(), Failure> {
        self.refresh_addresses.check(address)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::Settings;
    use crate::environment::ManualEnvironment;

    #[test]
    fn guessing_is_slowed_per_account_and_per_address() {
        let environment = Arc::new(ManualEnvironment::new(1_000_000, 1));
        let auth = AuthSettings {
            sign_ins_per_minute: 2,
            sign_ins_per_ip_per_minute: 3,
            sign_ups_per_ip_per_minute: 0,
            refreshes_per_ip_per_minute: 1,
            ..Settings::for_tests().auth
        };
        let throttle = Throttle::new(&auth, environment.clone());
        let address = |last| ClientAddress::Counted([10, 0, 0, last].into());
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
        assert!(throttle.refresh(address(1)).is_ok() && throttle.refresh(address(1)).is_err());
        for _ in 0..100 {
            assert_eq!(throttle.sign_up(address(1)), Ok(()), "0 is no limit");
        }
    }
}
