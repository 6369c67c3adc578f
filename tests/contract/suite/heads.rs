//! Resuming: heads, cursors, epochs.

use std::collections::BTreeSet;

use tidings::domain::{ConversationId, Position, Role, UserId};
use tidings::store::{Change, Cursor, Heads, Receipt, Target};

use super::fresh;
use crate::harness::World;

async fn since(world: &World, user: UserId, cursor: Cursor) -> Heads {
    world.store.heads(user, Some(cursor)).await.unwrap()
}

fn moved(heads: &Heads) -> BTreeSet<ConversationId> {
    heads.heads.iter().map(|head| head.conversation).collect()
}

#[tokio::test]
async fn a_new_user_has_no_heads_and_a_cursor() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let heads = world.store.heads(ada, None).await.unwrap();
    assert!(heads.heads.is_empty() && heads.channels.is_empty());
    let direct = world.try_send(ben, Target::User(ada), "hi").await.unwrap().conversation;
    assert_eq!(moved(&since(&world, ada, heads.cursor).await), [direct].into());
}

#[tokio::test]
async fn a_cursor_answers_exactly_what_moved_after_it() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let (one, two) = (world.group(&[ada, ben]).await, world.group(&[ada, ben]).await);
    let first = world.store.heads(ada, None).await.unwrap();
    assert_eq!(moved(&first), [one, two].into());
    assert!(moved(&since(&world, ada, first.cursor).await).is_empty(), "nothing is repeated");
    world.say(ben, two, "hi").await;
    let second = since(&world, ada, first.cursor).await;
    assert_eq!(moved(&second), [two].into());
    assert_eq!(
        moved(&since(&world, ada, first.cursor).await),
        [two].into(),
        "the same cursor, the same answer"
    );
    assert!(moved(&since(&world, ada, second.cursor).await).is_empty());
}

#[tokio::test]
async fn a_membership_moves_its_conversation() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let channel = world.channel(&[ada]).await;
    let cursor = world.store.heads(ben, None).await.unwrap().cursor;
    world.join(ben, channel).await;
    let heads = since(&world, ben, cursor).await;
    assert_eq!(moved(&heads), [channel].into());
    let left = world.leave(ben, channel).await.seq;
    let heads = since(&world, ben, cursor).await;
    assert!(moved(&heads).is_empty() && heads.channels.is_empty());
    assert_eq!(heads.left, [(channel, left)]);
}

#[tokio::test]
async fn who_is_a_member_no_more_is_told_once() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let (removed, deleted) = (world.group(&[ada, ben]).await, world.group(&[ada, ben]).await);
    let (left, kept) = (world.channel(&[ada, ben]).await, world.channel(&[ada, ben]).await);
    let cursor = world.store.heads(ben, None).await.unwrap().cursor;
    let mut ended = vec![
        (removed, world.change(ada, removed, Change::Leave { user: ben }).await.seq),
        (deleted, world.change(ada, deleted, Change::DeleteConversation).await.seq),
        (left, world.leave(ben, left).await.seq),
    ];
    ended.sort_unstable();
    world.say(ada, removed, "not for ben").await;
    world.say(ada, left, "not for ben").await;
    let heads = since(&world, ben, cursor).await;
    assert_eq!((&heads.left, moved(&heads)), (&ended, BTreeSet::new()));
    assert_eq!(heads.channels.iter().map(|(channel, _)| *channel).collect::<Vec<_>>(), [kept]);
    assert!(since(&world, ben, heads.cursor).await.left.is_empty(), "it is told once");
    assert!(
        world.store.heads(ben, None).await.unwrap().left.is_empty(),
        "who holds nothing has left nothing"
    );
    let named = world.store.heads_of(ben, &[removed, deleted, left, kept]).await.unwrap();
    assert_eq!(named.iter().map(|head| head.conversation).collect::<Vec<_>>(), [kept]);
    world.change(ada, removed, Change::Join { user: ben, role: Role::Member }).await;
    let heads = since(&world, ben, cursor).await;
    assert_eq!(moved(&heads), [removed].into(), "back again");
    assert_eq!(heads.left.len(), 2);
}

#[tokio::test]
async fn what_moved_is_found_however_far_the_log_has_gone_on() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let (group, channel) = (world.group(&[ada, ben]).await, world.channel(&[ada, ben]).await);
    let direct = world.try_send(ada, Target::User(ben), "hi").await.unwrap().conversation;
    let first = world.store.heads(ben, None).await.unwrap().cursor;
    let mut cursor = first;
    for step in 0..12 {
        world.harness.skip_positions(24_000).await;
        let which = [group, channel, direct][step % 3];
        let said = world.say(ada, which, "hi").await;
        let heads = since(&world, ben, cursor).await;
        assert_eq!(moved(&heads), [which].into(), "step {step}");
        assert_eq!(moved(&since(&world, ben, first).await).len(), (step + 1).min(3));
        if step % 2 == 0 {
            world.read_up_to(ben, which, said).await;
            assert_eq!(moved(&since(&world, ben, heads.cursor).await), [which].into(), "step {step}, read");
        }
        cursor = world.store.heads(ben, Some(heads.cursor)).await.unwrap().cursor;
        assert!(moved(&since(&world, ben, cursor).await).is_empty(), "step {step}");
    }
}

