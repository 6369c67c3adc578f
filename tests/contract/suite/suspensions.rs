//! Suspensions of accounts: what the doors read, what every node reads, and what becomes of the content.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tidings::domain::{AccountState, AddressPrefix, FamilyId, Refusal, Suspension, Timestamp, UserId};
use tidings::store::{
    FamilyRotation, JobKind, ListedRevocation, NewFamily, RevocationCursor, RevocationKind, Target,
};

use super::fresh;
use crate::harness::World;

fn until(ms: i64) -> Suspension {
    Suspension { until: Timestamp::from_unix_ms(ms), reason: Some("spam".to_owned()) }
}

async fn suspend(world: &World, user: UserId, suspension: &Suspension, removes_content: bool) {
    world.store.suspend(user, suspension, removes_content, world.now()).await.unwrap().unwrap();
}

/// What the list says of suspensions, from its beginning.
async fn listed(world: &World) -> Vec<(UserId, Option<Suspension>)> {
    let (list, _) = world.store.revocations(RevocationCursor::default()).await.unwrap();
    let of_suspensions =
        list.into_iter().filter(|listed| listed.revocation.kind == RevocationKind::Suspension);
    of_suspensions.map(|ListedRevocation { revocation, suspension }| (revocation.user, suspension)).collect()
}

#[tokio::test]
async fn a_suspension_is_replaced_lifted_and_listed() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    assert_eq!(world.store.account_state(ada).await.unwrap(), AccountState::Living(None));
    assert_eq!(world.store.account_state(UserId::from_uuid(world.uuid())).await.unwrap(), AccountState::Gone);
    suspend(&world, ada, &until(50), false).await;
    let endless = Suspension { until: Timestamp::LATEST, reason: None };
    suspend(&world, ada, &endless, false).await;
    suspend(&world, ben, &until(70), false).await;
    assert_eq!(world.store.account_state(ada).await.unwrap(), AccountState::Living(Some(endless.clone())));
    let page = world.store.suspensions(None, 1).await.unwrap();
    let rest = world.store.suspensions(page.next, 10).await.unwrap();
    let found: Vec<_> =
        page.items.iter().chain(&rest.items).map(|one| (one.user.id, &one.suspension)).collect();
    let (first, second) = (until(70), endless.clone());
    let mut expected = vec![(ben, &first), (ada, &second)];
    expected.sort_by_key(|(user, _)| *user);
    assert_eq!((found, rest.next), (expected, None));

    world.store.lift_suspension(ada, world.now()).await.unwrap().unwrap();
    world.store.lift_suspension(ada, world.now()).await.unwrap().unwrap();
    assert_eq!(world.store.account_state(ada).await.unwrap(), AccountState::Living(None));
    let list = listed(&world).await;
    assert_eq!(list.iter().filter(|(user, _)| *user == ada).count(), 4, "each change has an entry");
    assert!(
        list.iter().all(|(user, suspension)| suspension.is_some() == (*user == ben)),
        "every entry says what holds now: {list:?}"
    );
}

#[tokio::test]
async fn nobody_suspends_an_account_that_is_not_there() {
    let world = fresh().await;
    let [ada] = world.users().await;
    suspend(&world, ada, &until(50), false).await;
    world.erase(ada).await;
    assert_eq!(world.store.account_state(ada).await.unwrap(), AccountState::Gone);
    assert!(
        world.store.suspensions(None, 10).await.unwrap().items.is_empty(),
        "the reason goes with the account"
    );
    for user in [ada, UserId::from_uuid(world.uuid())] {
        let now = world.now();
        let suspended = world.store.suspend(user, &until(50), true, now).await.unwrap();
        assert_eq!(suspended, Err(Refusal::NotFound));
        assert_eq!(world.store.lift_suspension(user, now).await.unwrap(), Err(Refusal::NotFound));
    }
}

#[tokio::test]
async fn a_refresh_token_sleeps_during_a_suspension() {
    let world = fresh().await;
    let [ada] = world.users().await;
    let at = Timestamp::from_unix_ms;
    let id = FamilyId::from_uuid(world.uuid());
    let network = AddressPrefix::of(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let new = NewFamily {
        id,
        user: ada,
        token_hash: [1; 32],
        expires_at: at(1_000),
        device_name: None,
        device_hash: None,
        network: network.clone(),
    };
    world.store.add_family(&new, at(0)).await.unwrap();
    let rotate = async |presented: u8, replacement: u8, now: i64| {
        let (presented, replacement) = ([presented; 32], [replacement; 32]);
        let soon = Duration::from_secs(600);
        world.store.rotate_family(&presented, &replacement, at(1_000), at(now), soon, &network).await.unwrap()
    };
    assert!(matches!(rotate(1, 2, 10).await, FamilyRotation::Rotated(_)));
    suspend(&world, ada, &until(50), false).await;
    assert_eq!(rotate(2, 3, 49).await, FamilyRotation::Suspended(until(50)));
    assert_eq!(
        rotate(1, 3, 49).await,
        FamilyRotation::Suspended(until(50)),
        "a lost answer is not repeated either"
    );
    assert!(matches!(rotate(2, 3, 50).await, FamilyRotation::Rotated(_)), "its time is over");
    suspend(&world, ada, &until(70), false).await;
    world.store.lift_suspension(ada, world.now()).await.unwrap().unwrap();
    assert!(matches!(rotate(3, 4, 60).await, FamilyRotation::Rotated(_)), "it was lifted");
}

#[tokio::test]
async fn content_goes_when_that_was_asked_for_and_memberships_stay() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let said = world.say(ada, group, "buy this").await;
    world.say(ben, group, "no").await;
    suspend(&world, ada, &until(50), false).await;
    assert_eq!(world.store.backlog(JobKind::Content).await.unwrap().jobs, 0);
    suspend(&world, ada, &until(60), true).await;
    // A node that does not know yet takes this one.
    world.try_send(ada, Target::Conversation(group), "and this").await.unwrap();
    assert!(world.finish_jobs().await.is_empty(), "nobody leaves, nothing is said");
    assert_eq!(world.store.backlog(JobKind::Content).await.unwrap().jobs, 0);
    assert_eq!(world.bodies(ben, group).await, ["no"]);
    let page = world.page(ben, group).await;
    assert!(
        page.iter().any(|message| message.event.seq == said),
        "its seq stays, as that of a deleted message"
    );
    assert!(world.store.member(group, ada).await.unwrap().is_some());
}
