//! Refresh-token families and revocations.

use std::time::Duration;

use tidings::domain::{AddressPrefix, FamilyId, Refusal, Timestamp, UserId};
use tidings::store::{
    Family, FamilyRotation, ListedRevocation, NewFamily, Revocation, RevocationCursor, RevocationKind,
    SignInView,
};

use super::fresh;
use crate::harness::World;

const DAY_MS: i64 = 86_400_000;

fn at(day: i64) -> Timestamp {
    Timestamp::from_unix_ms(1_800_000_000_000 + day * DAY_MS)
}

fn token(n: u8) -> [u8; 32] {
    [n; 32]
}

/// The network of the address `10.0.n.1`.
fn network(n: u8) -> AddressPrefix {
    AddressPrefix::of([10, 0, n, 1].into())
}

fn new_family(id: FamilyId, user: UserId, first: u8) -> NewFamily {
    let (token_hash, expires_at) = (token(first), at(30));
    NewFamily {
        id,
        user,
        token_hash,
        expires_at,
        device_name: None,
        network: network(first),
        device_hash: None,
    }
}

async fn family(world: &World, user: UserId, first: u8) -> Family {
    let id = FamilyId::from_uuid(world.uuid());
    let new = new_family(id, user, first);
    assert_eq!(world.store.add_family(&new, at(0)).await.unwrap(), []);
    Family { id, user }
}

/// Too late for an answer that was lost.
async fn rotate(world: &World, presented: u8, replacement: u8, day: i64) -> FamilyRotation {
    let from = network(replacement);
    let (presented, replacement) = (token(presented), token(replacement));
    let late = Duration::ZERO;
    world.store.rotate_family(&presented, &replacement, at(day + 30), at(day), late, &from).await.unwrap()
}

/// Soon enough for it; the days of the nodes do not count.
async fn rotate_soon(world: &World, presented: u8, replacement: u8, day: i64) -> FamilyRotation {
    let from = network(replacement);
    let (presented, replacement) = (token(presented), token(replacement));
    let soon = Duration::from_secs(600);
    world.store.rotate_family(&presented, &replacement, at(day + 30), at(day), soon, &from).await.unwrap()
}

#[tokio::test]
async fn the_newest_token_rotates() {
    let world = fresh().await;
    let [ada] = world.users().await;
    let signed_in = family(&world, ada, 1).await;
    assert_eq!(rotate(&world, 1, 2, 1).await, FamilyRotation::Rotated(signed_in.clone()));
    assert_eq!(rotate(&world, 2, 3, 40).await, FamilyRotation::Refused, "past its end");
    assert_eq!(rotate(&world, 2, 3, 20).await, FamilyRotation::Rotated(signed_in));
    assert_eq!(rotate(&world, 99, 4, 1).await, FamilyRotation::Refused, "unknown");
}

#[tokio::test]
async fn an_older_token_that_comes_back_revokes_its_family_alone() {
    let world = fresh().await;
    let [ada] = world.users().await;
    let stolen = family(&world, ada, 1).await;
    let other = family(&world, ada, 50).await;
    rotate(&world, 1, 2, 1).await;
    rotate(&world, 2, 3, 2).await;
    assert_eq!(rotate(&world, 1, 9, 3).await, FamilyRotation::Reused(stolen.clone()));
    assert_eq!(rotate(&world, 3, 4, 3).await, FamilyRotation::Refused, "the newest is worth nothing now");
    assert_eq!(rotate(&world, 1, 9, 3).await, FamilyRotation::Refused);
    let (revocations, _) = world.store.revocations(RevocationCursor::default()).await.unwrap();
    let expected = Revocation { user: ada, family: Some(stolen.id), at: at(3), kind: RevocationKind::Tokens };
    assert_eq!(revocations, [ListedRevocation { revocation: expected, suspension: None }]);
    assert_eq!(rotate(&world, 50, 51, 3).await, FamilyRotation::Rotated(other));
}

