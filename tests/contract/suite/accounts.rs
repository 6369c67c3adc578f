//! Profiles, names, passwords, guests.

use tidings::domain::{AddressPrefix, FamilyId, Refusal, Timestamp, User, UserId, Username};
use tidings::store::{NewFamily, NewUser, NewUserOutcome};

use super::fresh;
use crate::harness::World;

fn name(text: &str) -> Username {
    Username::parse(text).unwrap()
}

fn account(world: &World, username: &str) -> NewUser {
    NewUser {
        user: User {
            id: UserId::from_uuid(world.uuid()),
            username: Some(name(username)),
            display_name: username.to_uppercase(),
            guest: false,
            created_at: Timestamp::from_unix_ms(1_800_000_000_000),
        },
        password_hash: Some(format!("hash of {username}")),
        device_hash: None,
    }
}

fn guest(world: &World, device: u8) -> NewUser {
    let mut new = account(world, "guest");
    new.user.username = None;
    new.user.guest = true;
    NewUser { password_hash: None, device_hash: Some([device; 32]), ..new }
}

async fn create(world: &World, new: &NewUser) -> NewUserOutcome {
    world.store.create_user(new).await.unwrap()
}

#[tokio::test]
async fn an_account_is_found_by_id_and_by_name() {
    let world = fresh().await;
    let ada = account(&world, "ada");
    assert_eq!(create(&world, &ada).await, NewUserOutcome::Created);
    assert_eq!(world.store.user(ada.user.id).await.unwrap(), Some(ada.user.clone()));
    let credentials = world.store.credentials(&name("ADA")).await.unwrap().unwrap();
    assert_eq!((credentials.user, credentials.password_hash.as_str()), (ada.user, "hash of ada"));
    assert!(world.store.credentials(&name("nobody")).await.unwrap().is_none());
    assert!(world.store.user(UserId::from_uuid(world.uuid())).await.unwrap().is_none());
}

#[tokio::test]
async fn the_oldest_account_that_is_left_is_the_first() {
    let world = fresh().await;
    assert!(world.store.first_user().await.unwrap().is_none());
    let mut later = account(&world, "later");
    later.user.created_at = later.user.created_at.plus_ms(1);
    create(&world, &later).await;
    let first = guest(&world, 1);
    create(&world, &first).await;
    assert_eq!(world.store.first_user().await.unwrap(), Some(first.user.clone()));
    world.erase(first.user.id).await;
    assert_eq!(world.store.first_user().await.unwrap(), Some(later.user.clone()));
    assert_eq!(world.store.user_named(&name("LATER")).await.unwrap(), Some(later.user));
    assert!(world.store.user_named(&name("late")).await.unwrap().is_none());
}

#[tokio::test]
async fn a_username_belongs_to_one() {
    let world = fresh().await;
    create(&world, &account(&world, "ada")).await;
    let second = account(&world, "Ada");
    assert_eq!(create(&world, &second).await, NewUserOutcome::UsernameTaken);
    assert!(world.store.user(second.user.id).await.unwrap().is_none());
}

#[tokio::test]
async fn an_id_or_a_device_that_is_there_answers_its_user() {
    let world = fresh().await;
    let ada = account(&world, "ada");
    create(&world, &ada).await;
    let mut again = account(&world, "other");
    again.user.id = ada.user.id;
    assert_eq!(create(&world, &again).await, NewUserOutcome::Existing(ada.user));
    let visitor = guest(&world, 7);
    assert_eq!(create(&world, &visitor).await, NewUserOutcome::Created);
    assert_eq!(create(&world, &guest(&world, 7)).await, NewUserOutcome::Existing(visitor.user));
    assert_eq!(create(&world, &guest(&world, 8)).await, NewUserOutcome::Created);
}

#[tokio::test]
async fn names_are_listed_by_prefix() {
    let world = fresh().await;
    for username in ["ada", "adam", "ad.z", "ben", "a-d"] {
        create(&world, &account(&world, username)).await;
    }
    let found = |prefix: &'static str, limit| {
        let store = world.store.clone();
        async move {
            let users = store.users_by_prefix(prefix, limit).await.unwrap();
            users.iter().map(|user| user.username.as_ref().unwrap().as_str().to_owned()).collect::<Vec<_>>()
        }
    };
    assert_eq!(found("ad", 10).await, ["ad.z", "ada", "adam"]);
    assert_eq!(found("AD", 2).await, ["ad.z", "ada"]);
    assert_eq!(found("x", 10).await, Vec::<String>::new());
    assert_eq!(found("a%", 10).await, Vec::<String>::new());
}

