//! Joining, inviting, leaving, removing, roles.

use tidings::domain::{
    Changes, ConversationKind, EventKind, JoinPolicy, LeaveReason, Refusal, Role, Seq, UserId,
};
use tidings::store::{Change, Target};

use super::fresh;
use crate::harness::World;

fn invite(user: UserId) -> Change {
    Change::Join { user, role: Role::Member }
}

async fn role(world: &World, conversation: tidings::domain::ConversationId, user: UserId) -> Role {
    world.store.member(conversation, user).await.unwrap().unwrap().role
}

#[tokio::test]
async fn anyone_joins_an_open_channel_and_joining_again_is_no_event() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let channel = world.channel(&[ada]).await;
    let joined = world.join(ben, channel).await;
    let committed = &joined.committed[0];
    assert_eq!(committed.event.kind, EventKind::MemberJoined { user: ben, role: Role::Member });
    assert_eq!(
        committed.audience.users.to_vec(),
        [ben],
        "in a channel the joiner, who is not subscribed yet"
    );
    assert_eq!(world.store.member(channel, ben).await.unwrap().unwrap().joined_seq, joined.seq);
    let again = world.join(ben, channel).await;
    assert_eq!((again.seq, again.committed.len()), (joined.seq, 0));
}

#[tokio::test]
async fn a_group_tells_all_its_members_of_a_new_one() {
    let world = fresh().await;
    let [ada, ben, cid] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let joined = world.change(ada, group, invite(cid)).await;
    let mut told = joined.committed[0].audience.users.to_vec();
    told.sort_unstable();
    let mut everyone = vec![ada, ben, cid];
    everyone.sort_unstable();
    assert_eq!(told, everyone);
    let sent = world.try_send(ben, Target::Conversation(group), "welcome").await.unwrap();
    assert_eq!(sent.committed.unwrap().audience.users.len(), 3);
}

#[tokio::test]
async fn invitations_follow_the_join_policy_and_the_role() {
    let world = fresh().await;
    let [ada, ben, cid, eve] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    assert!(matches!(world.try_change(ben, group, invite(cid)).await, Err(Refusal::Forbidden(_))));
    assert_eq!(world.try_change(eve, group, invite(eve)).await.err(), Some(Refusal::NotFound));
    let channel = world.channel(&[ada, ben]).await;
    world.change(ben, channel, invite(cid)).await;
    assert_eq!(world.try_change(eve, channel, invite(cid)).await.err(), Some(Refusal::NotMember));
}

#[tokio::test]
async fn only_users_can_be_invited() {
    let world = fresh().await;
    let [ada] = world.users().await;
    let group = world.group(&[ada]).await;
    let ghost = UserId::from_uuid(world.uuid());
    assert_eq!(world.try_change(ada, group, invite(ghost)).await.err(), Some(Refusal::NotFound));
}

#[tokio::test]
async fn a_full_group_takes_nobody_and_a_channel_anybody() {
    let world = fresh().await;
    let users: [UserId; 9] = world.users().await;
    let group = world.group(&users[..8]).await;
    let over = world.try_change(users[0], group, invite(users[8])).await;
    assert!(matches!(over, Err(Refusal::TooLarge(_))), "{over:?}");
    let again = world.change(users[0], group, invite(users[7])).await;
    assert!(again.committed.is_empty(), "a member already");
    let channel = world.channel(&users[..8]).await;
    world.join(users[8], channel).await;
}

#[tokio::test]
async fn whoever_leaves_hears_of_it_and_then_nothing_more() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let left = world.leave(ben, group).await;
    let committed = &left.committed[0];
    assert_eq!(committed.event.kind, EventKind::MemberLeft { user: ben, reason: LeaveReason::Left });
    assert!(committed.audience.users.contains(&ben) && committed.audience.users.contains(&ada));
    let sent = world.try_send(ada, Target::Conversation(group), "alone").await.unwrap();
    assert_eq!(sent.committed.unwrap().audience.users.to_vec(), [ada]);
    assert!(!world.heads(ben).await.contains_key(&group));
    assert_eq!(world.try_events(ben, group).await.err(), Some(Refusal::NotFound));
    let again = world.leave(ben, group).await;
    assert_eq!((again.seq, again.committed.len()), (left.seq, 0));
}

