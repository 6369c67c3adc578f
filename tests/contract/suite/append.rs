//! Sending: order, audiences, direct conversations, batches.

use tidings::domain::{
    ConversationId, ConversationKind, EventKind, JsonText, Position, Refusal, Seq, UserId,
};
use tidings::store::{NewMessage, Target};

use super::fresh;
use crate::harness::{body, seq};

#[tokio::test]
async fn a_group_counts_its_events_from_one_without_holes() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    for n in 0..5 {
        assert_eq!(world.say(ada, group, "hello").await, seq(3 + n), "after the two joins");
    }
    assert_eq!(world.seqs(ada, group).await, (1..=7).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_was_committed_is_told_with_its_members_its_position_and_its_predecessor() {
    let world = fresh().await;
    let [ada, ben, cid] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let other = world.group(&[cid]).await;
    let first = world.try_send(ada, Target::Conversation(group), "one").await.unwrap().committed.unwrap();
    world.say(cid, other, "elsewhere").await;
    let second = world.try_send(ben, Target::Conversation(group), "two").await.unwrap().committed.unwrap();
    let mut told = second.audience.users.to_vec();
    told.sort_unstable();
    let mut members = vec![ada, ben];
    members.sort_unstable();
    assert_eq!(told, members);
    assert_eq!(second.previous, first.position);
    assert!(second.position > first.position);
    assert_eq!(body(&second.event).as_deref(), Some("two"));
    assert_eq!(second.event.sender, ben);
}

#[tokio::test]
async fn a_channel_message_names_no_audience() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let channel = world.channel(&[ada, ben]).await;
    let sent = world.try_send(ada, Target::Conversation(channel), "hi").await.unwrap().committed.unwrap();
    assert!(sent.audience.users.is_empty());
}

#[tokio::test]
async fn the_first_message_makes_the_direct_conversation_for_both() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let sent = world.try_send(ada, Target::User(ben), "hi").await.unwrap();
    let direct = ConversationId::direct(ada, ben);
    assert_eq!((sent.conversation, sent.seq), (direct, seq(1)));
    let committed = sent.committed.unwrap();
    assert_eq!(committed.previous, Position(0));
    assert_eq!(committed.audience.users.len(), 2);
    assert_eq!(world.bodies(ben, direct).await, ["hi"]);
    let heads = world.heads(ben).await;
    assert_eq!((heads[&direct].peer, heads[&direct].unread), (Some(ada), 1));
    assert_eq!(world.try_send(ben, Target::User(ada), "yes?").await.unwrap().seq, seq(2));
    assert_eq!(world.try_send(ben, Target::Conversation(direct), "…").await.unwrap().seq, seq(3));
}

#[tokio::test]
async fn a_user_can_write_to_themself() {
    let world = fresh().await;
    let [ada] = world.users().await;
    let sent = world.try_send(ada, Target::User(ada), "note").await.unwrap();
    assert_eq!(sent.committed.unwrap().audience.users.to_vec(), vec![ada]);
    let head = &world.heads(ada).await[&ConversationId::direct(ada, ada)];
    assert_eq!((head.peer, head.unread), (Some(ada), 0));
}

#[tokio::test]
async fn nobody_writes_to_a_user_or_conversation_that_is_not_there() {
    let world = fresh().await;
    let [ada] = world.users().await;
    let ghost = UserId::from_uuid(world.uuid());
    let nowhere = world.id(ConversationKind::Group);
    for target in [
        Target::User(ghost),
        Target::Conversation(nowhere),
        Target::Conversation(ConversationId::direct(ada, ghost)),
    ] {
        assert_eq!(world.try_send(ada, target, "?").await.err(), Some(Refusal::NotFound), "{target:?}");
    }
    assert_eq!(world.try_send(ghost, Target::User(ada), "boo").await.err(), Some(Refusal::NotFound));
}

#[tokio::test]
async fn an_outsider_learns_of_open_conversations_only() {
    let world = fresh().await;
    let [ada, eve] = world.users().await;
    let group = world.group(&[ada]).await;
    let channel = world.channel(&[ada]).await;
    let refused = |target| world.try_send(eve, Target::Conversation(target), "?");
    assert_eq!(refused(group).await.err(), Some(Refusal::NotFound));
    assert_eq!(refused(channel).await.err(), Some(Refusal::NotMember));
    assert_eq!(world.seqs(ada, group).await.len(), 1, "nothing of it is in the log");
}

#[tokio::test]
async fn a_stranger_cannot_slip_into_a_direct_conversation_made_in_the_same_batch() {
    let world = fresh().await;
    let [ada, ben, eve] = world.users().await;
    let direct = ConversationId::direct(ada, ben);
    let batch = [
        world.message(ada, Target::User(ben), "hi"),
        world.message(eve, Target::Conversation(direct), "me too"),
        world.message(ben, Target::User(ada), "hello"),
    ];
    let answers = world.append(&batch).await;
    assert_eq!(answers[0].as_ref().unwrap().seq, seq(1));
    assert_eq!(answers[1].as_ref().err(), Some(&Refusal::NotFound));
    assert_eq!(answers[2].as_ref().unwrap().seq, seq(2));
    assert_eq!(world.bodies(ada, direct).await, ["hi", "hello"]);
}