#[tokio::test]
async fn profiles_and_passwords_change() {
    let world = fresh().await;
    let ada = account(&world, "ada");
    create(&world, &ada).await;
    let id = ada.user.id;
    let renamed = world.store.rename(id, "Ada L.").await.unwrap().unwrap();
    assert_eq!(renamed.display_name, "Ada L.");
    assert_eq!(world.store.user(id).await.unwrap(), Some(renamed));
    world.store.set_password(id, "new hash").await.unwrap().unwrap();
    assert_eq!(world.store.password_hash(id).await.unwrap().as_deref(), Some("new hash"));
    let ghost = UserId::from_uuid(world.uuid());
    assert_eq!(world.store.rename(ghost, "x").await.unwrap().err(), Some(Refusal::NotFound));
    assert_eq!(world.store.set_password(ghost, "x").await.unwrap().err(), Some(Refusal::NotFound));
    assert!(world.store.password_hash(ghost).await.unwrap().is_none());
}

#[tokio::test]
async fn a_guest_is_claimed_once_and_its_device_signs_in_no_more() {
    let world = fresh().await;
    create(&world, &account(&world, "taken")).await;
    let visitor = guest(&world, 7);
    create(&world, &visitor).await;
    let id = visitor.user.id;
    let claim = |username: &'static str| {
        let store = world.store.clone();
        async move { store.claim(id, &name(username), "hash").await.unwrap() }
    };
    assert!(matches!(claim("taken").await, Err(Refusal::Conflict(_))));
    let claimed = claim("visitor").await.unwrap();
    assert_eq!((claimed.guest, claimed.username.as_ref().map(Username::as_str)), (false, Some("visitor")));
    assert_eq!(world.store.credentials(&name("visitor")).await.unwrap().unwrap().user, claimed);
    assert!(matches!(claim("again").await, Err(Refusal::Conflict(_))));
    assert_eq!(create(&world, &guest(&world, 7)).await, NewUserOutcome::Created, "a new guest");
    let ghost = world.store.claim(UserId::from_uuid(world.uuid()), &name("ghost"), "x").await.unwrap();
    assert_eq!(ghost.err(), Some(Refusal::NotFound));
}

#[tokio::test]
async fn a_hash_is_replaced_only_while_it_is_the_stored_one() {
    let world = fresh().await;
    let (ada, gus) = (account(&world, "ada"), guest(&world, 1));
    create(&world, &ada).await;
    create(&world, &gus).await;
    let (store, ada, gus) = (&world.store, ada.user.id, gus.user.id);
    assert!(!store.replace_password_hash(ada, "another hash", "new hash").await.unwrap());
    assert!(!store.replace_password_hash(gus, "hash of ada", "new hash").await.unwrap());
    assert_eq!(store.password_hash(ada).await.unwrap().as_deref(), Some("hash of ada"));
    assert!(store.replace_password_hash(ada, "hash of ada", "new hash").await.unwrap());
    assert_eq!(store.password_hash(ada).await.unwrap().as_deref(), Some("new hash"));
    assert_eq!(store.password_hash(gus).await.unwrap(), None);
}

fn hash_of(id: FamilyId) -> [u8; 32] {
    let half = id.as_uuid().as_bytes();
    std::array::from_fn(|at| half[at % 16])
}

/// A guest that was made by a device id, and a sign-in by it.
async fn signed_in(world: &World, device: u8) -> (UserId, FamilyId) {
    let new = guest(world, device);
    let user = match create(world, &new).await {
        NewUserOutcome::Existing(user) => user.id,
        _ => new.user.id,
    };
    let id = FamilyId::from_uuid(world.uuid());
    let family = NewFamily {
        id,
        user,
        token_hash: hash_of(id),
        expires_at: Timestamp::from_unix_ms(i64::MAX),
        device_name: None,
        network: AddressPrefix::of([10, 0, 0, 1].into()),
        device_hash: new.device_hash,
    };
    world.store.add_family(&family, world.now()).await.unwrap();
    (user, id)
}

#[tokio::test]
async fn a_device_id_is_worth_nothing_once_its_sign_in_was_ended() {
    let world = fresh().await;
    let (store, now) = (&world.store, world.now());
    for (device, how) in [(1, "this one"), (2, "everywhere"), (3, "from another"), (4, "the others")] {
        let (user, first) = signed_in(&world, device).await;
        let (again, second) = signed_in(&world, device).await;
        assert_eq!(again, user, "{how}: it is found by its device");
        match how {
            "this one" => drop(store.revoke(user, Some(second), now).await.unwrap()),
            "everywhere" => drop(store.revoke(user, None, now).await.unwrap()),
            "from another" => drop(store.end_sign_in(user, second, now).await.unwrap().unwrap()),
            _ => drop(store.revoke_others(user, Some(first), now).await.unwrap()),
        }
        assert_ne!(signed_in(&world, device).await.0, user, "{how}");
        assert!(store.account_state(user).await.unwrap().is_living());
    }
}
