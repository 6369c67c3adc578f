//! Replicas that lag, another primary, and a restored copy.

use std::sync::Arc;
use std::time::Duration;

use tidings::domain::{ConversationId, Seq, UserId};
use tidings::store::model::{Destination, Fate, Former, ModelOptions, ModelStore, NoFaults, Trip};
use tidings::store::{Change, HistoryQuery, Log, StoreError, Target};
use tokio::time::sleep;

use super::{Script, world};
use crate::harness::{ModelHarness, World, body};

const LAG: Duration = Duration::from_secs(2);

fn reader(harness: &ModelHarness, script: &Arc<Script>, options: ModelOptions) -> Arc<ModelStore> {
    let options = ModelOptions { read_replicas: vec![0], tail_replica: Some(0), ..options };
    harness.connect_with(options, script.clone())
}

async fn page(store: &ModelStore, user: UserId, conversation: ConversationId) -> Vec<String> {
    let query = HistoryQuery { conversation, before: None, after: None, limit: 10, max_bytes: usize::MAX };
    let messages = store.history(user, query).await.unwrap().unwrap().messages;
    messages.iter().filter_map(|view| body(&view.event)).collect()
}

/// How many statements a replica was asked.
fn asked_of_replica(script: &Script) -> usize {
    let seen = script.seen.lock().unwrap();
    let reads = seen.iter().filter(|(round_trip, _)| matches!(round_trip.trip, Trip::Read(_)));
    reads.filter(|(round_trip, _)| round_trip.to == Destination::Replica(0)).count()
}

async fn spoken(world: &World) -> (UserId, UserId, ConversationId) {
    let [ada, ben] = world.users().await;
    (ada, ben, world.group(&[ada, ben]).await)
}

#[tokio::test(start_paused = true)]
async fn a_replica_answers_what_it_has_and_the_primary_the_rest() {
    let (world, harness) = world().await;
    harness.server.add_replica().unwrap();
    let (ada, ben, group) = spoken(&world).await;
    let script = Script::shared();
    let store = reader(&harness, &script, ModelHarness::options(1));
    world.say(ada, group, "one").await;
    assert_eq!(page(&store, ben, group).await, ["one"]);
    assert_eq!(asked_of_replica(&script), 1, "it has no lag");
    harness.server.set_replica(0, LAG, false).unwrap();
    world.say(ada, group, "two").await;
    assert_eq!(page(&store, ben, group).await, ["one", "two"], "nothing old is passed off as new");
    assert_eq!(asked_of_replica(&script), 2, "it was asked, and did not have it");
    world.say(ada, group, "three").await;
    assert_eq!(page(&store, ben, group).await, ["one", "two", "three"]);
    assert_eq!(asked_of_replica(&script), 2, "it is left alone for a while");
    sleep(LAG).await;
    assert_eq!(page(&store, ben, group).await, ["one", "two", "three"]);
    assert_eq!(asked_of_replica(&script), 3);
}