#[tokio::test]
async fn removing_follows_the_roles_and_names_its_reason() {
    let world = fresh().await;
    let [ada, ben, cid, dan] = world.users().await;
    let group = world.group(&[ada, ben, cid, dan]).await;
    for admin in [ben, cid] {
        world.change(ada, group, Change::SetRole { user: admin, role: Role::Admin }).await;
    }
    let remove = |actor, user| world.try_change(actor, group, Change::Leave { user });
    assert!(matches!(remove(dan, ben).await, Err(Refusal::Forbidden(_))));
    assert!(matches!(remove(ben, cid).await, Err(Refusal::Forbidden(_))), "admins do not remove admins");
    let removed = remove(ben, dan).await.unwrap();
    let reason = EventKind::MemberLeft { user: dan, reason: LeaveReason::Removed };
    assert_eq!(removed.committed[0].event.kind, reason);
    assert!(removed.committed[0].audience.users.contains(&dan));
    assert!(remove(ben, dan).await.unwrap().committed.is_empty(), "twice is once");
    remove(ada, cid).await.unwrap();
    assert_eq!(remove(ada, UserId::from_uuid(world.uuid())).await.err(), Some(Refusal::NotFound));
}

#[tokio::test]
async fn when_the_owner_leaves_the_longest_standing_admin_takes_over() {
    let world = fresh().await;
    let [ada, ben, cid, dan] = world.users().await;
    let channel = world.channel(&[ada]).await;
    for user in [ben, cid, dan] {
        world.join(user, channel).await;
    }
    for admin in [dan, cid] {
        world.change(ada, channel, Change::SetRole { user: admin, role: Role::Admin }).await;
    }
    let left = world.leave(ada, channel).await;
    let changes = Changes { role: Some((cid, Role::Owner)), ..Changes::default() };
    assert_eq!(left.committed.len(), 2);
    assert_eq!(left.committed[1].event.kind, EventKind::ConversationChanged(changes));
    assert_eq!(left.committed[1].previous, left.committed[0].position);
    assert_eq!(role(&world, channel, cid).await, Role::Owner);
    world.leave(cid, channel).await;
    assert_eq!(role(&world, channel, dan).await, Role::Owner);
    world.leave(dan, channel).await;
    assert_eq!(role(&world, channel, ben).await, Role::Owner, "no admin is left: the member");
}

#[tokio::test]
async fn whoever_enters_an_abandoned_channel_takes_it_over() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let channel = world.channel(&[ada]).await;
    world.leave(ada, channel).await;
    world.join(ben, channel).await;
    assert_eq!(role(&world, channel, ben).await, Role::Owner);
}

#[tokio::test]
async fn only_the_owner_gives_roles() {
    let world = fresh().await;
    let [ada, ben, cid] = world.users().await;
    let group = world.group(&[ada, ben, cid]).await;
    let set = |actor, user, role| world.try_change(actor, group, Change::SetRole { user, role });
    assert!(matches!(set(ben, cid, Role::Admin).await, Err(Refusal::Forbidden(_))));
    let given = set(ada, ben, Role::Admin).await.unwrap();
    let again = set(ada, ben, Role::Admin).await.unwrap();
    assert_eq!((again.seq, again.committed.len()), (given.seq, 0));
    assert!(matches!(set(ben, cid, Role::Admin).await, Err(Refusal::Forbidden(_))));
    assert!(matches!(set(ada, ada, Role::Member).await, Err(Refusal::Forbidden(_))), "nobody would own it");
    assert_eq!(set(ada, UserId::from_uuid(world.uuid()), Role::Admin).await.err(), Some(Refusal::NotFound));
}

#[tokio::test]
async fn ownership_is_handed_over() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let handed = world.change(ada, group, Change::SetRole { user: ben, role: Role::Owner }).await;
    assert_eq!(handed.committed.len(), 2);
    assert_eq!(role(&world, group, ben).await, Role::Owner);
    assert_eq!(role(&world, group, ada).await, Role::Admin);
}

#[tokio::test]
async fn a_direct_conversation_is_fixed() {
    let world = fresh().await;
    let [ada, ben, cid] = world.users().await;
    let direct = world.try_send(ada, Target::User(ben), "hi").await.unwrap().conversation;
    assert_eq!(direct.kind(), ConversationKind::Direct);
    for change in [
        invite(cid),
        Change::Leave { user: ada },
        Change::Leave { user: ben },
        Change::SetRole { user: ben, role: Role::Admin },
        Change::Configure(Changes { join: Some(JoinPolicy::Open), ..Changes::default() }),
        Change::DeleteConversation,
    ] {
        let answer = world.try_change(ada, direct, change.clone()).await;
        assert!(matches!(answer, Err(Refusal::Forbidden(_))), "{change:?}");
    }
}

