//! Servers and connections that fail during an operation.

use std::sync::Arc;
use std::time::Duration;

use tidings::domain::ConversationId;
use tidings::store::postgres::{PostgresOptions, PostgresStore};
use tidings::store::{AppendError, Log, NewMessage, StoreError, Target, within};

use super::{number, run, world};
use crate::harness::{PostgresHarness, World};
use crate::servers::postgres::{Options, Postgres};
use crate::servers::process::until;

const WAITING: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tidings' AND wait_event_type = 'Lock'";

/// A connection of somebody else that holds a conversation's lock.
async fn holding(harness: &PostgresHarness, conversation: ConversationId) -> sqlx::PgConnection {
    let mut connection = harness.connection().await;
    let text =
        format!("BEGIN; SELECT 1 FROM conversations WHERE id = '{}' FOR UPDATE", conversation.as_uuid());
    sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(&mut connection).await.unwrap();
    connection
}

/// Starts an append that has to wait for the lock, and waits until it does.
async fn blocked(
    harness: &PostgresHarness,
    store: &Arc<PostgresStore>,
    batch: &[NewMessage],
    world: &World,
) -> tokio::task::JoinHandle<Result<bool, StoreError>> {
    let (store, batch, now) = (Arc::clone(store), batch.to_vec(), world.now());
    let task = tokio::spawn(async move {
        let answers = store.append(&batch, now).await?;
        Ok(answers[0].as_ref().is_ok_and(|appended| appended.committed.is_some()))
    });
    until("the append waits", || async { number(harness, WAITING).await == 1 }).await;
    task
}

fn is_unavailable(error: &StoreError, expected: bool) -> bool {
    matches!(error, StoreError::Unavailable { definite, .. } if *definite == expected)
}

#[tokio::test]
async fn a_backend_ended_in_the_middle_leaves_it_open_and_the_repetition_settles_it() {
    let (world, harness) = world().await;
    let store = harness.open().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    for round in 0..5 {
        let batch = [world.message(ada, Target::Conversation(group), &round.to_string())];
        let mut lock = holding(&harness, group).await;
        let task = blocked(&harness, &store, &batch, &world).await;
        run(
            &harness,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE application_name = 'tidings' AND wait_event_type = 'Lock'",
        )
        .await;
        let error = task.await.unwrap().unwrap_err();
        assert!(is_unavailable(&error, false), "{error}");
        sqlx::raw_sql("ROLLBACK").execute(&mut lock).await.unwrap();
        store.append(&batch, world.now()).await.unwrap().remove(0).unwrap();
        store.append(&batch, world.now()).await.unwrap().remove(0).unwrap();
    }
    assert_eq!(world.bodies(ben, group).await, ["0", "1", "2", "3", "4"], "each once");
    assert_eq!(world.seqs(ada, group).await, (1..=7).collect::<Vec<_>>());
}

/// The usual options with other patience.
fn with_patience(harness: &PostgresHarness, timeout_ms: u64, acquire_timeout_ms: u64) -> PostgresOptions {
    let mut options = PostgresOptions { timeout_ms, ..harness.options() };
    options.postgres.acquire_timeout_ms = acquire_timeout_ms;
    options
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_is_no_definite_no() {
    let (world, harness) = world().await;
    let options = with_patience(&harness, 300, 200);
    let store = PostgresStore::open(options, harness.environment()).await.unwrap();
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let mut lock = holding(&harness, group).await;
    let batch = [world.message(ada, Target::Conversation(group), "hi")];
    let error = store.append(&batch, world.now()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }));
    sqlx::raw_sql("ROLLBACK").execute(&mut lock).await.unwrap();
    store.append(&batch, world.now()).await.unwrap().remove(0).unwrap();
    assert_eq!(world.bodies(ben, group).await, ["hi"], "once, whatever became of the first try");
}

#[tokio::test]
async fn a_caller_with_less_time_hears_what_the_store_knows() {
    const LITTLE: Duration = Duration::from_millis(100);
    let (world, harness) = world().await;
    let mut options = with_patience(&harness, 60_000, 60_000);
    options.postgres.write_connections = 1;
    let store = PostgresStore::open(options, harness.environment()).await.unwrap();
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let mut lock = holding(&harness, group).await;
    let batch = [world.message(ada, Target::Conversation(group), "first")];
    let task = blocked(&harness, &store, &batch, &world).await;
    let second = [world.message(ben, Target::Conversation(group), "second")];
    let waits = within(LITTLE, store.append(&second, world.now()));
    let error = tokio::time::timeout(Duration::from_secs(20), waits).await.expect("in its time").unwrap_err();
    assert!(error.is_definite(), "it had no connection yet: {error}");
    sqlx::raw_sql("ROLLBACK").execute(&mut lock).await.unwrap();
    assert!(task.await.unwrap().unwrap());
    let mut lock = holding(&harness, group).await;
    let waits = within(LITTLE, store.append(&second, world.now()));
    let error = tokio::time::timeout(Duration::from_secs(20), waits).await.expect("in its time").unwrap_err();
    assert!(!error.is_definite(), "its statement was sent: {error}");
    sqlx::raw_sql("ROLLBACK").execute(&mut lock).await.unwrap();
}

