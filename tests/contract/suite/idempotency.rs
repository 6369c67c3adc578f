//! A repeated send: one event, and the first answer again.

use tidings::domain::{ConversationId, Refusal};
use tidings::store::{Change, Target};

use super::fresh;
use crate::harness::{seq, text};

#[tokio::test]
async fn a_repeated_send_is_answered_like_the_first() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let new = world.message(ada, Target::Conversation(group), "once");
    let first = world.append(std::slice::from_ref(&new)).await.remove(0).unwrap();
    let again = world.append(std::slice::from_ref(&new)).await.remove(0).unwrap();
    assert!(first.committed.is_some() && again.committed.is_none());
    assert_eq!(
        (again.conversation, again.seq, again.sent_at),
        (first.conversation, first.seq, first.sent_at)
    );
    assert_eq!(world.bodies(ben, group).await, ["once"]);
}

#[tokio::test]
async fn duplicates_inside_one_batch_are_one_event() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let new = world.message(ada, Target::User(ben), "once");
    let batch = [new.clone(), new.clone(), world.message(ada, Target::User(ben), "next"), new];
    let answers = world.append(&batch).await;
    let seqs: Vec<u64> = answers.iter().map(|answer| answer.as_ref().unwrap().seq.get()).collect();
    assert_eq!(seqs, [1, 1, 2, 1]);
    let committed: Vec<bool> =
        answers.iter().map(|answer| answer.as_ref().unwrap().committed.is_some()).collect();
    assert_eq!(committed, [true, false, true, false]);
}

#[tokio::test]
async fn a_client_id_used_for_something_else_is_a_conflict() {
    let world = fresh().await;
    let [ada, ben, cid] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let first = world.message(ada, Target::Conversation(group), "one thing");
    world.append(std::slice::from_ref(&first)).await.remove(0).unwrap();
    let mut other_body = first.clone();
    other_body.content = text("another");
    let mut other_place = first.clone();
    other_place.target = Target::User(cid);
    let mut other_mention = first.clone();
    other_mention.content.mentions = vec![ben];
    for other in [other_body, other_place, other_mention] {
        let answer = world.append(&[other]).await.remove(0);
        assert!(matches!(answer, Err(Refusal::Conflict(_))), "{answer:?}");
    }
    assert!(world.append(&[first]).await.remove(0).is_ok(), "the first still stands");
}

#[tokio::test]
async fn a_conflict_inside_one_batch_refuses_the_second() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let first = world.message(ada, Target::User(ben), "one thing");
    let mut second = first.clone();
    second.content = text("another");
    let answers = world.append(&[first, second]).await;
    assert!(answers[0].is_ok());
    assert!(matches!(answers[1], Err(Refusal::Conflict(_))));
}

#[tokio::test]
async fn a_refused_send_leaves_its_client_id_free() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let channel = world.channel(&[ada]).await;
    let mut new = world.message(ben, Target::Conversation(channel), "early");
    assert_eq!(world.append(std::slice::from_ref(&new)).await[0].as_ref().err(), Some(&Refusal::NotMember));
    world.join(ben, channel).await;
    new.content = text("now");
    assert!(world.append(&[new]).await[0].is_ok());
}

#[tokio::test]
async fn client_ids_belong_to_their_sender() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let first = world.message(ada, Target::Conversation(group), "mine");
    let mut second = first.clone();
    second.sender = ben;
    let answers = world.append(&[first, second]).await;
    assert_eq!(answers[1].as_ref().unwrap().seq, seq(4), "an event of its own");
}

#[tokio::test]
async fn a_retry_is_known_after_leaving_editing_deleting_and_restarting() {
    let mut world = fresh().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let edited = world.message(ben, Target::Conversation(group), "edited later");
    let deleted = world.message(ben, Target::Conversation(group), "deleted later");
    let batch = [edited, deleted];
    let first: Vec<_> = world.append(&batch).await.into_iter().map(|answer| answer.unwrap().seq).collect();
    world
        .change(ben, group, Change::Edit { target: first[0], body: "new".to_owned(), client_id: None })
        .await;
    world.change(ben, group, Change::Delete { target: first[1] }).await;
    world.leave(ben, group).await;
    world.restart().await;
    let again: Vec<_> = world.append(&batch).await.into_iter().map(|answer| answer.unwrap()).collect();
    assert!(again.iter().all(|appended| appended.committed.is_none()));
    assert_eq!(again.iter().map(|appended| appended.seq).collect::<Vec<_>>(), first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_send_from_two_tasks_at_once_is_one_event() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    for round in 0..20 {
        let new = world.message(ada, Target::User(ben), &format!("round {round}"));
        let send = || {
            let (store, batch, now) = (world.store.clone(), [new.clone()], world.now());
            tokio::spawn(async move { store.append(&batch, now).await.unwrap().remove(0).unwrap() })
        };
        let (one, two) = (send(), send());
        let (one, two) = (one.await.unwrap(), two.await.unwrap());
        assert_eq!((one.seq, one.sent_at), (two.seq, two.sent_at));
        assert_ne!(one.committed.is_some(), two.committed.is_some(), "exactly one made it");
    }
    assert_eq!(world.bodies(ben, ConversationId::direct(ada, ben)).await.len(), 20);
}
