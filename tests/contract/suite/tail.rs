//! The log in commit order, for consumers.

use tidings::domain::{ConversationKind, EventKind, LeaveReason, Position, Role, Seq};
use tidings::store::{Change, Target};

use super::fresh;
use crate::harness::sorted;

#[tokio::test]
async fn the_tail_repeats_what_was_committed() {
    let mut world = fresh().await;
    let [ada, ben, cid] = world.users().await;
    let start = world.store.end().await.unwrap().position;
    let new = world.new_conversation(ConversationKind::Group, &[ada, ben]);
    let mut told = world.store.create(&new, world.now()).await.unwrap().unwrap().committed;
    let channel = world.new_conversation(ConversationKind::Channel, &[ada]);
    told.extend(world.store.create(&channel, world.now()).await.unwrap().unwrap().committed);
    for (sender, target) in [
        (ada, Target::Conversation(new.id)),
        (ben, Target::User(ada)),
        (ada, Target::Conversation(channel.id)),
        (ben, Target::Conversation(new.id)),
    ] {
        told.extend(world.try_send(sender, target, "hi").await.unwrap().committed);
    }
    told.extend(world.join(cid, channel.id).await.committed);
    told.extend(world.leave(cid, channel.id).await.committed);
    let target = told[3].event.seq;
    told.extend(
        world
            .change(ada, new.id, Change::Edit { target, body: "hi".to_owned(), client_id: None })
            .await
            .committed,
    );
    for _ in 0..2 {
        let tail = world.store.tail(start, 1_000).await.unwrap();
        assert_eq!(sorted(tail.committed), sorted(told.clone()));
        assert_eq!(tail.next, world.store.end().await.unwrap().position);
        world.restart().await;
    }
}

#[tokio::test]
async fn the_tail_is_read_in_steps_and_ends() {
    let world = fresh().await;
    let [ada] = world.users().await;
    let group = world.group(&[ada]).await;
    for n in 0..10 {
        world.say(ada, group, &n.to_string()).await;
    }
    let (mut from, mut seen) = (Position::default(), Vec::new());
    loop {
        let tail = world.store.tail(from, 4).await.unwrap();
        assert!(tail.committed.len() <= 4);
        if tail.committed.is_empty() {
            assert_eq!(tail.next, from, "nothing new: the place stays");
            break;
        }
        assert!(tail.next > from);
        seen.extend(tail.committed.iter().map(|committed| committed.event.seq.get()));
        from = tail.next;
    }
    assert_eq!(seen, (1..=11).collect::<Vec<_>>());
    assert_eq!(from, world.store.end().await.unwrap().position);
}

#[tokio::test]
async fn the_tail_tells_members_who_were_there_and_the_one_who_left() {
    let world = fresh().await;
    let [ada, ben, cid] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let start = world.store.end().await.unwrap().position;
    world.say(ada, group, "before Cid").await;
    world.change(ada, group, Change::Join { user: cid, role: Role::Member }).await;
    world.leave(ben, group).await;
    let committed = world.store.tail(start, 10).await.unwrap().committed;
    assert!(!committed[0].audience.users.contains(&cid), "Cid must not hear of what came before");
    assert!(committed[1].audience.users.contains(&cid));
    assert_eq!(committed[2].event.kind, EventKind::MemberLeft { user: ben, reason: LeaveReason::Left });
    assert!(committed[2].audience.users.contains(&ben));
}

/// A node that reads the log later tells those who were members at each event, as the node that committed it
/// did.
#[tokio::test]
async fn whatever_came_later_each_event_is_for_those_who_were_members_then() {
    let mut world = fresh().await;
    let [ada, ben, cid, dan] = world.users().await;
    let start = world.store.end().await.unwrap().position;
    let new = world.new_conversation(ConversationKind::Group, &[ada, ben]);
    let group = new.id;
    let mut told = world.store.create(&new, world.now()).await.unwrap().unwrap().committed;
    let add = |user| Change::Join { user, role: Role::Member };
    let steps = [
        None,
        Some(add(cid)),
        None,
        Some(Change::Leave { user: ben }),
        None,
        Some(add(ben)),
        Some(add(dan)),
        None,
        Some(Change::Leave { user: ben }),
        Some(Change::Leave { user: cid }),
        None,
        Some(add(ben)),
        Some(Change::SetRole { user: ben, role: Role::Admin }),
        None,
    ];
    for step in steps {
        match step {
            Some(change) => told.extend(world.change(ada, group, change).await.committed),
            None => {
                told.extend(world.try_send(ada, Target::Conversation(group), "hi").await.unwrap().committed);
            }
        }
    }
    told.extend(world.erase(dan).await);
    let told = sorted(told);
    for _ in 0..2 {
        assert_eq!(sorted(world.store.tail(start, 1_000).await.unwrap().committed), told);
        for one in &told {
            let before = one.event.seq.previous();
            assert_eq!(
                sorted(world.store.stretch(group, before, 1).await.unwrap()),
                std::slice::from_ref(one)
            );
        }
        assert_eq!(sorted(world.store.stretch(group, Seq::ZERO, 1_000).await.unwrap()), told);
        world.restart().await;
    }
}

#[tokio::test]
async fn a_receipt_moves_the_end_but_is_no_event() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let said = world.say(ada, group, "hi").await;
    let before = world.store.end().await.unwrap().position;
    world.read_up_to(ben, group, said).await;
    let tail = world.store.tail(before, 10).await.unwrap();
    assert!(tail.committed.is_empty());
    let next = world.try_send(ada, Target::Conversation(group), "on").await.unwrap().committed.unwrap();
    assert!(next.position >= tail.next);
    assert_eq!(world.store.tail(tail.next, 10).await.unwrap().committed.len(), 1);
}

#[tokio::test]
async fn a_store_that_works_answers_a_ping() {
    let world = fresh().await;
    world.store.ping().await.unwrap();
}
