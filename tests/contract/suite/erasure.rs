//! Erasing an account: its content is removed permanently, and the order of events stays.

use tidings::domain::{
    AddressPrefix, EventKind, LeaveReason, Refusal, Role, Timestamp, User, UserId, Username,
};
use tidings::store::{
    Change, JobKind, NewFamily, NewUser, NewUserOutcome, RevocationKind, SharedStore, Target,
};

use super::fresh;
use crate::harness::{World, body};

const CANARY: &str = "canary-7f3a91";

/// An account with traces of every kind.
async fn lived(world: &World, store: &SharedStore, username: &str) -> UserId {
    let id = UserId::from_uuid(world.uuid());
    let new = NewUser {
        user: User {
            id,
            username: Some(Username::parse(username).unwrap()),
            display_name: format!("{CANARY} name"),
            guest: false,
            created_at: world.now(),
        },
        password_hash: Some(format!("{CANARY} hash")),
        device_hash: Some([3; 32]),
    };
    assert_eq!(store.create_user(&new).await.unwrap(), NewUserOutcome::Created);
    let family = tidings::domain::FamilyId::from_uuid(world.uuid());
    let new = NewFamily {
        id: family,
        user: id,
        token_hash: [4; 32],
        expires_at: Timestamp::from_unix_ms(i64::MAX),
        device_name: Some(format!("{CANARY} device")),
        network: AddressPrefix::of([10, 0, 0, 1].into()),
        device_hash: None,
    };
    store.add_family(&new, world.now()).await.unwrap();
    id
}

#[tokio::test]
async fn an_erased_user_leaves_tombstones_only() {
    let world = fresh().await;
    let [ben] = world.users().await;
    let ada = lived(&world, &world.store, "ada").await;
    let group = world.group(&[ben, ada]).await;
    let said = world.say(ada, group, CANARY).await;
    world
        .change(ada, group, Change::Edit { target: said, body: format!("{CANARY} edited"), client_id: None })
        .await;
    let of_ben = world.say(ben, group, "stays").await;
    world.change(ada, group, Change::React { target: of_ben, emoji: CANARY.to_owned(), on: true }).await;
    world.change(ben, group, Change::React { target: of_ben, emoji: "👍".to_owned(), on: true }).await;
    let direct = world.try_send(ada, Target::User(ben), CANARY).await.unwrap().conversation;
    let before = world.events(ben, group).await.len();

    let committed = world.erase(ada).await;
    assert_eq!(committed.len(), 2, "one parting per conversation");
    for one in &committed {
        let parting = EventKind::MemberLeft { user: ada, reason: LeaveReason::Erased };
        assert_eq!((&one.event.kind, one.audience.users.contains(&ben)), (&parting, true));
    }
    let events = world.events(ben, group).await;
    assert_eq!(events.len(), before + 1, "every seq is still there");
    assert!(!format!("{events:?}").contains(CANARY));
    let page = world.page(ben, group).await;
    let EventKind::Message(message) = &page[0].event.kind else { panic!() };
    assert!(message.deleted && page[0].event.sender == ada);
    assert_eq!(body(&page[1].event).as_deref(), Some("stays"));
    let left: Vec<&str> = page[1].reactions.iter().map(|reaction| reaction.emoji.as_str()).collect();
    assert_eq!(left, ["👍"]);
    assert!(world.bodies(ben, direct).await.is_empty());
}

#[tokio::test]
async fn the_account_is_gone_and_its_name_free() {
    let world = fresh().await;
    let [ben] = world.users().await;
    let ada = lived(&world, &world.store, "ada").await;
    world.store.set_block(ada, ben, true).await.unwrap().unwrap();
    let now = world.now();
    let revocation = world.store.erase(ada, now).await.unwrap().unwrap();
    assert_eq!((revocation.user, revocation.family, revocation.kind), (ada, None, RevocationKind::Erasure));
    world.finish_jobs().await;
    let user = world.store.user(ada).await.unwrap().unwrap();
    assert_eq!((user.display_name.as_str(), user.username), ("deleted", None));
    assert!(!world.store.account_state(ada).await.unwrap().is_living());
    assert!(world.store.account_state(ben).await.unwrap().is_living());
    let name = Username::parse("ada").unwrap();
    assert!(world.store.credentials(&name).await.unwrap().is_none());
    assert!(world.store.password_hash(ada).await.unwrap().is_none());
    assert!(world.store.blocks(ada).await.unwrap().is_empty());
    let (soon, here) = (std::time::Duration::from_secs(30), AddressPrefix::of([10, 0, 0, 1].into()));
    let rotated = world.store.rotate_family(&[4; 32], &[5; 32], now.plus_ms(9), now, soon, &here).await;
    let rotated = rotated.unwrap();
    assert_eq!(rotated, tidings::store::FamilyRotation::Refused);
    let (revocations, _) =
        world.store.revocations(tidings::store::RevocationCursor::default()).await.unwrap();
    assert!(revocations.iter().any(|listed| listed.revocation == revocation));
    assert!(world.heads(ada).await.is_empty());
    for (what, refused) in [
        ("rename", world.store.rename(ada, "back").await.unwrap().err()),
        ("password", world.store.set_password(ada, "x").await.unwrap().err()),
        ("write to it", world.try_send(ben, Target::User(ada), "?").await.err()),
        ("write from it", world.try_send(ada, Target::User(ben), "?").await.err()),
    ] {
        assert_eq!(refused, Some(Refusal::NotFound), "{what}");
    }
    lived_again(&world, &name).await;
}

