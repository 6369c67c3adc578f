//! Cursors and leases of log consumers.

use tidings::domain::Position;
use tidings::store::{Cursor, Holder, Lease};

use super::fresh;
use crate::harness::World;

const LEASE_MS: u64 = 60_000;

fn at(position: u64) -> Cursor {
    Cursor { epoch: u64::MAX >> 1, position: Position(position) }
}

#[tokio::test]
async fn one_holder_works_at_a_time_and_the_next_goes_on_where_it_was() {
    let mut world = fresh().await;
    let [one, two] = [world.holder("one"), world.holder("two")];
    assert_eq!(lease(&world, &one, LEASE_MS).await, Lease::Held { cursor: None });
    assert_eq!(lease(&world, &two, LEASE_MS).await, taken_by("one"));
    assert!(world.store.advance("a", one.id, at(7)).await.unwrap());
    assert_eq!(lease(&world, &one, LEASE_MS).await, Lease::Held { cursor: Some(at(7)) }, "renewed");
    assert!(!world.store.advance("a", two.id, at(9)).await.unwrap(), "not its lease");
    world.store.release("a", two.id).await.unwrap();
    assert_eq!(lease(&world, &two, LEASE_MS).await, taken_by("one"));
    world.restart().await;
    assert_eq!(lease(&world, &two, LEASE_MS).await, taken_by("one"), "a lease outlives the process");
    world.store.release("a", one.id).await.unwrap();
    assert_eq!(lease(&world, &two, LEASE_MS).await, Lease::Held { cursor: Some(at(7)) });
    assert!(!world.store.advance("a", one.id, at(8)).await.unwrap(), "it gave it back");
}

#[tokio::test]
async fn a_lease_ends_and_consumers_do_not_share() {
    let world = fresh().await;
    let [one, two] = [world.holder("one"), world.holder("two")];
    assert_eq!(lease(&world, &one, 0).await, Lease::Held { cursor: None });
    assert!(world.store.advance("a", one.id, at(3)).await.unwrap(), "nobody else took it");
    assert_eq!(lease(&world, &two, LEASE_MS).await, Lease::Held { cursor: Some(at(3)) });
    assert!(!world.store.advance("a", one.id, at(4)).await.unwrap());
    let other = world.store.lease("b", &one, LEASE_MS, world.now()).await.unwrap();
    assert_eq!(other, Lease::Held { cursor: None });
}

fn taken_by(name: &str) -> Lease {
    Lease::Taken { by: Some(name.to_owned()) }
}

async fn lease(world: &World, holder: &Holder, lease_ms: u64) -> Lease {
    world.store.lease("a", holder, lease_ms, world.now()).await.unwrap()
}
