//! Limits on guessing passwords and on mass sign-ups, on this node.
//!
//! Strangers who guess at an account share one limit for it, so that many addresses do not add up, and have a
//! lower one per address. A device that has signed in to the account before has a limit of its own, which no
//! stranger uses up (ADR 0031).

use std::net::IpAddr;

use crate::config::AuthSettings;
use crate::domain::{ClientAddress, FamilyId};
use crate::environment::SharedEnvironment;
use crate::protocol::Failure;
use crate::rate_limit::{AddressLimit, RateLimit};

/// All limits of identity.
pub struct Throttle {
    /// Guesses at an account from one address.
    places: RateLimit<(String, IpAddr)>,
    /// Guesses at an account from all addresses.
    accounts: RateLimit<String>,
    /// Guesses on a known device, by the sign-in that it is known from.
    devices: RateLimit<FamilyId>,
    /// Passwords that somebody who is signed in gives again, by the user.
    confirmations: RateLimit<String>,
    sign_in_addresses: AddressLimit,
    sign_up_addresses: AddressLimit,
    refresh_addresses: AddressLimit,
}

impl Throttle {
    /// Sets the limits.
    pub fn new(auth: &AuthSettings, environment: SharedEnvironment) -> Self {
        let (each, together) = (auth.sign_ins_per_minute, auth.sign_ins_per_account_per_minute);
        let per_minute = |most| AddressLimit::per_minute(most, &environment);
        Self {
            places: RateLimit::per_minute(each, environment.clone()),
            accounts: RateLimit::per_minute(together, environment.clone()),
            devices: RateLimit::per_minute(each, environment.clone()),
            confirmations: RateLimit::per_minute(each, environment.clone()),
            sign_in_addresses: per_minute(auth.sign_ins_per_ip_per_minute),
            sign_up_addresses: per_minute(auth.sign_ups_per_ip_per_minute),
            refresh_addresses: per_minute(auth.refreshes_per_ip_per_minute),
        }
    }

    /// Checks whether a stranger at `address` may try a password on `account` now, and counts it.
    ///
    /// # Errors
    /// `RateLimited` with the wait.
    pub fn sign_in(&self, account: &str, address: ClientAddress) -> Result<(), Failure> {
        self.sign_in_addresses.check(address)?;
        self.guess(account, address)
    }

    /// As [`Throttle::sign_in`], where the address is counted already.
    ///
    /// # Errors
    /// As [`Throttle::sign_in`].
    pub fn guess(&self, account: &str, address: ClientAddress) -> Result<(), Failure> {
        if let Some(subscriber) = address.subscriber() {
            self.places.check(&(account.to_owned(), subscriber))?;
        }
        self.accounts.check(&account.to_owned())
    }

    /// Checks whether a known device may try a password now, and counts it.
    ///
    /// # Errors
    /// As [`Throttle::sign_in`].
    pub fn device(&self, family: FamilyId) -> Result<(), Failure> {
        self.devices.check(&family)
    }

    /// Checks whether a user who is signed in may give a password now, and counts it.
    ///
    /// # Errors
    /// As [`Throttle::sign_in`].
    pub fn confirmation(&self, user: &str) -> Result<(), Failure> {
        self.confirmations.check(&user.to_owned())
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
            sign_ins_per_account_per_minute: 3,
            sign_ins_per_ip_per_minute: 4,
            sign_ups_per_ip_per_minute: 0,
            refreshes_per_ip_per_minute: 1,
            ..Settings::for_tests().auth
        };
        let throttle = Throttle::new(&auth, environment.clone());
        let address = |last| ClientAddress::Counted([10, 0, 0, last].into());
        let passes = |throttle: &Throttle, last| throttle.sign_in("ada", address(last)).is_ok();
        assert!(passes(&throttle, 1) && passes(&throttle, 1) && !passes(&throttle, 1), "one address");
        assert!(passes(&throttle, 2), "another address");
        let Err(Failure::RateLimited { retry_after_ms }) = throttle.sign_in("ada", address(3)) else {
            panic!("the fourth guess on one account is too many");
        };
        assert!((1..=20_000).contains(&retry_after_ms), "{retry_after_ms}");
        let family = |n| FamilyId::from_uuid(uuid::Uuid::from_u128(n));
        assert!(throttle.device(family(1)).is_ok() && throttle.device(family(1)).is_ok());
        assert!(throttle.device(family(1)).is_err() && throttle.device(family(2)).is_ok());
        environment.advance_ms(retry_after_ms);
        assert!(throttle.sign_in("ada", address(3)).is_ok(), "the wait that was told is enough");
        for (name, passes) in [("b", true), ("c", true), ("d", true), ("e", true), ("f", false)] {
            assert_eq!(throttle.sign_in(name, address(9)).is_ok(), passes, "{name}");
        }
        assert!(throttle.refresh(address(1)).is_ok() && throttle.refresh(address(1)).is_err());
        for _ in 0..100 {
            assert_eq!(throttle.sign_up(address(1)), Ok(()), "0 is no limit");
        }
    }
}