#[tokio::test]
async fn who_gets_no_connection_in_time_hears_a_definite_no() {
    let (world, harness) = world().await;
    let mut options = with_patience(&harness, 30_000, 100);
    options.postgres.write_connections = 1;
    let store = PostgresStore::open(options, harness.environment()).await.unwrap();
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let mut lock = holding(&harness, group).await;
    let batch = [world.message(ada, Target::Conversation(group), "first")];
    let task = blocked(&harness, &store, &batch, &world).await;
    let second = [world.message(ben, Target::Conversation(group), "second")];
    let error = store.append(&second, world.now()).await.unwrap_err();
    assert!(is_unavailable(&error, true), "{error}");
    assert!(store.heads(ada, None).await.is_ok(), "readers have connections of their own");
    assert!(store.tail(Default::default(), 10).await.is_ok(), "and who follows the tail too");
    sqlx::raw_sql("ROLLBACK").execute(&mut lock).await.unwrap();
    assert!(task.await.unwrap().unwrap());
    assert_eq!(world.bodies(ben, group).await, ["first"], "what was refused is not there");
}

#[tokio::test]
async fn as_many_read_and_follow_side_by_side_as_there_are_connections() {
    let (world, harness) = world().await;
    let mut options = with_patience(&harness, 30_000, 200);
    (options.postgres.read_connections, options.postgres.tail_connections) = (2, 3);
    let store = PostgresStore::open(options, harness.environment()).await.unwrap();
    let [ada, ben] = world.users().await;
    world.group(&[ada, ben]).await;
    let mut lock = harness.server.connect(&harness.name).await;
    let text = "BEGIN; LOCK TABLE conversations, events IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(text).execute(&mut lock).await.unwrap();
    let reads = (0..5).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.heads(ada, None).await.map(|_| ()) })
    });
    let tails = (0..5).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.tail(Default::default(), 10).await.map(|_| ()) })
    });
    let (reads, tails): (Vec<_>, Vec<_>) = (reads.collect(), tails.collect());
    for (calls, connections) in [(&reads, 2), (&tails, 3)] {
        until("the others are refused", || async {
            calls.iter().filter(|call| call.is_finished()).count() == 5 - connections
        })
        .await;
    }
    sqlx::raw_sql("ROLLBACK").execute(&mut lock).await.unwrap();
    for (calls, connections) in [(reads, 2), (tails, 3)] {
        let mut served = 0;
        for call in calls {
            match call.await.unwrap() {
                Ok(()) => served += 1,
                Err(error) => assert!(is_unavailable(&error, true), "{error}"),
            }
        }
        assert_eq!(served, connections);
    }
}

#[tokio::test]
async fn what_the_first_of_two_transactions_of_a_batch_committed_is_acknowledged_though_the_second_cannot_begin()
 {
    let (world, harness) = world().await;
    let mut options = with_patience(&harness, 30_000, 3_000);
    options.postgres.write_connections = 1;
    let store = PostgresStore::open(options, harness.environment()).await.unwrap();
    let [ada, ben] = world.users().await;
    let (group, other) = (world.group(&[ada, ben]).await, world.group(&[ada, ben]).await);
    let (mut lock, mut other_lock) = (holding(&harness, group).await, holding(&harness, other).await);
    let first = world.message(ada, Target::Conversation(group), "first");
    // The same key again: it is looked at when the first is committed, in a transaction of its own.
    let batch =
        [first.clone(), NewMessage { content: world.message(ada, first.target, "other").content, ..first }];
    let task = {
        let (store, batch, now) = (Arc::clone(&store), batch.clone(), world.now());
        tokio::spawn(async move { store.append(&batch, now).await })
    };
    until("the append waits", || async { number(&harness, WAITING).await == 1 }).await;
    // Next in the queue for the only connection, which it then keeps.
    let others = [world.message(ben, Target::Conversation(other), "others")];
    let mut between = Box::pin(store.append(&others, world.now()));
    assert!(futures_util::poll!(&mut between).is_pending());
    sqlx::raw_sql("ROLLBACK").execute(&mut lock).await.unwrap();
    let mut answers = tokio::select! {
        answers = task => answers.unwrap().unwrap(),
        _ = &mut between => panic!("it waits for its lock"),
    };
    let second = answers.pop().unwrap().unwrap_err();
    assert!(matches!(&second, AppendError::Failed(error) if is_unavailable(error, true)), "{second}");
    assert!(answers.pop().unwrap().unwrap().committed.is_some(), "the first has its place and its event");
    sqlx::raw_sql("ROLLBACK").execute(&mut other_lock).await.unwrap();
    assert!(between.await.unwrap().remove(0).is_ok());
    assert_eq!(world.bodies(ben, group).await, ["first"]);
}

