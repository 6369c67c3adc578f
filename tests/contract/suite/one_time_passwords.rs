//! Passwords that an operator sets.

use std::time::Duration;

use tidings::domain::{Refusal, UserId, Username};

use super::fresh;
use crate::harness::World;

const DAY: Duration = Duration::from_secs(86_400);

async fn set(world: &World, user: UserId, lasts: Duration) -> Result<(), Refusal> {
    world.store.set_one_time_password(user, "once", lasts).await.unwrap()
}

#[tokio::test]
async fn a_one_time_password_is_taken_once_and_replaced_by_a_new_password() {
    let world = fresh().await;
    let (guest, ada) = (world.user("guest").await, world.user("ada").await);
    let name = Username::parse("ada").unwrap();
    world.store.claim(ada, &name, "hash").await.unwrap().unwrap();
    assert!(matches!(set(&world, guest, DAY).await, Err(Refusal::Conflict(_))), "it has no username");
    assert_eq!(set(&world, UserId::from_uuid(world.uuid()), DAY).await, Err(Refusal::NotFound));
    assert!(!world.store.take_one_time_password(ada).await.unwrap());

    set(&world, ada, DAY).await.unwrap();
    let found = world.store.credentials(&name).await.unwrap().unwrap();
    assert_eq!((found.password_hash.as_str(), found.one_time), ("once", true));
    assert!(world.store.take_one_time_password(ada).await.unwrap());
    assert!(!world.store.take_one_time_password(ada).await.unwrap());
    let confirms = world.store.password_hash(ada).await.unwrap();
    assert_eq!(confirms.as_deref(), Some("once"), "until its end");
    set(&world, ada, DAY).await.unwrap();
    assert!(world.store.take_one_time_password(ada).await.unwrap(), "a second one is new");

    world.store.set_password(ada, "own").await.unwrap().unwrap();
    let found = world.store.credentials(&name).await.unwrap().unwrap();
    assert_eq!((found.password_hash.as_str(), found.one_time), ("own", false));
}

#[tokio::test]
async fn a_one_time_password_ends_by_its_time() {
    let world = fresh().await;
    let ada = world.user("ada").await;
    let name = Username::parse("ada").unwrap();
    world.store.claim(ada, &name, "hash").await.unwrap().unwrap();
    set(&world, ada, Duration::ZERO).await.unwrap();
    assert!(world.store.credentials(&name).await.unwrap().is_none());
    assert_eq!(world.store.password_hash(ada).await.unwrap(), None);
}
