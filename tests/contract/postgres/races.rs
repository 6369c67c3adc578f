//! Two processes make the same change at the same time.

use std::collections::HashMap;

use tidings::domain::{ConversationId, Refusal, UserId};
use tidings::store::{Accounts, AppendError, Appended, Change, Log, NewMessage, Target};

use super::{another, number, world};
use crate::harness::{body, text};

const ROUNDS: usize = 100;
const BATCH: usize = 100;

/// Asserts that two processes answered one send alike, and that one of them made it.
fn one_event(one: &Appended, two: &Appended) {
    assert_eq!((one.conversation, one.seq, one.sent_at), (two.conversation, two.seq, two.sent_at));
    assert_ne!(one.committed.is_some(), two.committed.is_some(), "exactly one made it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_sends_made_by_two_processes_at_once_are_one_event_each() {
    let (world, harness) = world().await;
    let (one, two) = (another(&harness).await, another(&harness).await);
    let people: [UserId; 8] = world.users().await;
    let mut targets = Vec::new();
    for at in 0..people.len() {
        let group = world.group(&[people[at], people[(at + 1) % 8], people[(at + 2) % 8]]).await;
        targets.push((people[at], Target::Conversation(group)));
        targets.push((people[(at + 2) % 8], Target::Conversation(group)));
        targets.push((people[at], Target::User(people[(at + 3) % 8])));
        targets.push((people[(at + 3) % 8], Target::User(people[at])));
    }
    let mut last = HashMap::<ConversationId, u64>::new();
    for round in 0..ROUNDS {
        let batch: Vec<NewMessage> = (0..BATCH)
            .map(|n| {
                let (sender, target) = targets[(round + n * 7) % targets.len()];
                world.message(sender, target, &format!("{round}.{n}"))
            })
            .collect();
        // The other process got them in another order, as two nodes would after a reconnect.
        let mut other = batch.clone();
        other.rotate_left(round % BATCH);
        other.reverse();
        let (first, second) = tokio::join!(one.append(&batch, world.now()), two.append(&other, world.now()));
        let mut second = second.unwrap();
        second.reverse();
        second.rotate_right(round % BATCH);
        for (one, two) in first.unwrap().iter().zip(&second) {
            let (one, two) = (one.as_ref().unwrap(), two.as_ref().unwrap());
            one_event(one, two);
            let newest = last.entry(one.conversation).or_default();
            *newest = (*newest).max(one.seq.get());
        }
    }
    let sent = number(&harness, "SELECT count(*) FROM events WHERE kind = 0").await;
    assert_eq!(sent, (ROUNDS * BATCH) as i64);
    let holes = "SELECT count(*) FROM conversations c \
         WHERE c.last_seq <> (SELECT count(*) FROM events e WHERE e.conversation = c.id) \
            OR c.last_seq <> (SELECT max(e.seq) FROM events e WHERE e.conversation = c.id) \
            OR c.message_count <> (SELECT count(*) FROM events e WHERE e.conversation = c.id AND e.kind = 0)";
    assert_eq!(number(&harness, holes).await, 0);
    let conversations = number(&harness, "SELECT count(*) FROM conversations").await;
    assert_eq!(last.len() as i64, conversations, "every conversation was written to");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_used_for_two_conversations_at_once_is_one_event_and_a_conflict() {
    let (world, harness) = world().await;
    let (one, two) = (another(&harness).await, another(&harness).await);
    let [ada, ben] = world.users().await;
    let (here, there) = (world.group(&[ada, ben]).await, world.group(&[ada, ben]).await);
    for round in 0..50 {
        let first = world.message(ada, Target::Conversation(here), &round.to_string());
        let second = NewMessage { target: Target::Conversation(there), ..first.clone() };
        let (batch, other) = ([first], [second]);
        let (first, second) = tokio::join!(one.append(&batch, world.now()), two.append(&other, world.now()));
        let (first, second) = (first.unwrap().remove(0), second.unwrap().remove(0));
        assert_ne!(first.is_ok(), second.is_ok(), "round {round}");
        assert!(matches!(first.err().or(second.err()), Some(AppendError::Refused(Refusal::Conflict(_)))));
    }
    let events = number(&harness, "SELECT count(*) FROM events WHERE kind = 0").await;
    assert_eq!(events, 50);
    assert_eq!(
        number(&harness, "SELECT sum(last_seq)::bigint FROM conversations").await,
        50 + 4,
        "and no hole"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_messages_to_each_other_at_once_make_one_conversation() {
    let (world, harness) = world().await;
    let (one, two) = (another(&harness).await, another(&harness).await);
    for _ in 0..30 {
        let [ada, ben] = world.users().await;
        let (hers, his) =
            ([world.message(ada, Target::User(ben), "hi")], [world.message(ben, Target::User(ada), "hi")]);
        let (hers, his) = tokio::join!(one.append(&hers, world.now()), two.append(&his, world.now()));
        let mut seqs =
            [hers.unwrap().remove(0).unwrap().seq.get(), his.unwrap().remove(0).unwrap().seq.get()];
        seqs.sort_unstable();
        assert_eq!(seqs, [1, 2]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_removed_while_speaking_says_nothing_after() {
    let (world, harness) = world().await;
    let (one, two) = (another(&harness).await, another(&harness).await);
    let [ada, ben] = world.users().await;
    for _ in 0..30 {
        let group = world.group(&[ada, ben]).await;
        let said: Vec<NewMessage> =
            (0..20).map(|_| world.message(ben, Target::Conversation(group), "!")).collect();
        let removal = Change::Leave { user: ben };
        let (said, removed) =
            tokio::join!(one.append(&said, world.now()), two.change(ada, group, &removal, world.now()));
        let left = removed.unwrap().unwrap().seq;
        for answer in said.unwrap().into_iter().flatten() {
            assert!(answer.seq < left, "{} after {left}", answer.seq);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_erased_while_it_speaks_leaves_no_word() {
    let (world, harness) = world().await;
    let (one, two) = (another(&harness).await, another(&harness).await);
    let [ben] = world.users().await;
    for round in 0..15 {
        let ada = world.user("Ada").await;
        let said: Vec<NewMessage> = (0..20)
            .map(|n| NewMessage {
                content: text(&format!("secret {round}.{n}")),
                ..world.message(ada, Target::User(ben), "")
            })
            .collect();
        let (_, erased) = tokio::join!(one.append(&said, world.now()), two.erase(ada, world.now()));
        erased.unwrap().unwrap();
        world.finish_jobs().await;
    }
    let left = "SELECT count(*) FROM events WHERE body LIKE 'secret%'";
    assert_eq!(number(&harness, left).await, 0);
    let members =
        "SELECT count(*) FROM members m JOIN users u ON u.id = m.user_id WHERE u.erased_at IS NOT NULL";
    assert_eq!(number(&harness, members).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_token_presented_twice_at_once_is_good_once() {
    use tidings::domain::{AddressPrefix, FamilyId, Timestamp};
    use tidings::store::{FamilyRotation, NewFamily};

    let (world, harness) = world().await;
    let (one, two) = (another(&harness).await, another(&harness).await);
    let [ada] = world.users().await;
    let here = AddressPrefix::of([127, 0, 0, 1].into());
    for round in 0..20_u8 {
        let never = Timestamp::from_unix_ms(i64::MAX);
        let family = NewFamily {
            id: FamilyId::from_uuid(world.uuid()),
            user: ada,
            token_hash: [round; 32],
            expires_at: never,
            device_name: None,
            network: here.clone(),
            device_hash: None,
        };
        world.store.add_family(&family, world.now()).await.unwrap();
        let (token, hers, thiefs) = ([round; 32], [round + 100; 32], [round + 200; 32]);
        // Too late for an answer that was lost.
        let late = std::time::Duration::ZERO;
        let (first, second) = tokio::join!(
            one.rotate_family(&token, &hers, never, world.now(), late, &here),
            two.rotate_family(&token, &thiefs, never, world.now(), late, &here),
        );
        let outcomes = [first.unwrap(), second.unwrap()];
        let rotated = outcomes.iter().filter(|outcome| matches!(outcome, FamilyRotation::Rotated(_))).count();
        let reused = outcomes.iter().filter(|outcome| matches!(outcome, FamilyRotation::Reused(_))).count();
        assert_eq!((rotated, reused), (1, 1), "{outcomes:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_of_two_processes_at_once_are_each_decided_on_the_one_before() {
    let (world, harness) = world().await;
    let (one, two) = (another(&harness).await, another(&harness).await);
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let said = world.say(ada, group, "first").await;
    for round in 0..20 {
        let edit = |body: String| Change::Edit { target: said, body, client_id: None };
        let (first, second) = (edit(format!("one {round}")), edit(format!("two {round}")));
        let (first, second) = tokio::join!(
            one.change(ada, group, &first, world.now()),
            two.change(ada, group, &second, world.now())
        );
        assert_ne!(first.unwrap().unwrap().seq, second.unwrap().unwrap().seq);
    }
    let events = world.events(ben, group).await;
    assert_eq!(events.last().unwrap().seq, said.plus(40), "no hole");
    let left: Vec<_> =
        events.iter().filter(|event| event.seq > said).filter_map(|event| body(event)).collect();
    assert_eq!(left, world.bodies(ben, group).await, "the last edit's text alone, and the message shows it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_place_in_a_group_is_given_once() {
    let (world, harness) = world().await;
    let (one, two) = (another(&harness).await, another(&harness).await);
    for _ in 0..5 {
        let people: [_; 9] = world.users().await;
        // The harness' groups have room for eight.
        let group = world.group(&people[..7]).await;
        let invite = |user| Change::Join { user, role: tidings::domain::Role::Member };
        let (first, second) = (invite(people[7]), invite(people[8]));
        let (first, second) = tokio::join!(
            one.change(people[0], group, &first, world.now()),
            two.change(people[0], group, &second, world.now())
        );
        let (first, second) = (first.unwrap(), second.unwrap());
        assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
        assert!(matches!(first.err().or(second.err()), Some(Refusal::TooLarge(_))));
    }
}