/// The answer that bore the newest token was lost: its predecessor is shown again, any number of times, until
/// the newest is used.
#[tokio::test]
async fn the_token_before_the_newest_may_come_back_soon_while_the_newest_was_not_used() {
    let world = fresh().await;
    let [ada] = world.users().await;
    let signed_in = family(&world, ada, 1).await;
    let again = FamilyRotation::Rotated(signed_in.clone());
    assert_eq!(rotate_soon(&world, 1, 2, 1).await, again);
    assert_eq!(rotate_soon(&world, 1, 3, 1).await, again);
    assert_eq!(rotate_soon(&world, 1, 4, 2).await, again, "whatever the clock of the node says");
    assert_eq!(rotate_soon(&world, 4, 5, 2).await, again);
    assert_eq!(rotate_soon(&world, 1, 6, 2).await, FamilyRotation::Reused(signed_in), "the newest was used");
    assert_eq!(rotate_soon(&world, 5, 6, 2).await, FamilyRotation::Refused);

    let other = family(&world, ada, 10).await;
    rotate_soon(&world, 10, 11, 1).await;
    rotate_soon(&world, 10, 12, 1).await;
    assert_eq!(rotate_soon(&world, 11, 13, 1).await, FamilyRotation::Reused(other), "it died unused");
    let third = family(&world, ada, 20).await;
    rotate(&world, 20, 21, 1).await;
    assert_eq!(rotate(&world, 20, 22, 1).await, FamilyRotation::Reused(third), "too late");
}

#[tokio::test]
async fn a_user_has_so_many_sign_ins_and_one_more_ends_the_first() {
    let world = fresh().await;
    let [ada] = world.users().await;
    let mut ended = Vec::new();
    let ids: Vec<_> = (0..=100).map(|_| FamilyId::from_uuid(world.uuid())).collect();
    for (n, id) in ids.iter().enumerate() {
        let expires_at = at(30 + i64::try_from(n).unwrap());
        let new = NewFamily { expires_at, ..new_family(*id, ada, u8::try_from(n).unwrap()) };
        ended.extend(world.store.add_family(&new, at(0)).await.unwrap());
    }
    assert_eq!(
        ended,
        [Revocation { user: ada, family: Some(ids[0]), at: at(0), kind: RevocationKind::Tokens }]
    );
    assert_eq!(rotate(&world, 0, 200, 1).await, FamilyRotation::Refused);
    assert!(matches!(rotate(&world, 100, 201, 1).await, FamilyRotation::Rotated(_)));
}

/// After a failover that lost the newest revocations, their numbers are given again.
#[tokio::test]
async fn a_cursor_of_another_incarnation_of_the_log_reads_from_the_beginning() {
    let world = fresh().await;
    let [ada] = world.users().await;
    let (_, here) = world.store.revocations(RevocationCursor::default()).await.unwrap();
    world.store.revoke(ada, None, at(1)).await.unwrap();
    let elsewhere = RevocationCursor { epoch: here.epoch ^ 1, id: 1_000 };
    let (revocations, next) = world.store.revocations(elsewhere).await.unwrap();
    assert_eq!((revocations.len(), next.epoch), (1, here.epoch));
    assert_eq!(world.store.revocations(next).await.unwrap(), (Vec::new(), next));
}

