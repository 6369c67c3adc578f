//! Admission: how often one address may connect, and how many hellos may be in progress at once.
//!
//! - *Owns*: the rate of each address; the permits between `hello` and `welcome`; the hellos that wait for a
//!   permit; the connections of each user ([`UserConnections`]).
//! - *Limits*: as many hellos at once as there are permits, and as many again may wait; addresses as
//!   [`AddressLimit`] bounds them.
//! - *On full*: upgrades are answered with 503 and hellos with `overloaded`, both with a randomly spread
//!   wait.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_http::header::{HeaderMap, HeaderValue};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::user_connections::UserConnections;
use crate::config::TrustedProxies;
use crate::domain::ClientAddress;
use crate::environment::SharedEnvironment;
use crate::protocol::Failure;
use crate::rate_limit::AddressLimit;

/// The shortest wait in a refusal. The longest is three times that, so that not all clients come back at
/// once.
const COME_BACK_MS: u64 = 1_000;

/// The bounds of admission.
#[derive(Debug, Clone)]
pub struct AdmissionOptions {
    /// Upgrades of one address per second in the long run; 0: any number.
    pub per_address_per_second: u32,
    /// Upgrades of one address that may come at once.
    pub per_address_burst: u32,
    /// Hellos in progress at once on this node.
    pub hellos_in_flight: usize,
    /// How long a hello may wait for a permit.
    pub patience: Duration,
    /// The proxies that name the client's address.
    pub proxies: Arc<TrustedProxies>,
}

/// The state of admission, for inspection.
#[derive(Debug, Clone, Serialize)]
pub struct AdmissionObserved {
    /// Hellos between their arrival and their welcome.
    pub hellos_in_flight: usize,
    /// Hellos that wait for their turn.
    pub waiting_hellos: usize,
}

/// Lets one hello proceed; released when dropped.
#[derive(Debug)]
pub struct Permit {
    _permit: OwnedSemaphorePermit,
}

/// The admission control of one node, shared by its workers.
pub struct Admission {
    options: AdmissionOptions,
    environment: SharedEnvironment,
    addresses: AddressLimit,
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    user_connections: Arc<UserConnections>,
}

/// A waiting hello. It is counted until this value is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Admission {
    /// Admission with all permits free.
    pub fn new(options: AdmissionOptions, environment: SharedEnvironment) -> Arc<Self> {
        Arc::new(Self {
            addresses: AddressLimit::per_second(
                options.per_address_per_second,
                options.per_address_burst,
                &environment,
            ),
            permits: Arc::new(Semaphore::new(options.hellos_in_flight)),
            waiting: AtomicUsize::new(0),
            user_connections: Arc::default(),
            environment,
            options,
        })
    }

    /// The connections of each user.
    pub const fn user_connections(&self) -> &Arc<UserConnections> {
        &self.user_connections
    }

    /// The client's address, past the proxies that are believed.
    pub fn address(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> ClientAddress {
        self.options.proxies.client(peer, |name| headers.get_all(name).map(HeaderValue::as_bytes))
    }

    /// Checks whether `address` may make another connection now, and counts it.
    ///
    /// # Errors
    /// `RateLimited` with the wait; `Overloaded` when as many hellos wait for a permit as may.
    pub fn check_rate(&self, address: ClientAddress) -> Result<(), Failure> {
        if self.permits.available_permits() == 0 && self.is_full() {
            return Err(self.overloaded());
        }
        self.addresses.check(address)
    }

    /// Waits for a permit between `hello` and `welcome`.
    ///
    /// # Errors
    /// `Overloaded` when too many hellos wait, or this one waited too long.
    pub async fn acquire(&self) -> Result<Permit, Failure> {
        if let Some(permit) = self.try_acquire() {
            return Ok(permit);
        }
        let joined = self.waiting.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |waiting| {
            (waiting < self.options.hellos_in_flight).then_some(waiting + 1)
        });
        if joined.is_err() {
            return Err(self.overloaded());
        }
        let _waiting = Waiting(&self.waiting);
        let turn = Arc::clone(&self.permits).acquire_owned();
        match tokio::time::timeout(self.options.patience, turn).await {
            Ok(Ok(permit)) => Ok(Permit { _permit: permit }),
            Ok(Err(_)) | Err(_) => Err(self.overloaded()),
        }
    }

    /// A permit, if one is free and no hello waits for it.
    pub fn try_acquire(&self) -> Option<Permit> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        Some(Permit { _permit: permit })
    }

    /// How many hellos are under way, and how many wait.
    pub fn observed(&self) -> AdmissionObserved {
        AdmissionObserved {
            hellos_in_flight: self.options.hellos_in_flight - self.permits.available_permits(),
            waiting_hellos: self.waiting.load(Ordering::SeqCst),
        }
    }

    fn is_full(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) >= self.options.hellos_in_flight
    }

    fn overloaded(&self) -> Failure {
        let more_ms = self.environment.random_below(2 * COME_BACK_MS);
        Failure::Overloaded { retry_after_ms: COME_BACK_MS + more_ms }
    }
}