#[tokio::test(start_paused = true)]
async fn a_frozen_replica_keeps_what_it_has() {
    let (world, harness) = world().await;
    harness.server.add_replica().unwrap();
    let (ada, _, group) = spoken(&world).await;
    let store = reader(&harness, &Script::shared(), ModelHarness::options(1));
    let start = world.store.end().await.unwrap().position;
    harness.server.set_replica(0, Duration::ZERO, true).unwrap();
    world.say(ada, group, "hi").await;
    sleep(LAG).await;
    assert!(store.tail(start, 10).await.unwrap().committed.is_empty());
    harness.server.set_replica(0, Duration::ZERO, false).unwrap();
    assert_eq!(store.tail(start, 10).await.unwrap().committed.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_tail_of_a_replica_stops_before_a_transaction_that_was_open() {
    let (world, harness) = world().await;
    harness.server.add_replica().unwrap();
    let (ada, _, group) = spoken(&world).await;
    let store = reader(&harness, &Script::shared(), ModelHarness::options(1));
    let start = world.store.end().await.unwrap().position;
    let held = harness.server.hold();
    world.say(ada, group, "hi").await;
    assert!(store.tail(start, 10).await.unwrap().committed.is_empty());
    drop(held);
    assert_eq!(store.tail(start, 10).await.unwrap().committed.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn erased_content_is_not_read_from_a_replica_that_still_has_it() {
    let (world, harness) = world().await;
    harness.server.add_replica().unwrap();
    let [ada, ben] = world.users().await;
    let group = world.group(&[ben, ada]).await;
    let store = reader(&harness, &Script::shared(), ModelHarness::options(1));
    world.say(ada, group, "a secret").await;
    assert_eq!(page(&store, ben, group).await, ["a secret"]);
    harness.server.set_replica(0, Duration::ZERO, true).unwrap();
    world.erase(ada).await;
    assert!(page(&store, ben, group).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_failover_loses_exactly_the_tail_and_changes_the_epoch() {
    let (world, harness) = world().await;
    harness.server.add_replica().unwrap();
    let (ada, ben, group) = spoken(&world).await;
    for words in ["one", "two", "three"] {
        world.say(ada, group, words).await;
    }
    let before = world.store.heads(ben, None).await.unwrap().cursor;
    let lost = harness.server.fail_over(2, Former::Gone).unwrap();
    assert_eq!(lost, [(group, Seq::new(4).unwrap()), (group, Seq::new(5).unwrap())]);
    let after = world.store.heads(ben, Some(before)).await.unwrap();
    assert_ne!(after.cursor.epoch, before.epoch);
    assert_eq!(after.heads.len(), 1, "everything is compared once");
    assert_eq!(world.bodies(ben, group).await, ["one"]);
    assert_eq!(world.say(ada, group, "goes on").await.get(), 4);
    let inspected = harness.server.inspect().unwrap();
    assert_eq!(inspected.epoch, after.cursor.epoch);
    let last = inspected.events.last().unwrap();
    assert_eq!(body(&last.0).as_deref(), Some("goes on"));
    assert!(last.1 < before.position, "its number was given before");
    let store = reader(&harness, &Script::shared(), ModelHarness::options(1));
    assert_eq!(page(&store, ben, group).await, ["one", "goes on"], "replicas follow the new primary");
}

#[tokio::test(start_paused = true)]
async fn a_failover_without_loss_keeps_everything_and_ends_what_was_open() {
    let (world, harness) = world().await;
    let (ada, ben, group) = spoken(&world).await;
    world.say(ada, group, "one").await;
    let script = Script::shared();
    let store = harness.connect(1, script.clone());
    script.once(|trip| trip == Trip::Commit, Fate::Hang);
    let new = world.new_conversation(group.kind(), &[ada, ben]);
    let open = tidings::store::Conversations::create(&*store, &new, world.now());
    assert!(tokio::time::timeout(LAG / 4, open).await.is_err());
    assert_eq!(harness.server.fail_over(0, Former::Gone).unwrap(), []);
    assert!(world.store.running().await.unwrap().numbers.is_empty());
    assert_eq!(world.bodies(ben, group).await, ["one"]);
}

#[tokio::test(start_paused = true)]
async fn who_is_still_connected_to_the_former_primary_reads_the_old_log_until_it_writes() {
    let (world, harness) = world().await;
    let (ada, ben, group) = spoken(&world).await;
    world.say(ada, group, "one").await;
    world.say(ada, group, "two").await;
    assert_eq!(world.bodies(ben, group).await, ["one", "two"]);
    harness.server.fail_over(1, Former::ReadOnly).unwrap();
    assert_eq!(world.bodies(ben, group).await, ["one", "two"], "as long as its connections live");
    let batch = [world.message(ada, Target::Conversation(group), "three")];
    let error = world.store.append(&batch, world.now()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { definite: true, .. }), "{error}");
    world.say(ada, group, "three").await;
    assert_eq!(world.bodies(ben, group).await, ["one", "three"], "one failure discards all connections");
}

#[tokio::test(start_paused = true)]
async fn a_restored_copy_has_another_epoch_and_higher_positions() {
    let (world, harness) = world().await;
    let (ada, ben, group) = spoken(&world).await;
    world.say(ada, group, "one").await;
    world.say(ada, group, "two").await;
    let end = world.store.end().await.unwrap();
    assert_eq!(harness.server.restore(1, 99).unwrap().len(), 1);
    let restored = world.store.end().await.unwrap();
    assert_ne!(restored.epoch, end.epoch);
    assert_eq!(world.bodies(ben, group).await, ["one"]);
    let said = world.try_send(ada, Target::Conversation(group), "goes on").await.unwrap().committed.unwrap();
    assert!(said.position > said.previous);
}

/// The same calls with the same fates.
async fn play() -> (String, tidings::store::model::LogContents) {
    let (world, harness) = world().await;
    harness.server.add_replica().unwrap();
    harness.server.set_replica(0, LAG, false).unwrap();
    let (ada, ben, group) = spoken(&world).await;
    let script = Script::shared();
    let store = reader(&harness, &script, ModelHarness::options(1));
    for n in 0..20 {
        let kind = |trip: Trip| matches!(trip, Trip::WriteAndCommit(_));
        let delays = tidings::store::model::Delays { queue: LAG / 40, work: LAG / 80, ..Default::default() };
        script.once(kind, if n % 7 == 3 { Fate::Lose(delays) } else { Fate::Answer(delays) });
        let batch = [world.message(ada, Target::Conversation(group), &n.to_string())];
        let edit = Change::Edit { target: Seq::new(3).unwrap(), body: n.to_string(), client_id: None };
        let _ = tokio::join!(
            store.append(&batch, world.now()),
            world.store.change(ada, group, &edit, world.now()),
            page(&store, ben, group),
        );
        if n == 12 {
            harness.server.fail_over(3, Former::ReadOnly).unwrap();
        }
    }
    let trace = format!("{:?}", script.seen.lock().unwrap());
    (trace, harness.server.inspect().unwrap())
}

#[tokio::test(start_paused = true)]
async fn the_same_calls_and_fates_give_the_same_result_twice() {
    let (one, two) = (play().await, play().await);
    assert!(one.1.events.len() > 20);
    assert_eq!(one, two);
}

#[tokio::test(start_paused = true)]
async fn a_checker_sees_receipts_and_members() {
    let (world, harness) = world().await;
    let (ada, ben, group) = spoken(&world).await;
    let said = world.say(ada, group, "one").await;
    world.read_up_to(ben, group, said).await;
    let inspected = harness.server.inspect().unwrap();
    let member = inspected.members.iter().find(|member| (member.conversation, member.user) == (group, ben));
    let member = member.unwrap();
    assert_eq!((member.delivered, member.read), (said, said));
    assert_eq!(inspected.events.len(), 3);
    harness.connect(2, Arc::new(NoFaults)).close().await;
}
