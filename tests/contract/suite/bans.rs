//! Bans: who is removed and kept out, for how long, and who decides it.

use tidings::domain::{
    Changes, ConversationId, ConversationKind, EventKind, LeaveReason, Refusal, Role, Timestamp, UserId,
};
use tidings::store::Change;

use super::fresh;
use crate::harness::World;

fn ban(user: UserId, until: Timestamp) -> Change {
    Change::Ban { user, until, reason: Some("spam".to_owned()) }
}

fn lift(user: UserId) -> Change {
    Change::Ban { user, until: Timestamp::from_unix_ms(0), reason: None }
}

fn join(user: UserId) -> Change {
    Change::Join { user, role: Role::Member }
}

fn banned<T: std::fmt::Debug>(answer: &Result<T, Refusal>) -> bool {
    matches!(answer, Err(Refusal::Banned { left_ms }) if *left_ms > 0)
}

/// Who is banned, as an admin reads it.
async fn listed(world: &World, admin: UserId, id: ConversationId) -> Vec<UserId> {
    let page = world.store.bans(admin, id, None, 100, world.now()).await.unwrap().unwrap();
    page.items.into_iter().map(|ban| ban.user.id).collect()
}

#[tokio::test]
async fn a_banned_member_is_removed_and_kept_out_until_the_ban_is_lifted() {
    let world = fresh().await;
    let [ada, ben, cid] = world.users().await;
    let forever = Timestamp::LATEST;
    for id in [world.group(&[ada, ben, cid]).await, world.channel(&[ada, ben, cid]).await] {
        let open = id.kind() == ConversationKind::Channel;
        let done = world.change(ada, id, ban(ben, forever)).await;
        let [said, left] = &*done.committed else { panic!("{done:?}") };
        let reason = Some("spam".to_owned());
        let changes = Changes { banned: Some((ben, forever)), reason, ..Changes::default() };
        assert_eq!(said.event.kind, EventKind::ConversationChanged(changes));
        assert_eq!(left.event.kind, EventKind::MemberLeft { user: ben, reason: LeaveReason::Removed });
        assert!(open || said.audience.users.contains(&ben), "the banned user is told why");
        assert!(world.store.member(id, ben).await.unwrap().is_none());

        if open {
            assert!(banned(&world.try_change(ben, id, join(ben)).await));
        }
        assert!(banned(&world.try_change(ada, id, join(ben)).await), "nobody adds a banned user");
        let again = world.change(ada, id, ban(ben, forever)).await;
        assert!(again.committed.is_empty(), "the same ban again is no event");

        let page = world.store.bans(ada, id, None, 100, world.now()).await.unwrap().unwrap();
        let [known] = &*page.items else { panic!("{page:?}") };
        assert_eq!((known.user.id, known.by, known.until), (ben, ada, forever));
        assert_eq!((known.at, known.reason.as_deref()), (said.event.sent_at, Some("spam")));

        let lifted = world.change(ada, id, lift(ben)).await;
        assert_eq!(lifted.committed.len(), 1);
        assert!(world.change(ada, id, lift(ben)).await.committed.is_empty(), "nothing to lift");
        assert!(listed(&world, ada, id).await.is_empty());
        world.change(ada, id, join(ben)).await;
        world.say(ben, id, "I am back").await;
    }
}

#[tokio::test]
async fn a_ban_ends_by_its_time_and_may_come_before_the_first_visit() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let channel = world.channel(&[ada]).await;
    let until = world.now().plus_ms(60);
    let done = world.change(ada, channel, ban(ben, until)).await;
    assert_eq!(done.committed.len(), 1, "nobody had to be removed");
    assert!(banned(&world.try_change(ben, channel, join(ben)).await));
    assert_eq!(listed(&world, ada, channel).await, [ben]);
    // The clock moves with each look.
    while world.now() < until {}
    assert!(listed(&world, ada, channel).await.is_empty());
    world.join(ben, channel).await;
}

#[tokio::test]
async fn those_who_may_remove_a_member_may_ban_them_and_admins_see_bans() {
    let world = fresh().await;
    let [owner, admin, second, member, outsider] = world.users().await;
    let group = world.group(&[owner, admin, second, member]).await;
    for user in [admin, second] {
        world.change(owner, group, Change::SetRole { user, role: Role::Admin }).await;
    }
    let until = Timestamp::LATEST;
    for (actor, user) in [
        (owner, owner),
        (admin, second),
        (admin, owner),
        (admin, admin),
        (member, second),
        (member, outsider),
    ] {
        for change in [ban(user, until), lift(user)] {
            let answer = world.try_change(actor, group, change).await;
            assert!(matches!(answer, Err(Refusal::Forbidden(_))), "{actor} {user}: {answer:?}");
        }
    }
    assert_eq!(world.try_change(outsider, group, ban(member, until)).await.err(), Some(Refusal::NotFound));
    world.change(admin, group, ban(member, until)).await;
    world.change(owner, group, ban(admin, until)).await;
    world.change(second, group, ban(outsider, until)).await;
    let mut all = [admin, member, outsider];
    all.sort_unstable();
    assert_eq!(listed(&world, second, group).await, all);

    let bans = async |user| world.store.bans(user, group, None, 100, world.now()).await.unwrap().err();
    world.change(owner, group, Change::SetRole { user: second, role: Role::Member }).await;
    assert!(matches!(bans(second).await, Some(Refusal::Forbidden(_))));
    assert_eq!(bans(outsider).await, Some(Refusal::NotFound));
    let page = world.store.bans(owner, group, None, 2, world.now()).await.unwrap().unwrap();
    let rest = world.store.bans(owner, group, page.next, 2, world.now()).await.unwrap().unwrap();
    let seen: Vec<UserId> = page.items.iter().chain(&rest.items).map(|ban| ban.user.id).collect();
    assert_eq!((seen, rest.next), (all.to_vec(), None));
}

#[tokio::test]
async fn two_people_ban_nobody_and_nobody_bans_whom_there_is_not() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    world.try_send(ada, tidings::store::Target::User(ben), "hi").await.unwrap();
    let direct = ConversationId::direct(ada, ben);
    let until = Timestamp::LATEST;
    assert!(matches!(world.try_change(ada, direct, ban(ben, until)).await, Err(Refusal::Forbidden(_))));
    assert!(matches!(
        world.store.bans(ada, direct, None, 10, world.now()).await.unwrap(),
        Err(Refusal::Forbidden(_))
    ));
    let channel = world.channel(&[ada]).await;
    world.erase(ben).await;
    assert_eq!(world.try_change(ada, channel, ban(ben, until)).await.err(), Some(Refusal::NotFound));
}

#[tokio::test]
async fn a_join_and_a_ban_at_the_same_time_leave_nobody_inside() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    for _ in 0..8 {
        let channel = world.channel(&[ada]).await;
        let (joined, _) = tokio::join!(
            world.try_change(ben, channel, join(ben)),
            world.try_change(ada, channel, ban(ben, Timestamp::LATEST))
        );
        assert!(joined.is_ok() || banned(&joined), "{joined:?}");
        assert!(world.store.member(channel, ben).await.unwrap().is_none());
    }
}