#[cfg(test)]
mod tests {
    use actix_http::header;

    use super::*;
    use crate::config::{ServerSettings, Settings};
    use crate::environment::ManualEnvironment;

    fn admission(per_second: u32, permits: usize, patience_ms: u64) -> Arc<Admission> {
        let options = AdmissionOptions {
            per_address_per_second: per_second,
            per_address_burst: 2,
            hellos_in_flight: permits,
            patience: Duration::from_millis(patience_ms),
            proxies: TrustedProxies::of(&ServerSettings {
                trusted_proxies: vec!["10.0.0.0/8".parse().expect("a network")],
                ..Settings::for_tests().server
            }),
        };
        Admission::new(options, Arc::new(ManualEnvironment::new(1_000, 1)))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn from(text: &str) -> ClientAddress {
        ClientAddress::Counted(ip(text))
    }

    #[test]
    fn each_address_has_its_rate_and_an_exempt_one_none() {
        let admission = admission(1, 1, 100);
        for (address, passes) in [
            ("203.0.113.9", true),
            ("203.0.113.9", true),
            ("203.0.113.9", false),
            ("203.0.113.8", true),
            ("2001:db8::1", true),
            ("2001:db8::2", true),
            ("2001:db8::3", false),
        ] {
            assert_eq!(admission.check_rate(from(address)).is_ok(), passes, "{address}");
        }
        assert!((0..100).all(|_| admission.check_rate(ClientAddress::HERE).is_ok()));
        assert!(matches!(
            admission.check_rate(from("203.0.113.9")),
            Err(Failure::RateLimited { retry_after_ms: 1.. })
        ));
    }

    #[test]
    fn only_our_own_proxies_name_the_client() {
        let (admission, mut headers) = (admission(1, 1, 100), HeaderMap::new());
        headers.insert(header::X_FORWARDED_FOR, HeaderValue::from_static("6.6.6.6, 203.0.113.9"));
        assert_eq!(admission.address(Some(ip("10.0.0.1")), &headers), from("203.0.113.9"));
        assert_eq!(admission.address(Some(ip("198.51.100.1")), &headers), from("198.51.100.1"));
    }

    #[tokio::test]
    async fn a_full_queue_turns_away_and_a_free_place_is_given_on() {
        let admission = admission(0, 1, 60_000);
        let permit = admission.acquire().await.expect("free");
        assert!(admission.try_acquire().is_none());
        let waits = tokio::spawn({
            let admission = Arc::clone(&admission);
            async move { admission.acquire().await.is_ok() }
        });
        while !admission.is_full() {
            tokio::task::yield_now().await;
        }
        assert!(matches!(
            admission.acquire().await,
            Err(Failure::Overloaded { retry_after_ms: 1_000..3_000 })
        ));
        assert!(matches!(admission.check_rate(from("203.0.113.9")), Err(Failure::Overloaded { .. })));
        drop(permit);
        assert!(waits.await.expect("the one that waited"));
        assert!(admission.check_rate(from("203.0.113.9")).is_ok() && admission.try_acquire().is_some());
    }

    #[tokio::test]
    async fn nobody_waits_longer_than_a_hello_may_take() {
        let admission = admission(0, 1, 10);
        let _place = admission.acquire().await.expect("free");
        assert!(matches!(admission.acquire().await, Err(Failure::Overloaded { .. })));
        assert!(!admission.is_full(), "a client that gave up waits no more");
    }
}