#[tokio::test]
async fn whoever_comes_back_begins_anew() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let channel = world.channel(&[ada, ben]).await;
    world.leave(ben, channel).await;
    world.say(ada, channel, "while Ben is away").await;
    let joined = world.join(ben, channel).await.seq;
    assert_eq!(joined, Seq::new(5).unwrap());
    assert_eq!(world.seqs(ben, channel).await, [5]);
    assert_eq!(world.unread(ben, channel).await, 0);
}

#[tokio::test]
async fn a_conversation_has_a_hundred_admins_at_most() {
    let world = fresh().await;
    let [owner, member, newcomer] = world.users().await;
    let channel = world.channel(&[owner, member]).await;
    let mut admins = Vec::new();
    for _ in 0..100 {
        let admin = world.user("admin").await;
        world.change(owner, channel, Change::Join { user: admin, role: Role::Admin }).await;
        admins.push(admin);
    }
    for one_more in [
        Change::SetRole { user: member, role: Role::Admin },
        Change::SetRole { user: member, role: Role::Owner },
        Change::Join { user: newcomer, role: Role::Admin },
    ] {
        let answer = world.try_change(owner, channel, one_more).await;
        assert!(matches!(answer, Err(Refusal::TooLarge(_))), "{answer:?}");
    }
    world.join(newcomer, channel).await;
    world.change(owner, channel, Change::SetRole { user: admins[0], role: Role::Member }).await;
    world.change(owner, channel, Change::SetRole { user: member, role: Role::Admin }).await;
    world.change(owner, channel, Change::SetRole { user: admins[1], role: Role::Owner }).await;
}

#[tokio::test]
async fn a_user_is_in_so_many_groups_and_channels_and_no_more() {
    let world = fresh().await;
    let [ada, ben, cid] = world.users().await;
    let mut rooms = Vec::new();
    for _ in 0..300 {
        rooms.push(world.channel(&[ada]).await);
    }
    let new = world.new_conversation(ConversationKind::Group, &[ada]);
    assert!(matches!(world.store.create(&new, world.now()).await.unwrap(), Err(Refusal::TooLarge(_))));
    let hall = world.channel(&[ben, cid]).await;
    let own = world.try_change(ada, hall, invite(ada)).await.unwrap_err();
    let of_another = world.try_change(ben, hall, invite(ada)).await.unwrap_err();
    assert!(matches!((&own, &of_another), (Refusal::TooLarge(_), Refusal::TooLarge(_))) && own != of_another);
    let both = world.new_conversation(ConversationKind::Group, &[ben, ada]);
    assert_eq!(world.store.create(&both, world.now()).await.unwrap().err(), Some(of_another));
    // Direct conversations do not count, and one who leaves has room again.
    world.try_send(ada, Target::User(ben), "I am busy").await.unwrap();
    world.leave(ada, rooms[0]).await;
    world.join(ada, hall).await;
    assert!(world.join(ada, rooms[1]).await.committed.is_empty(), "a member already");
}

#[tokio::test]
async fn a_user_adds_so_many_people_in_a_day() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let channel = world.channel(&[ada]).await;
    let now = world.now();
    let mut crowd = Vec::new();
    for n in 0..1_001 {
        crowd.push(world.user(&format!("one of many {n}")).await);
    }
    // At once when a channel is made, and one after the other.
    let mut new = world.new_conversation(ConversationKind::Channel, &[ada]);
    new.members = crowd[..999].to_vec();
    world.create(&new).await;
    world.change(ada, channel, invite(crowd[0])).await;
    assert!(world.change(ada, channel, invite(crowd[0])).await.committed.is_empty(), "which counts nothing");
    let over = world.try_change(ada, channel, invite(crowd[1])).await;
    assert!(matches!(over, Err(Refusal::TooLarge(_))), "{over:?}");
    let two = world.new_conversation(ConversationKind::Group, &[ada, ben]);
    assert!(matches!(world.store.create(&two, now).await.unwrap(), Err(Refusal::TooLarge(_))));
    // Who comes by themself is not counted, nor what others do.
    world.join(crowd[1], channel).await;
    world.change(ben, world.channel(&[ben]).await, invite(crowd[1])).await;
    let tomorrow = now.plus_ms(86_400_000);
    let change = world.store.change(ada, channel, &invite(crowd[2]), tomorrow).await.unwrap();
    assert_eq!(change.unwrap().committed.len(), 1);
}
