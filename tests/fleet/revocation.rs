//! A revocation on one node reaches the others by the bus and is effective there at once, without a read of
//! the store.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tidings::bus::Signal;
use tidings::domain::{ClientAddress, Topic};
use tidings::environment::SystemEnvironment;
use tidings::identity::{Identity, IdentityOptions, Source, Standing};

use crate::support::{Fleet, Station};

/// Identity as a node has it, but for the looks at the store.
fn identity(fleet: &Fleet, keys: &Path, station: &Station) -> Identity {
    let options = IdentityOptions::for_tests(keys.to_owned());
    let identity = Identity::new(options, fleet.store.clone(), SystemEnvironment::shared()).unwrap();
    let (from_bus, router) = (identity.clone(), Arc::clone(&station.router));
    station.router.on_revoked(move |revocation| from_bus.on_bus_revocation(revocation));
    identity.observe_revocations(move |revocation, source| {
        let (signal, users) = (Signal::Revoked(*revocation), Arc::new([revocation.user]));
        match source {
            Source::Here => router.signal(signal, users),
            Source::Bus | Source::Store => router.signal_here(&signal, users),
        }
    });
    identity
}

#[tokio::test]
async fn what_one_node_ends_is_ended_on_the_other_that_has_a_session_of_the_user() {
    let (fleet, keys) = (Fleet::new().await, tempfile::tempdir().unwrap());
    let (one, two) = (fleet.station().await, fleet.station().await);
    let (here, there) = (identity(&fleet, keys.path(), &one), identity(&fleet, keys.path(), &two));
    let address = ClientAddress::Counted(IpAddr::V4(Ipv4Addr::LOCALHOST));
    for everywhere in [false, true] {
        let ada = here.guest(None, None, address).await.unwrap();
        let claims = there.authenticate(&ada.access_token).await.unwrap();
        two.router.subscribe(0, Topic::User(claims.user));
        here.sign_out(&claims, everywhere).await.unwrap();
        assert_eq!(here.standing(&claims), Standing::SignedOut);
        let heard = tokio::time::timeout(Duration::from_secs(30), async {
            while there.standing(&claims) == Standing::Good {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(heard.await.is_ok(), "the bus told nothing");
        assert!(there.authenticate(&ada.access_token).await.is_err());
    }
}
