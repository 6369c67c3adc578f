//! What the process learns of a fault, and what is in the log afterwards.

use std::sync::Arc;
use std::time::Duration;

use tidings::domain::{ConversationId, UserId};
use tidings::store::model::{Delays, Fate, ModelOptions, Trip};
use tidings::store::{Change, Log, NewMessage, StoreError, Target};
use tokio::time::sleep;

use super::{Script, world};
use crate::harness::{ModelHarness, World};

const SLOW: Duration = Duration::from_millis(200);

fn appends(trip: Trip) -> bool {
    matches!(trip, Trip::WriteAndCommit("append"))
}

fn commits(trip: Trip) -> bool {
    trip == Trip::Commit
}

async fn group(world: &World) -> (UserId, UserId, ConversationId) {
    let [ada, ben] = world.users().await;
    (ada, ben, world.group(&[ada, ben]).await)
}

fn send(world: &World, sender: UserId, group: ConversationId, body: &str) -> [NewMessage; 1] {
    [world.message(sender, Target::Conversation(group), body)]
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_indefinite_and_the_event_is_there() {
    let (world, harness) = world().await;
    let (ada, ben, group) = group(&world).await;
    let script = Script::shared();
    let store = harness.connect(1, script.clone());
    let batch = send(&world, ada, group, "hi");
    script.once(appends, Fate::Lose(Delays::default()));
    let error = store.append(&batch, world.now()).await.unwrap_err();
    assert!(!error.is_definite(), "{error}");
    assert_eq!(world.bodies(ben, group).await, ["hi"]);
    let again = store.append(&batch, world.now()).await.unwrap().remove(0).unwrap();
    assert!(again.committed.is_none(), "a repetition finds it");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_not_received_is_indefinite_and_nothing_is_there() {
    let (world, harness) = world().await;
    let (ada, ben, group) = group(&world).await;
    let script = Script::shared();
    let store = harness.connect(1, script.clone());
    script.once(appends, Fate::Break(Delays::default()));
    let error = store.append(&send(&world, ada, group, "hi"), world.now()).await.unwrap_err();
    assert!(!error.is_definite(), "{error}");
    assert!(world.bodies(ben, group).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_conflict_is_tried_again() {
    let (world, harness) = world().await;
    let (ada, ben, group) = group(&world).await;
    let script = Script::shared();
    let store = harness.connect(1, script.clone());
    script.once(appends, Fate::Conflict(Delays::default()));
    store.append(&send(&world, ada, group, "hi"), world.now()).await.unwrap().remove(0).unwrap();
    assert_eq!(world.bodies(ben, group).await, ["hi"]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_hangs_ends_at_the_deadline() {
    let (world, harness) = world().await;
    let (ada, ben, group) = group(&world).await;
    let script = Script::shared();
    let store = harness.connect(1, script.clone());
    script.once(appends, Fate::Hang);
    let began_ms = harness.environment.monotonic_ms();
    let error = store.append(&send(&world, ada, group, "hi"), world.now()).await.unwrap_err();
    assert!(!error.is_definite(), "{error}");
    assert_eq!(harness.environment.monotonic_ms() - began_ms, 3_000);
    script.once(|trip| matches!(trip, Trip::Read(_)), Fate::Hang);
    assert!(store.heads(ben, None).await.unwrap_err().is_definite());
    assert!(world.bodies(ben, group).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_process_killed_in_the_middle_leaves_nothing_and_no_lock() {
    let (world, harness) = world().await;
    let [ada, ben] = world.users().await;
    let script = Script::shared();
    let store = harness.connect(1, script.clone());
    script.once(commits, Fate::Hang);
    let new = world.new_conversation(tidings::domain::ConversationKind::Group, &[ada, ben]);
    let theirs = (Arc::clone(&store), new.clone(), world.now());
    let killed = tokio::spawn(async move {
        let (store, new, now) = theirs;
        tidings::store::Conversations::create(&*store, &new, now).await
    });
    sleep(SLOW).await;
    let open = world.store.running().await.unwrap();
    assert_eq!(open.numbers.len(), 1, "it holds its number until it ends");
    killed.abort();
    assert!(killed.await.unwrap_err().is_cancelled());
    assert!(world.store.running().await.unwrap().numbers.is_empty());
    assert!(world.store.heads(ada, None).await.unwrap().heads.is_empty());
    world.group(&[ada, ben]).await;
}

#[tokio::test(start_paused = true)]
async fn a_process_that_stops_in_a_transaction_is_ended_by_the_server() {
    let (world, harness) = world().await;
    let [ada, ben] = world.users().await;
    let script = Script::shared();
    let options = ModelOptions { timeout_ms: 60_000, ..ModelHarness::options(1) };
    let store = harness.connect_with(options, script.clone());
    script.once(commits, Fate::Hang);
    let new = world.new_conversation(tidings::domain::ConversationKind::Group, &[ada, ben]);
    let stopped = tidings::store::Conversations::create(&*store, &new, world.now());
    let other = async {
        sleep(SLOW).await;
        let error = world.store.create(&world.new_conversation(new.id.kind(), &[ada]), world.now()).await;
        assert!(error.unwrap_err().is_definite(), "it waits for the lock");
        sleep(Duration::from_secs(3)).await;
        world.group(&[ada, ben]).await
    };
    tokio::select! {
        stopped = stopped => panic!("{stopped:?}"),
        _ = other => {}
    }
}

#[tokio::test(start_paused = true)]
async fn commits_come_in_another_order_than_numbers_and_the_tail_waits() {
    let (world, harness) = world().await;
    let [ada, ben] = world.users().await;
    let (slow, quick) = (world.group(&[ada, ben]).await, world.group(&[ada, ben]).await);
    let start = world.store.end().await.unwrap().position;
    let script = Script::shared();
    let store = harness.connect(1, script.clone());
    script.once(appends, Fate::Answer(Delays { queue: SLOW, ..Delays::default() }));
    let batch = send(&world, ada, slow, "first number");
    let late = store.append(&batch, world.now());
    let early = async {
        sleep(SLOW / 2).await;
        let said = world.try_send(ada, Target::Conversation(quick), "overtakes").await.unwrap();
        let waiting = world.store.tail(start, 10).await.unwrap();
        assert!(waiting.committed.is_empty(), "{waiting:?}");
        let running = world.store.running().await.unwrap();
        assert_eq!(running.numbers, [waiting.next]);
        let ahead = world.store.ahead(start, 10).await.unwrap();
        assert_eq!(ahead.committed.len(), 1);
        said.committed.unwrap().position
    };
    let (late, early) = tokio::join!(late, early);
    let late = late.unwrap().remove(0).unwrap().committed.unwrap().position;
    assert!(late < early, "the lower number committed later");
    let tail = world.store.tail(start, 10).await.unwrap().committed;
    assert_eq!(tail.iter().map(|one| one.position).collect::<Vec<_>>(), [late, early]);
}

#[tokio::test(start_paused = true)]
async fn in_one_conversation_a_later_event_never_has_a_lower_position() {
    let (world, harness) = world().await;
    let (ada, ben, group) = group(&world).await;
    let script = Script::shared();
    let store = harness.connect(1, script.clone());
    script.once(appends, Fate::Answer(Delays { queue: SLOW, ..Delays::default() }));
    let batch = send(&world, ada, group, "first number, second place");
    let late = store.append(&batch, world.now());
    let early = async {
        sleep(SLOW / 2).await;
        world.try_send(ben, Target::Conversation(group), "first place").await.unwrap()
    };
    let (late, early) = tokio::join!(late, early);
    let (late, early) = (late.unwrap().remove(0).unwrap(), early);
    assert!(early.seq < late.seq);
    assert_eq!(early.committed.unwrap().position, late.committed.unwrap().position);
}

#[tokio::test(start_paused = true)]
async fn a_transaction_of_somebody_else_holds_back_the_tail() {
    let (world, harness) = world().await;
    let (ada, _, group) = group(&world).await;
    let start = world.store.end().await.unwrap().position;
    let held = harness.server.hold();
    world.say(ada, group, "hi").await;
    assert!(world.store.tail(start, 10).await.unwrap().committed.is_empty());
    assert_eq!(world.store.ahead(start, 10).await.unwrap().committed.len(), 1);
    drop(held);
    assert_eq!(world.store.tail(start, 10).await.unwrap().committed.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_the_server_has_received_happens_without_its_process() {
    let (world, harness) = world().await;
    let (ada, ben, group) = group(&world).await;
    let script = Script::shared();
    let store = harness.connect(1, script.clone());
    script.once(appends, Fate::Answer(Delays { work: SLOW, ..Delays::default() }));
    let batch = send(&world, ada, group, "hi");
    assert!(tokio::time::timeout(SLOW / 2, store.append(&batch, world.now())).await.is_err());
    assert!(world.bodies(ben, group).await.is_empty());
    sleep(SLOW).await;
    assert_eq!(world.bodies(ben, group).await, ["hi"]);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_was_overtaken_is_decided_again() {
    let (world, harness) = world().await;
    let (ada, ben, group) = group(&world).await;
    let said = world.say(ada, group, "first").await;
    let script = Script::shared();
    let store = harness.connect(1, script.clone());
    let edit = |body: &str| Change::Edit { target: said, body: body.to_owned(), client_id: None };
    script.once(
        |trip| trip == Trip::WriteAndCommit("record"),
        Fate::Answer(Delays { request: SLOW, ..Delays::default() }),
    );
    let (one, two) = (edit("one"), edit("two"));
    let slow = store.change(ada, group, &one, world.now());
    let quick = async {
        sleep(SLOW / 2).await;
        world.change(ada, group, two).await
    };
    let (slow, quick) = tokio::join!(slow, quick);
    assert!(slow.unwrap().unwrap().seq > quick.seq);
    assert_eq!(world.bodies(ben, group).await, ["one"]);
    let records = script.seen.lock().unwrap();
    let records = records.iter().filter(|(round_trip, _)| round_trip.trip == Trip::WriteAndCommit("record"));
    assert_eq!(records.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_write_is_a_definite_no() {
    let (world, harness) = world().await;
    let (ada, _, group) = group(&world).await;
    let script = Script::shared();
    let store = harness.connect(1, script.clone());
    script.once(appends, Fate::ReadOnly(Delays::default()));
    let error = store.append(&send(&world, ada, group, "hi"), world.now()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { definite: true, .. }), "{error}");
    store.append(&send(&world, ada, group, "hi"), world.now()).await.unwrap().remove(0).unwrap();
}

#[tokio::test(start_paused = true)]
async fn without_delays_no_time_passes() {
    let (world, harness) = world().await;
    let began_us = harness.environment.monotonic_us();
    let (ada, ben, group) = group(&world).await;
    world.say(ada, group, "hi").await;
    assert_eq!(world.bodies(ben, group).await, ["hi"]);
    assert_eq!(harness.environment.monotonic_us(), began_us);
}