#[tokio::test]
async fn a_server_that_says_it_does_not_write_any_more_is_parted_with() {
    const SESSIONS: &str = "SELECT max(pid)::bigint FROM pg_stat_activity WHERE application_name = 'tidings' \
         AND backend_start = (SELECT max(backend_start) FROM pg_stat_activity WHERE application_name = 'tidings')";
    let (world, harness) = world().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let store = harness.open().await;
    store.append(&[world.message(ada, Target::Conversation(group), "before")], world.now()).await.unwrap();
    let before = number(&harness, SESSIONS).await;
    run(
        &harness,
        "CREATE FUNCTION demoted() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN RAISE EXCEPTION 'cannot execute INSERT in a read-only transaction' USING ERRCODE = '25006'; END $$; \
         CREATE TRIGGER demoted BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION demoted()",
    )
    .await;
    let batch = [world.message(ada, Target::Conversation(group), "during")];
    let error = store.append(&batch, world.now()).await.unwrap_err();
    assert!(is_unavailable(&error, true), "{error}");
    until("its session ends", || async { number(&harness, SESSIONS).await != before }).await;
    run(&harness, "DROP TRIGGER demoted ON events").await;
    store.append(&batch, world.now()).await.unwrap().remove(0).unwrap();
    assert_eq!(world.bodies(ben, group).await, ["before", "during"]);
}

#[tokio::test]
async fn reading_and_changing_go_on_after_their_sessions_were_ended() {
    let (world, harness) = world().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    for _ in 0..3 {
        world.say(ada, group, "hi").await;
        world.heads(ada).await;
        run(
            &harness,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tidings'",
        )
        .await;
        assert!(world.store.heads(ben, None).await.is_ok(), "a read is made again by itself");
        let change = tidings::store::Change::SetRole { user: ben, role: tidings::domain::Role::Admin };
        world.change(ada, group, change).await;
        world.store.ping().await.unwrap();
    }
}

/// A world on a server of its own, which the test may ill-treat.
async fn apart() -> (World, Arc<PostgresHarness>) {
    let server = Arc::new(Postgres::start(Options::default()).await);
    let harness = Arc::new(PostgresHarness::on(server).await);
    (World::over(Box::new(super::Shared(Arc::clone(&harness)))).await, harness)
}

#[tokio::test]
async fn a_frozen_server_is_given_up_on_in_time_and_taken_up_again() {
    let (world, harness) = apart().await;
    let options = with_patience(&harness, 500, 300);
    let store = PostgresStore::open(options, harness.environment()).await.unwrap();
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    store.append(&[world.message(ada, Target::Conversation(group), "before")], world.now()).await.unwrap();
    harness.server.pause();
    let batch = [world.message(ada, Target::Conversation(group), "during")];
    let limit = Duration::from_secs(5);
    let error = tokio::time::timeout(limit, store.append(&batch, world.now())).await.unwrap().unwrap_err();
    assert!(is_unavailable(&error, false), "it was sent: {error}");
    let error = tokio::time::timeout(limit, store.heads(ada, None)).await.unwrap().unwrap_err();
    assert!(is_unavailable(&error, true), "a read does nothing: {error}");
    harness.server.resume();
    until("it is taken up again", || async { store.append(&batch, world.now()).await.is_ok() }).await;
    assert_eq!(world.bodies(ben, group).await, ["before", "during"]);
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_crash_of_the_server() {
    let mut server = Postgres::start(Options::default()).await;
    let url = server.database("crash").await;
    let mut options = PostgresOptions { timeout_ms: 20_000, ..PostgresOptions::new(url) };
    options.postgres.acquire_timeout_ms = 10_000;
    let environment = tidings::environment::SystemEnvironment::shared();
    let store = PostgresStore::open(options, environment).await.unwrap();
    let world = World::around(store);
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let said = world.say(ada, group, "kept").await;
    let cursor = world.store.end().await.unwrap();
    // A commit without waiting for its record to be written would be lost; the tests' servers wait for the
    // system only.
    server.run("CHECKPOINT").await;
    server.kill();
    let settings = vec![("synchronous_commit", "on".to_owned())];
    server.restart(Options { settings, ..Options::default() }).await;
    until("it is taken up again", || async { world.store.heads(ada, None).await.is_ok() }).await;
    assert_eq!(world.bodies(ben, group).await, ["kept"]);
    assert_eq!(world.store.end().await.unwrap().epoch, cursor.epoch, "a restart is no other log");
    assert_eq!(world.say(ben, group, "goes on").await, said.next());
}
