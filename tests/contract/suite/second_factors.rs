//! Second factors of sign-ins by password.

use tidings::domain::{Refusal, SecondFactor, UserId, Username};

use super::fresh;
use crate::harness::World;

/// A user with a password.
async fn account(world: &World) -> UserId {
    let user = world.user("ada").await;
    world.store.claim(user, &Username::parse("ada").unwrap(), "hash").await.unwrap().unwrap();
    user
}

async fn factor(world: &World, user: UserId) -> Option<SecondFactor> {
    world.store.second_factor(user).await.unwrap()
}

async fn begin(world: &World, user: UserId, secret: &str) -> Result<(), Refusal> {
    world.store.begin_second_factor(user, secret).await.unwrap()
}

async fn take(world: &World, user: UserId, secret: &str, step: u64) -> bool {
    world.store.take_code(user, secret, step).await.unwrap()
}

#[tokio::test]
async fn a_second_factor_is_begun_confirmed_and_ended() {
    let world = fresh().await;
    let (guest, nobody) = (world.user("guest").await, UserId::from_uuid(world.uuid()));
    assert_eq!(begin(&world, nobody, "A").await, Err(Refusal::NotFound));
    assert!(matches!(begin(&world, guest, "A").await, Err(Refusal::Conflict(_))), "it has no password");
    let ada = account(&world).await;
    assert_eq!(factor(&world, ada).await, None);

    begin(&world, ada, "FIRST").await.unwrap();
    begin(&world, ada, "SECOND").await.unwrap();
    let begun = SecondFactor { secret: "SECOND".to_owned(), used_step: 0 };
    assert_eq!(factor(&world, ada).await, Some(begun), "one that is not confirmed is replaced");
    assert!(!take(&world, ada, "FIRST", 7).await, "a code of the former secret");
    assert!(take(&world, ada, "SECOND", 7).await);
    assert!(matches!(begin(&world, ada, "THIRD").await, Err(Refusal::Conflict(_))));
    assert!(
        !take(&world, ada, "SECOND", 7).await && !take(&world, ada, "SECOND", 6).await,
        "a code counts once"
    );
    assert!(take(&world, ada, "SECOND", 8).await);
    assert_eq!(factor(&world, ada).await.map(|factor| factor.used_step), Some(8));

    assert!(world.store.end_second_factor(ada).await.unwrap());
    assert!(!world.store.end_second_factor(ada).await.unwrap());
    begin(&world, ada, "FOURTH").await.unwrap();
    world.store.erase(ada, world.now()).await.unwrap().unwrap();
    assert_eq!(factor(&world, ada).await, None, "an erased account keeps nothing");
}

#[tokio::test]
async fn of_many_who_present_one_code_one_gets_in() {
    let world = fresh().await;
    let ada = account(&world).await;
    begin(&world, ada, "SECRET").await.unwrap();
    let tries = (0..8).map(|_| take(&world, ada, "SECRET", 5));
    let taken = futures_util::future::join_all(tries).await;
    assert_eq!(taken.into_iter().filter(|taken| *taken).count(), 1);
}