#[tokio::test]
async fn a_direct_conversation_made_without_a_message_moves_too() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let cursor = world.store.heads(ben, None).await.unwrap().cursor;
    let mut new = world.new_conversation(tidings::domain::ConversationKind::Direct, &[ada, ben]);
    new.id = ConversationId::direct(ada, ben);
    world.create(&new).await;
    let heads = since(&world, ben, cursor).await;
    assert_eq!(moved(&heads), [new.id].into());
    assert_eq!(heads.heads[0].peer, Some(ada));
    assert!(moved(&since(&world, ben, heads.cursor).await).is_empty());
}

#[tokio::test]
async fn a_receipt_of_another_device_moves_the_head_once() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let said = world.say(ben, group, "hi").await;
    let cursor = world.store.heads(ada, None).await.unwrap().cursor;
    let others = world.store.heads(ben, None).await.unwrap().cursor;
    world.read_up_to(ada, group, said).await;
    let heads = since(&world, ada, cursor).await;
    assert_eq!((heads.heads[0].read_seq, heads.heads[0].unread), (said, 0));
    assert!(moved(&since(&world, ada, heads.cursor).await).is_empty(), "not again");
    assert!(moved(&since(&world, ben, others).await).is_empty(), "it is nothing to the other member");
    let delivered = Receipt { user: ben, conversation: group, delivered: Some(said), read: None };
    world.store.move_receipts(&[delivered], world.now()).await.unwrap();
    assert!(moved(&since(&world, ben, others).await).is_empty(), "heads do not tell what was delivered");
}

#[tokio::test]
async fn every_channel_is_listed_moved_or_not() {
    let world = fresh().await;
    let [ada] = world.users().await;
    let (one, two) = (world.channel(&[ada]).await, world.channel(&[ada]).await);
    world.group(&[ada]).await;
    let cursor = world.store.heads(ada, None).await.unwrap().cursor;
    let said = world.say(ada, two, "hi").await;
    let heads = since(&world, ada, cursor).await;
    assert_eq!(moved(&heads), [two].into());
    let listed: std::collections::HashMap<_, _> = heads.channels.iter().copied().collect();
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[&two], said);
    assert!(listed.contains_key(&one));
}

#[tokio::test]
async fn a_cursor_of_another_log_or_of_the_future_gets_everything() {
    let world = fresh().await;
    let [ada] = world.users().await;
    let group = world.group(&[ada]).await;
    let cursor = world.store.heads(ada, None).await.unwrap().cursor;
    let other_epoch = Cursor { epoch: cursor.epoch.wrapping_add(1), ..cursor };
    let future = Cursor { position: Position(cursor.position.0 + 1_000), ..cursor };
    for doubtful in [other_epoch, future] {
        let heads = since(&world, ada, doubtful).await;
        assert_eq!(moved(&heads), [group].into());
        assert_eq!(heads.cursor, cursor);
    }
}

#[tokio::test]
async fn cursors_and_the_epoch_outlive_a_restart() {
    let mut world = fresh().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let cursor = world.store.heads(ada, None).await.unwrap().cursor;
    let unread = world.unread(ada, group).await;
    world.restart().await;
    let heads = since(&world, ada, cursor).await;
    assert_eq!(heads.cursor, cursor);
    assert!(heads.heads.is_empty());
    assert_eq!(world.unread(ada, group).await, unread);
    world.say(ben, group, "hi").await;
    assert_eq!(moved(&since(&world, ada, cursor).await), [group].into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn following_cursors_while_others_write_misses_nothing() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let mut groups = Vec::new();
    for _ in 0..4 {
        groups.push(world.group(&[ada, ben]).await);
    }
    let start = world.store.heads(ada, None).await.unwrap().cursor;
    let batches: Vec<_> =
        (0..40).map(|n| [world.message(ben, Target::Conversation(groups[n % 4]), &n.to_string())]).collect();
    let (store, now) = (world.store.clone(), world.now());
    let writing = tokio::spawn(async move {
        let mut seen = std::collections::HashMap::new();
        for batch in &batches {
            let appended = store.append(batch, now).await.unwrap().remove(0).unwrap();
            seen.insert(appended.conversation, appended.seq);
        }
        seen
    });
    let (mut cursor, mut known) = (start, std::collections::HashMap::new());
    loop {
        let finished = writing.is_finished();
        let heads = since(&world, ada, cursor).await;
        cursor = heads.cursor;
        known.extend(heads.heads.into_iter().map(|head| (head.conversation, head.last_seq)));
        if finished {
            break;
        }
    }
    assert_eq!(known, writing.await.unwrap());
}