#[tokio::test]
async fn one_sign_in_ends_or_all_of_them() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let first = family(&world, ada, 1).await;
    let second = family(&world, ada, 2).await;
    family(&world, ben, 3).await;
    let ends = |family, day| Revocation { user: ada, family, at: at(day), kind: RevocationKind::Tokens };
    let revocations = world.store.revoke(ada, Some(first.id), at(1)).await.unwrap();
    assert_eq!(revocations, [ends(Some(first.id), 1)]);
    assert_eq!(rotate(&world, 1, 11, 1).await, FamilyRotation::Refused);
    assert!(matches!(rotate(&world, 2, 12, 1).await, FamilyRotation::Rotated(_)));
    let revocations = world.store.revoke(ada, None, at(2)).await.unwrap();
    assert_eq!(revocations, [ends(Some(second.id), 2), ends(None, 2)], "each that lives, by its id");
    let (listed, _) = world.store.revocations(RevocationCursor::default()).await.unwrap();
    assert!(listed[1..].iter().map(|listed| &listed.revocation).eq(&revocations), "{listed:?}");
    assert_eq!(rotate(&world, 12, 13, 2).await, FamilyRotation::Refused);
    assert!(matches!(rotate(&world, 3, 14, 2).await, FamilyRotation::Rotated(_)), "Ben's goes on");
}

/// What the user is shown of a sign-in that began on day 0.
fn view(family: &Family, device_name: Option<&str>, from: u8, used: i64) -> SignInView {
    SignInView {
        id: family.id,
        device_name: device_name.map(str::to_owned),
        network: network(from),
        created_at: at(0),
        used_at: at(used),
    }
}

#[tokio::test]
async fn a_user_sees_sign_ins_that_live_and_when_they_were_refreshed() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let phone = Family { id: FamilyId::from_uuid(world.uuid()), user: ada };
    let new = NewFamily { device_name: Some("Ada's phone".to_owned()), ..new_family(phone.id, ada, 1) };
    world.store.add_family(&new, at(0)).await.unwrap();
    let laptop = family(&world, ada, 2).await;
    family(&world, ben, 3).await;
    let ended = family(&world, ada, 4).await;
    world.store.revoke(ada, Some(ended.id), at(1)).await.unwrap();

    rotate(&world, 2, 20, 1).await;
    let seen = world.store.sign_ins(ada, at(1)).await.unwrap();
    assert_eq!(seen, [view(&laptop, None, 20, 1), view(&phone, Some("Ada's phone"), 1, 0)]);
    rotate_soon(&world, 1, 11, 2).await;
    rotate_soon(&world, 1, 12, 3).await;
    let seen = world.store.sign_ins(ada, at(3)).await.unwrap();
    assert_eq!(seen, [view(&phone, Some("Ada's phone"), 12, 3), view(&laptop, None, 20, 1)]);
    let seen = world.store.sign_ins(ada, at(32)).await.unwrap();
    assert_eq!(seen, [view(&phone, Some("Ada's phone"), 12, 3)], "the other has expired");
}

#[tokio::test]
async fn one_sign_in_is_ended_from_another() {
    let world = fresh().await;
    let [ada, eve] = world.users().await;
    let (first, second) = (family(&world, ada, 1).await, family(&world, ada, 2).await);
    let end = async |user, family, day| world.store.end_sign_in(user, family, at(day)).await.unwrap();
    assert_eq!(end(eve, first.id, 1).await, Err(Refusal::NotFound), "another user's");
    assert_eq!(end(ada, FamilyId::from_uuid(world.uuid()), 1).await, Err(Refusal::NotFound));
    let revocation =
        Revocation { user: ada, family: Some(first.id), at: at(1), kind: RevocationKind::Tokens };
    assert_eq!(end(ada, first.id, 1).await, Ok(vec![revocation]));
    assert_eq!(end(ada, first.id, 2).await, Ok(Vec::new()), "it ended before");
    let (listed, _) = world.store.revocations(RevocationCursor::default()).await.unwrap();
    assert_eq!(listed, [ListedRevocation { revocation, suspension: None }]);
    assert_eq!(rotate(&world, 1, 11, 1).await, FamilyRotation::Refused);
    assert_eq!(rotate(&world, 2, 12, 1).await, FamilyRotation::Rotated(second));
}

