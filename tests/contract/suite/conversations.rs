//! Creating and listing conversations.

use std::collections::BTreeSet;

use tidings::domain::{ConversationId, ConversationKind, EventKind, Refusal, Role, UserId};

use tidings::store::Target;

use super::fresh;
use crate::harness::seq;

#[tokio::test]
async fn a_group_begins_with_the_joins_of_its_members() {
    let world = fresh().await;
    let [ada, ben, cid] = world.users().await;
    let new = world.new_conversation(ConversationKind::Group, &[ada, ben, cid, ben, ada]);
    let created = world.store.create(&new, world.now()).await.unwrap().unwrap();
    assert!(!created.existed);
    let joined: Vec<(UserId, Role)> = created
        .committed
        .iter()
        .map(|committed| match committed.event.kind {
            EventKind::MemberJoined { user, role } => (user, role),
            _ => panic!("only joins"),
        })
        .collect();
    assert_eq!(joined[0], (ada, Role::Owner));
    assert_eq!(joined.len(), 3, "nobody twice");
    let told: Vec<usize> = created.committed.iter().map(|committed| committed.audience.users.len()).collect();
    assert_eq!(told, [1, 2, 3], "nobody hears of what came before their own join");
    let view = world.store.conversation(ada, new.id).await.unwrap().unwrap();
    assert_eq!((view.role, view.conversation.member_count, view.head.last_seq), (Role::Owner, 3, seq(3)));
    assert_eq!(view.conversation.name.as_deref(), Some("room"));
}

#[tokio::test]
async fn making_it_again_changes_nothing() {
    let world = fresh().await;
    let [ada, ben, cid] = world.users().await;
    let mut new = world.new_conversation(ConversationKind::Group, &[ada, ben]);
    world.create(&new).await;
    new.members.push(cid);
    let again = world.store.create(&new, world.now()).await.unwrap().unwrap();
    assert!(again.existed && again.committed.is_empty());
    assert!(world.store.member(new.id, cid).await.unwrap().is_none());
}

#[tokio::test]
async fn members_must_be_users_and_fit_in() {
    let world = fresh().await;
    let users: [UserId; 9] = world.users().await;
    let mut new = world.new_conversation(ConversationKind::Group, &users);
    assert!(matches!(world.store.create(&new, world.now()).await.unwrap(), Err(Refusal::TooLarge(_))));
    new.members = vec![UserId::from_uuid(world.uuid())];
    assert_eq!(world.store.create(&new, world.now()).await.unwrap().err(), Some(Refusal::NotFound));
    assert!(world.store.conversation(users[0], new.id).await.unwrap().is_none(), "nothing of it is there");
    let channel = world.new_conversation(ConversationKind::Channel, &users);
    assert!(world.store.create(&channel, world.now()).await.unwrap().is_ok());
}

#[tokio::test]
async fn a_direct_conversation_has_the_id_of_its_two() {
    let world = fresh().await;
    let [ada, ben, cid] = world.users().await;
    let mut new = world.new_conversation(ConversationKind::Direct, &[ada, ben]);
    new.id = ConversationId::direct(ada, cid);
    assert!(matches!(world.store.create(&new, world.now()).await.unwrap(), Err(Refusal::Invalid(_))));
    new.id = ConversationId::direct(ada, ben);
    world.create(&new).await;
    let view = world.store.conversation(ben, new.id).await.unwrap().unwrap();
    assert_eq!((view.head.peer, view.head.last_seq.get(), view.conversation.member_count), (Some(ada), 0, 2));
    let sent = world.try_send(ben, Target::User(ada), "hi").await.unwrap();
    assert_eq!((sent.conversation, sent.seq), (new.id, seq(1)));
}

#[tokio::test]
async fn conversations_and_members_are_paged_by_id() {
    let world = fresh().await;
    let users: [UserId; 7] = world.users().await;
    let channel = world.channel(&users).await;
    let mut expected = BTreeSet::from([channel]);
    for _ in 0..6 {
        expected.insert(world.group(&users[..1]).await);
    }
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = world.store.conversations(users[0], after, 3).await.unwrap();
        seen.extend(page.items.iter().map(|view| view.conversation.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, expected.into_iter().collect::<Vec<_>>());
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = world.store.members(users[3], channel, after, 3).await.unwrap().unwrap();
        assert!(
            page.items
                .iter()
                .all(|view| view.user.id == view.member.user && !view.user.display_name.is_empty())
        );
        seen.extend(page.items.iter().map(|view| view.member.user));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let mut everyone = users.to_vec();
    everyone.sort_unstable();
    assert_eq!(seen, everyone);
}

#[tokio::test]
async fn the_audience_follows_the_membership() {
    let world = fresh().await;
    let [ada, ben, cid] = world.users().await;
    let group = world.group(&[ada, ben, cid]).await;
    let audience = |id| {
        let store = world.store.clone();
        async move { store.audience(id).await.unwrap().iter().copied().collect::<BTreeSet<_>>() }
    };
    assert_eq!(audience(group).await, [ada, ben, cid].into());
    world.leave(ben, group).await;
    assert_eq!(audience(group).await, [ada, cid].into());
    let direct = world.try_send(ada, Target::User(ben), "hi").await.unwrap().conversation;
    assert_eq!(audience(direct).await, [ada, ben].into());
    assert!(audience(world.channel(&[ada, ben]).await).await.is_empty());
    assert!(audience(world.id(ConversationKind::Group)).await.is_empty());
}

#[tokio::test]
async fn acquaintances_share_a_direct_conversation_or_a_group_and_no_block() {
    let world = fresh().await;
    let [ada, ben, cid, dan, eve] = world.users().await;
    world.group(&[ada, ben]).await;
    // Anybody may be in a channel, so being there together says nothing.
    world.channel(&[cid, ada]).await;
    world.channel(&[ada, cid, ben, eve]).await;
    world.group(&[ada, dan]).await;
    world.store.set_block(dan, ada, true).await.unwrap().unwrap();
    let known = world.store.acquaintances(ada, &[ben, cid, dan, eve, ada]).await.unwrap();
    assert_eq!(known.into_iter().collect::<BTreeSet<_>>(), [ada, ben].into());
    assert_eq!(world.store.acquaintances(cid, &[ada, ben]).await.unwrap(), []);
    assert_eq!(world.store.acquaintances(dan, &[ada]).await.unwrap(), []);
    assert_eq!(world.store.acquaintances(ada, &[]).await.unwrap(), []);
    world.try_send(ada, Target::User(eve), "hi").await.unwrap();
    assert_eq!(world.store.acquaintances(ada, &[eve]).await.unwrap(), [eve]);
    assert_eq!(world.store.acquaintances(eve, &[ben, ada]).await.unwrap(), [ada]);
    // The erased user's memberships have ended, also the one in the direct conversation.
    world.erase(eve).await;
    assert_eq!(world.store.acquaintances(ada, &[eve]).await.unwrap(), []);
}