async fn lived_again(world: &World, name: &Username) {
    let id = UserId::from_uuid(world.uuid());
    let user = User {
        id,
        username: Some(name.clone()),
        display_name: "new".to_owned(),
        guest: false,
        created_at: world.now(),
    };
    let new = NewUser { user, password_hash: None, device_hash: Some([3; 32]) };
    assert_eq!(world.store.create_user(&new).await.unwrap(), NewUserOutcome::Created);
}

#[tokio::test]
async fn an_erased_owner_hands_over() {
    let world = fresh().await;
    let [ben] = world.users().await;
    let ada = lived(&world, &world.store, "ada").await;
    let group = world.group(&[ada, ben]).await;
    world.erase(ada).await;
    assert_eq!(world.store.member(group, ben).await.unwrap().unwrap().role, Role::Owner);
}

#[tokio::test]
async fn erasing_again_changes_nothing_and_a_stranger_is_not_found() {
    let world = fresh().await;
    let ada = lived(&world, &world.store, "ada").await;
    world.group(&[ada]).await;
    assert_eq!(world.erase(ada).await.len(), 1);
    assert!(world.erase(ada).await.is_empty());
    let ghost = UserId::from_uuid(world.uuid());
    assert_eq!(world.store.erase(ghost, world.now()).await.unwrap().err(), Some(Refusal::NotFound));
}

#[tokio::test]
async fn much_content_goes_in_steps_and_a_retry_is_still_a_duplicate() {
    let world = fresh().await;
    let [ben] = world.users().await;
    let ada = lived(&world, &world.store, "ada").await;
    let mut conversations = Vec::new();
    for _ in 0..25 {
        conversations.push(world.group(&[ben, ada]).await);
    }
    let batch: Vec<_> =
        (0..450).map(|n| world.message(ada, Target::Conversation(conversations[n % 25]), CANARY)).collect();
    let sent: Vec<_> = world.append(&batch).await.into_iter().map(|answer| answer.unwrap().seq).collect();
    assert_eq!(world.erase(ada).await.len(), 25);
    for conversation in &conversations {
        assert!(world.bodies(ben, *conversation).await.is_empty());
    }
    let again = world.append(&batch).await;
    for (answer, seq) in again.iter().zip(sent) {
        let answer = answer.as_ref().unwrap();
        assert!(answer.committed.is_none() && answer.seq == seq);
    }
}

#[tokio::test]
async fn an_erasure_goes_on_where_it_was_after_a_restart() {
    let mut world = fresh().await;
    let [ben] = world.users().await;
    let ada = lived(&world, &world.store, "ada").await;
    let group = world.group(&[ben, ada]).await;
    let batch: Vec<_> = (0..450).map(|_| world.message(ada, Target::Conversation(group), CANARY)).collect();
    world.append(&batch).await;
    let begun = world.now();
    world.store.erase(ada, begun).await.unwrap().unwrap();
    let backlog = world.store.backlog(JobKind::Erasure).await.unwrap();
    assert_eq!((backlog.jobs, backlog.oldest), (1, Some(begun)));
    assert_eq!(world.bodies(ben, group).await.len(), 450, "answered before that");
    // Some of the content is gone, and some is not.
    while world.bodies(ben, group).await.len() == 450 {
        world.store.work(JobKind::Erasure, world.now().plus_ms(60_000)).await.unwrap();
    }
    assert!(!world.bodies(ben, group).await.is_empty());
    world.restart().await;
    world.finish_jobs().await;
    assert!(world.bodies(ben, group).await.is_empty());
    assert_eq!(world.store.backlog(JobKind::Erasure).await.unwrap().oldest, None);
}

#[tokio::test]
async fn a_step_of_another_holder_changes_nothing() {
    let world = fresh().await;
    let [ben] = world.users().await;
    let mut erased = Vec::new();
    for n in 0..3 {
        let ada = world.user(&format!("{CANARY} {n}")).await;
        world.group(&[ben, ada]).await;
        world.store.erase(ada, world.now()).await.unwrap().unwrap();
        erased.push(ada);
    }
    // Two that both think they hold the lease.
    let (one, two) = tokio::join!(world.finish_jobs(), world.finish_jobs());
    let mut left: Vec<UserId> = one.iter().chain(&two).map(|one| one.event.sender).collect();
    left.sort_unstable();
    erased.sort_unstable();
    assert_eq!(left, erased, "each left once");
}