#[tokio::test]
async fn a_device_is_known_until_its_sign_in_is_ended_from_elsewhere() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let (one, two) = (family(&world, ada, 1).await, family(&world, ada, 2).await);
    let known = async |user, family: &Family, day| {
        world.store.is_known_device(user, family.id, at(day)).await.unwrap()
    };
    assert!(known(ada, &one, 1).await && known(ada, &two, 1).await);
    assert!(!known(ben, &one, 1).await, "to its own user");
    assert!(!known(ada, &one, 31).await, "until it expires");
    world.store.revoke(ada, Some(one.id), at(1)).await.unwrap();
    assert!(known(ada, &one, 1).await, "it signed out by itself");
    world.store.end_sign_in(ada, one.id, at(1)).await.unwrap().unwrap();
    assert!(!known(ada, &one, 1).await && known(ada, &two, 1).await);

    let three = family(&world, ada, 3).await;
    world.store.revoke(ada, Some(three.id), at(1)).await.unwrap();
    world.store.revoke_others(ada, Some(two.id), at(1)).await.unwrap();
    assert!(!known(ada, &three, 1).await && known(ada, &two, 1).await, "those that had signed out too");
    rotate(&world, 2, 20, 1).await;
    assert!(matches!(rotate(&world, 2, 21, 1).await, FamilyRotation::Reused(_)));
    assert!(!known(ada, &two, 1).await, "its token was stolen");
    let four = family(&world, ada, 4).await;
    world.store.revoke(ada, None, at(1)).await.unwrap();
    assert!(!known(ada, &four, 1).await);
}

#[tokio::test]
async fn the_devices_that_were_used_last_are_known() {
    let world = fresh().await;
    let [ada] = world.users().await;
    let first = family(&world, ada, 0).await;
    for n in 1..=100 {
        let next = new_family(FamilyId::from_uuid(world.uuid()), ada, n);
        world.store.add_family(&next, at(1)).await.unwrap();
        world.store.revoke(ada, Some(next.id), at(1)).await.unwrap();
        let known = world.store.is_known_device(ada, first.id, at(1)).await.unwrap();
        assert_eq!(known, n < 100, "{n} after it");
    }
}

#[tokio::test]
async fn nobody_ends_the_sign_in_of_another() {
    let world = fresh().await;
    let [ada, eve] = world.users().await;
    let signed_in = family(&world, ada, 1).await;
    world.store.revoke(eve, Some(signed_in.id), at(1)).await.unwrap();
    assert_eq!(rotate(&world, 1, 2, 1).await, FamilyRotation::Rotated(signed_in));
}

#[tokio::test]
async fn revocations_are_followed_by_cursor_and_forgotten_by_age() {
    let mut world = fresh().await;
    let [ada, ben] = world.users().await;
    let (none, start) = world.store.revocations(RevocationCursor::default()).await.unwrap();
    assert!(none.is_empty());
    world.store.revoke(ada, None, at(1)).await.unwrap();
    let (first, cursor) = world.store.revocations(start).await.unwrap();
    assert_eq!(first.len(), 1);
    world.store.forget_revocations(at(2)).await.unwrap();
    assert!(world.store.revocations(start).await.unwrap().0.is_empty());
    world.restart().await;
    world.store.revoke(ben, None, at(3)).await.unwrap();
    let (second, end) = world.store.revocations(cursor).await.unwrap();
    assert_eq!(
        second.iter().map(|listed| listed.revocation.user).collect::<Vec<_>>(),
        [ben],
        "after the forgotten one"
    );
    assert_eq!(world.store.revocations(end).await.unwrap(), (Vec::new(), end));
}

#[tokio::test]
async fn a_long_list_of_revocations_comes_in_parts() {
    let world = fresh().await;
    let [ada] = world.users().await;
    for _ in 0..1_003 {
        world.store.revoke(ada, None, at(1)).await.unwrap();
    }
    let (first, cursor) = world.store.revocations(RevocationCursor::default()).await.unwrap();
    let (second, _) = world.store.revocations(cursor).await.unwrap();
    assert_eq!((first.len(), second.len()), (1_000, 3));
}
