//! Receipts and unread counts.

use tidings::domain::{ConversationId, Seq, UserId};
use tidings::store::{Change, MovedReceipt, Receipt, Target};

use super::fresh;
use crate::harness::{World, seq};

fn read(user: UserId, conversation: ConversationId, up_to: Seq) -> Receipt {
    Receipt { user, conversation, delivered: None, read: Some(up_to) }
}

fn delivered(user: UserId, conversation: ConversationId, up_to: Seq) -> Receipt {
    Receipt { user, conversation, delivered: Some(up_to), read: None }
}

async fn move_receipts(world: &World, receipts: &[Receipt]) -> Vec<MovedReceipt> {
    world.store.move_receipts(receipts, world.now()).await.unwrap()
}

#[tokio::test]
async fn unread_counts_the_messages_of_others_after_the_read_position() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    assert_eq!(world.unread(ben, group).await, 0, "a join is no message");
    let first = world.say(ada, group, "one").await;
    world.change(ada, group, Change::React { target: first, emoji: "👍".to_owned(), on: true }).await;
    let second = world.say(ada, group, "two").await;
    world.say(ada, group, "three").await;
    assert_eq!(world.unread(ben, group).await, 3);
    assert_eq!(world.unread(ada, group).await, 0, "one's own are not counted");
    world.read_up_to(ben, group, first).await;
    assert_eq!(world.unread(ben, group).await, 2);
    world.read_up_to(ben, group, first.next()).await;
    assert_eq!(world.unread(ben, group).await, 2, "a reaction in between is none");
    world.read_up_to(ben, group, second).await;
    assert_eq!(world.unread(ben, group).await, 1);
}

#[tokio::test]
async fn a_message_whose_content_is_gone_is_not_unread() {
    let world = fresh().await;
    let [ada, ben, eve] = world.users().await;
    let group = world.group(&[ada, ben, eve]).await;
    let mut said = Vec::new();
    for n in 0..4 {
        said.push(world.say(ada, group, &n.to_string()).await);
    }
    world.say(eve, group, "of eve").await;
    world.read_up_to(ben, group, said[0]).await;
    assert_eq!(world.unread(ben, group).await, 4);
    world.change(ada, group, Change::Delete { target: said[0] }).await;
    assert_eq!(world.unread(ben, group).await, 4, "it was read");
    world.change(ada, group, Change::Delete { target: said[2] }).await;
    world.change(ada, group, Change::Delete { target: said[2] }).await;
    assert_eq!(world.unread(ben, group).await, 3);
    world.read_up_to(ben, group, said[1]).await;
    assert_eq!(world.unread(ben, group).await, 2);
    world.erase(eve).await;
    assert_eq!(world.unread(ben, group).await, 1, "nor what somebody said who is erased");
    let named = world.store.heads_of(ben, &[group]).await.unwrap();
    assert_eq!(named[0].unread, 1);
    world.read_up_to(ben, group, seq(1_000)).await;
    assert_eq!(world.unread(ben, group).await, 0);
}

#[tokio::test]
async fn sending_reads_everything_before() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    world.say(ada, group, "one").await;
    world.say(ada, group, "two").await;
    let own = world.say(ben, group, "answer").await;
    let head = world.heads(ben).await[&group].clone();
    assert_eq!((head.read_seq, head.unread), (own, 0));
    let member = world.store.member(group, ben).await.unwrap().unwrap();
    assert_eq!(member.delivered_seq, own);
    world.say(ada, group, "three").await;
    assert_eq!(world.unread(ben, group).await, 1);
}

#[tokio::test]
async fn positions_only_move_forward_and_never_past_the_end() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let (first, second) = (world.say(ada, group, "one").await, world.say(ada, group, "two").await);
    let moved = move_receipts(&world, &[read(ben, group, seq(1_000))]).await;
    assert_eq!(
        moved[0].receipt,
        Receipt { user: ben, conversation: group, delivered: Some(second), read: Some(second) }
    );
    assert!(move_receipts(&world, &[read(ben, group, first), delivered(ben, group, first)]).await.is_empty());
    assert!(move_receipts(&world, &[read(ben, group, second)]).await.is_empty(), "it stands there already");
    assert_eq!(world.unread(ben, group).await, 0);
}

#[tokio::test]
async fn delivered_moves_by_itself_and_read_takes_it_along() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let (first, second) = (world.say(ada, group, "one").await, world.say(ada, group, "two").await);
    let moved = move_receipts(&world, &[delivered(ben, group, first)]).await;
    assert_eq!(moved[0].receipt.delivered, Some(first));
    assert_eq!(moved[0].receipt.read, Some(seq(2)), "where it stood: at the join");
    assert_eq!(world.unread(ben, group).await, 2);
    let moved = move_receipts(&world, &[read(ben, group, second)]).await;
    assert_eq!((moved[0].receipt.delivered, moved[0].receipt.read), (Some(second), Some(second)));
}

#[tokio::test]
async fn several_marks_of_one_member_are_one() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let (first, second) = (world.say(ada, group, "one").await, world.say(ada, group, "two").await);
    let receipts = [read(ben, group, second), delivered(ben, group, first), read(ben, group, first)];
    let moved = move_receipts(&world, &receipts).await;
    assert_eq!(moved.len(), 1);
    assert_eq!(moved[0].receipt.read, Some(second));
}

#[tokio::test]
async fn marks_of_strangers_are_dropped_and_the_others_kept() {
    let world = fresh().await;
    let [ada, ben, eve] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let said = world.say(ada, group, "one").await;
    let nowhere = world.id(tidings::domain::ConversationKind::Group);
    let moved =
        move_receipts(&world, &[read(eve, group, said), read(ben, nowhere, said), read(ben, group, said)])
            .await;
    assert_eq!(moved.len(), 1);
    assert_eq!(moved[0].receipt.user, ben);
    assert!(move_receipts(&world, &[]).await.is_empty());
}

#[tokio::test]
async fn receipts_are_told_to_the_members_but_in_a_channel_to_oneself() {
    let world = fresh().await;
    let [ada, ben, cid] = world.users().await;
    let group = world.group(&[ada, ben, cid]).await;
    let channel = world.channel(&[ada, ben, cid]).await;
    let direct = world.try_send(ada, Target::User(ben), "hi").await.unwrap();
    let (in_group, in_channel) = (world.say(ada, group, "x").await, world.say(ada, channel, "x").await);
    let moved = move_receipts(
        &world,
        &[
            read(ben, group, in_group),
            read(ben, channel, in_channel),
            read(ben, direct.conversation, direct.seq),
        ],
    )
    .await;
    let told: Vec<usize> = moved.iter().map(|marked| marked.audience.len()).collect();
    assert_eq!(told, [3, 1, 2]);
    assert_eq!(moved[1].audience.to_vec(), [ben]);
}