#[tokio::test]
async fn a_batch_keeps_its_order_in_each_conversation() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let (one, two) = (world.group(&[ada, ben]).await, world.group(&[ben, ada]).await);
    let batch: Vec<NewMessage> = (0..40)
        .map(|n| {
            let (sender, group) = if n % 3 == 0 { (ada, one) } else { (ben, two) };
            world.message(sender, Target::Conversation(group), &n.to_string())
        })
        .collect();
    let answers = world.append(&batch).await;
    assert!(answers.iter().all(Result::is_ok));
    for group in [one, two] {
        let expected: Vec<String> = batch
            .iter()
            .filter(|new| new.target == Target::Conversation(group))
            .filter_map(|new| new.content.body.clone())
            .collect();
        assert_eq!(world.bodies(ada, group).await, expected);
    }
}

#[tokio::test]
async fn positions_grow_in_the_order_of_the_answers() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let batch: Vec<NewMessage> =
        (0..10).map(|n| world.message(ada, Target::Conversation(group), &n.to_string())).collect();
    let answers = world.append(&batch).await;
    let committed: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().committed.unwrap()).collect();
    for pair in committed.windows(2) {
        if world.harness.position_per_event() {
            assert!(pair[0].position < pair[1].position);
        } else {
            assert_eq!(pair[0].position, pair[1].position, "one transaction is one position");
        }
        assert_eq!(pair[1].previous, pair[0].position);
    }
    let next = world.try_send(ben, Target::Conversation(group), "later").await.unwrap().committed.unwrap();
    assert!(next.position > committed[9].position);
    assert_eq!(next.previous, committed[9].position);
}

#[tokio::test]
async fn a_thousand_messages_go_in_one_batch() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let batch: Vec<NewMessage> = (0..1_000)
        .map(|n| {
            world.message(if n % 2 == 0 { ada } else { ben }, Target::Conversation(group), &n.to_string())
        })
        .collect();
    let answers = world.append(&batch).await;
    let seqs: Vec<u64> = answers.iter().map(|answer| answer.as_ref().unwrap().seq.get()).collect();
    assert_eq!(seqs, (3..1_003).collect::<Vec<_>>());
    assert_eq!(world.seqs(ben, group).await.len(), 1_001, "from Ben's own join on");
}

#[tokio::test]
async fn one_bad_message_never_fails_its_batch() {
    let world = fresh().await;
    let [ada, ben, eve] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let to = Target::Conversation(group);
    let mut batch = vec![
        world.message(ada, to, "good"),
        world.message(ada, to, "bad\0body"),
        world.message(eve, to, "not a member"),
        world.message(ben, to, "broken data"),
        world.message(ben, to, "good too"),
    ];
    batch[3].content.data = Some(JsonText("{not json".to_owned()));
    let answers = world.append(&batch).await;
    assert_eq!(answers[0].as_ref().unwrap().seq, seq(3));
    assert!(matches!(answers[1], Err(Refusal::Invalid(_))));
    assert_eq!(answers[2].as_ref().err(), Some(&Refusal::NotFound));
    assert!(matches!(answers[3], Err(Refusal::Invalid(_))));
    assert_eq!(answers[4].as_ref().unwrap().seq, seq(4), "no hole where the bad ones were");
}

#[tokio::test]
async fn everything_a_message_carries_comes_back() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let first = world.say(ada, group, "first").await;
    let mut new = world.message(ben, Target::Conversation(group), "zweite „Nachricht“ 🐟\n");
    new.content.reply_to = Some(first);
    new.content.mentions = vec![ada, ben];
    new.content.attachments =
        Some(JsonText(r#"[{"url":"https://example.org/a.png","bytes":1e3}]"#.to_owned()));
    new.content.data =
        Some(JsonText(r#"{"b":1,"a":{"nested":[null,true]},"n":10000000000000000001}"#.to_owned()));
    world.append(std::slice::from_ref(&new)).await.remove(0).unwrap();
    let page = world.page(ada, group).await;
    let EventKind::Message(message) = &page[1].event.kind else { panic!("a message") };
    assert_eq!(message.content, new.content);
    assert_eq!(message.client_id, new.client_id);
    assert_eq!((message.edited_at, message.deleted), (None, false));
}

#[tokio::test]
async fn a_message_without_a_body_may_carry_data() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let mut new = world.message(ada, Target::Conversation(group), "");
    new.content.body = None;
    new.content.data = Some(JsonText(r#"{"move":"e4"}"#.to_owned()));
    world.append(std::slice::from_ref(&new)).await.remove(0).unwrap();
    let EventKind::Message(message) = &world.page(ben, group).await[0].event.kind.clone() else { panic!() };
    assert_eq!(message.content, new.content);
}

#[tokio::test]
async fn a_reply_names_a_message_that_its_sender_can_see() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let channel = world.channel(&[ada]).await;
    let before = world.say(ada, channel, "before Ben").await;
    let joined = world.join(ben, channel).await.seq;
    let reply = |sender, to: Seq| {
        let mut new = world.message(sender, Target::Conversation(channel), "re");
        new.content.reply_to = Some(to);
        async { world.append(&[new]).await.remove(0) }
    };
    assert!(reply(ada, before).await.is_ok());
    for (what, seq) in [("unseen", before), ("a join", joined), ("nothing yet", seq(99))] {
        assert!(matches!(reply(ben, seq).await, Err(Refusal::Invalid(_))), "{what}");
    }
}

#[tokio::test]
async fn a_reply_may_name_a_message_of_its_own_batch() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let mut batch: Vec<NewMessage> =
        ["one", "two"].iter().map(|body| world.message(ada, Target::Conversation(group), body)).collect();
    batch[1].content.reply_to = Some(seq(3));
    let answers = world.append(&batch).await;
    assert_eq!(answers[1].as_ref().unwrap().seq, seq(4));
}

#[tokio::test]
async fn an_empty_batch_is_answered_with_nothing() {
    let world = fresh().await;
    assert!(world.append(&[]).await.is_empty());
}
