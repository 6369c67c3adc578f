//! Promises of the embedded store only, about its file.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tidings::domain::{Refusal, Role};
use tidings::store::sqlite::{SqliteOptions, SqliteStore};
use tidings::store::{Change, Log, StoreError, Target, within};

use crate::harness::{Harness, SqliteHarness, World};

const CANARY: &str = "canary-c0ffee-0001";

fn raw(harness: &SqliteHarness) -> Connection {
    Connection::open(harness.path()).unwrap()
}

/// A harness that a test keeps a hand on.
struct Shared(Arc<SqliteHarness>);

#[async_trait::async_trait]
impl Harness for Shared {
    async fn store(&self) -> tidings::store::SharedStore {
        self.0.store().await
    }

    async fn skip_positions(&self, by: u64) {
        self.0.skip_positions(by).await;
    }

    fn position_per_event(&self) -> bool {
        self.0.position_per_event()
    }

    async fn close(&self) {
        self.0.close().await;
    }
}

async fn world() -> (World, Arc<SqliteHarness>) {
    let harness = Arc::new(SqliteHarness::new());
    (World::over(Box::new(Shared(harness.clone()))).await, harness)
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let (mut world, _harness) = world().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let said = world.say(ada, group, "kept").await;
    world.change(ben, group, Change::React { target: said, emoji: "👍".to_owned(), on: true }).await;
    world.read_up_to(ben, group, said).await;
    let before = (world.events(ada, group).await, world.heads(ben).await, world.page(ada, group).await.len());
    world.restart().await;
    let after = (world.events(ada, group).await, world.heads(ben).await, world.page(ada, group).await.len());
    assert_eq!(before, after);
    assert_eq!(world.say(ben, group, "goes on").await, said.plus(2));
}

#[tokio::test]
async fn no_byte_of_erased_content_is_left_in_the_files() {
    let (world, harness) = world().await;
    let [ada, ben] = world.users().await;
    world.store.rename(ada, CANARY).await.unwrap().unwrap();
    let group = world.group(&[ben, ada]).await;
    let said = world.say(ada, group, CANARY).await;
    let long = format!("{}{CANARY}{}", "x".repeat(9_000), "y".repeat(9_000));
    world.change(ada, group, Change::Edit { target: said, body: long, client_id: None }).await;
    let mut new = world.message(ada, Target::User(ben), CANARY);
    new.content.data = Some(tidings::domain::JsonText(format!("{{\"x\":\"{CANARY}\"}}")));
    world.append(&[new]).await.remove(0).unwrap();
    let of_ben = world.say(ben, group, "ben's words stay").await;
    world.change(ada, group, Change::React { target: of_ben, emoji: CANARY.to_owned(), on: true }).await;
    assert!(harness.holds(CANARY), "the search finds what is there");
    world.erase(ada).await;
    assert!(world.store.scrub().await.unwrap());
    assert!(!harness.holds(CANARY));
    assert!(harness.holds("ben's words stay"));
}

#[tokio::test]
async fn no_byte_of_a_text_that_was_edited_away_is_left_in_the_files_after_a_stop() {
    let (mut world, harness) = world().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let said = world.say(ada, group, &format!("{CANARY} 1")).await;
    for n in [2, 3] {
        let (body, client_id) = (format!("{CANARY} {n}"), Some(world.client_id()));
        world.change(ada, group, Change::Edit { target: said, body, client_id }).await;
    }
    world.restart().await;
    let left: Vec<_> = (1..=3).filter(|n| harness.holds(&format!("{CANARY} {n}"))).collect();
    assert_eq!(left, [3], "the search finds what is there, and nothing else");
}

#[tokio::test]
async fn no_byte_of_a_deleted_conversation_is_left_in_the_files() {
    let (world, harness) = world().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    for n in 0..600 {
        if n % 2 == 0 {
            world.say(ben, group, &format!("{CANARY} {n}")).await;
        }
    }
    let words = Some(CANARY.to_owned());
    let rename = tidings::domain::Changes { name: words.clone(), topic: words, ..Default::default() };
    world.change(ada, group, Change::Configure(rename)).await;
    world.change(ada, group, Change::DeleteConversation).await;
    world.purge().await;
    assert!(world.store.scrub().await.unwrap());
    assert!(!harness.holds(CANARY));
}

#[tokio::test]
async fn a_purge_that_was_cut_short_goes_on_after_a_restart() {
    let (mut world, harness) = world().await;
    let [ada] = world.users().await;
    let group = world.group(&[ada]).await;
    world.say(ada, group, CANARY).await;
    let connection = raw(&harness);
    let deleted = "UPDATE conversations SET deleted_at = 1; \
                   INSERT INTO jobs (kind, subject, begun_at, due_at, state) SELECT 'purge', id, 1, 1, '{}' FROM conversations";
    connection.execute_batch(deleted).unwrap();
    drop(connection);
    world.restart().await;
    world.purge().await;
    assert!(world.store.scrub().await.unwrap());
    assert!(!harness.holds(CANARY));
    let connection = raw(&harness);
    let left = connection.query_row("SELECT count(*) FROM jobs", [], |row| row.get::<_, i64>(0));
    assert_eq!(left.unwrap(), 0);
}

#[tokio::test]
async fn a_row_that_the_database_refuses_is_refused_alone() {
    let (world, harness) = world().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let connection = raw(&harness);
    connection.execute_batch("CREATE TRIGGER poison BEFORE INSERT ON events WHEN new.body = 'poison' BEGIN SELECT raise(ABORT, 'no'); END").unwrap();
    let to = Target::Conversation(group);
    let bodies = ["one", "poison", "two", "three", "poison", "four"];
    let batch: Vec<_> = bodies.iter().map(|body| world.message(ada, to, body)).collect();
    let answers = world.append(&batch).await;
    for (answer, body) in answers.iter().zip(bodies) {
        assert_eq!(matches!(answer, Err(Refusal::Invalid(_))), body == "poison", "{body}: {answer:?}");
    }
    assert_eq!(world.bodies(ben, group).await, ["one", "two", "three", "four"]);
    assert_eq!(world.seqs(ada, group).await, (1..=6).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_schema_of_a_newer_release_is_refused_with_advice() {
    let harness = SqliteHarness::new();
    harness.store().await;
    harness.close().await;
    let connection = raw(&harness);
    connection
        .execute_batch("INSERT INTO migrations (version, checksum) VALUES (9999, 'from the future')")
        .unwrap();
    let error = SqliteStore::open(harness.options(), harness.environment()).await.unwrap_err().to_string();
    assert!(error.contains("newer release") && error.contains("tidings.db"), "{error}");
}

#[tokio::test]
async fn a_schema_of_another_build_is_refused_with_advice() {
    let harness = SqliteHarness::new();
    harness.store().await;
    harness.close().await;
    raw(&harness).execute_batch("UPDATE migrations SET checksum = 'another' WHERE version = 1").unwrap();
    let error = SqliteStore::open(harness.options(), harness.environment()).await.unwrap_err().to_string();
    assert!(error.contains("other tables"), "{error}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_by_name() {
    let harness = SqliteHarness::new();
    std::fs::create_dir_all(harness.path().parent().unwrap()).unwrap();
    std::fs::write(harness.path(), "certainly no database, whatever its name says. ".repeat(100)).unwrap();
    let error = SqliteStore::open(harness.options(), harness.environment()).await.unwrap_err().to_string();
    assert!(error.contains("tidings.db") && error.contains("no database of Tidings"), "{error}");
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named() {
    let harness = SqliteHarness::new();
    std::fs::write(harness.directory.path().join("data"), "a file where the directory should be").unwrap();
    let error = SqliteStore::open(harness.options(), harness.environment()).await.unwrap_err().to_string();
    assert!(error.contains("cannot make its directory"), "{error}");
}

#[tokio::test]
async fn a_locked_file_is_a_definite_no_within_the_timeout_and_heals() {
    let (world, harness) = world().await;
    let [ada, ben] = world.users().await;
    let options = SqliteOptions { timeout_ms: 400, ..harness.options() };
    let store = SqliteStore::open(options, harness.environment()).await.unwrap();
    let other = raw(&harness);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let batch = [world.message(ada, Target::User(ben), "hi")];
    let error = store.append(&batch, world.now()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { definite: true, .. }), "{error}");
    assert!(store.ping().await.is_err());
    assert!(store.heads(ada, None).await.is_ok(), "reading goes on");
    other.execute_batch("ROLLBACK").unwrap();
    assert!(store.append(&batch, world.now()).await.unwrap()[0].is_ok());
}

#[tokio::test]
async fn a_caller_with_less_time_hears_what_the_store_knows() {
    let (world, harness) = world().await;
    let [ada, ben] = world.users().await;
    let options = SqliteOptions { timeout_ms: 60_000, ..harness.options() };
    let store = SqliteStore::open(options, harness.environment()).await.unwrap();
    let other = raw(&harness);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let batch = [world.message(ada, Target::User(ben), "hi")];
    let call = within(Duration::from_millis(100), store.append(&batch, world.now()));
    let error = tokio::time::timeout(Duration::from_secs(20), call).await.expect("in its time").unwrap_err();
    assert!(error.is_definite(), "nothing was begun: {error}");
    other.execute_batch("ROLLBACK").unwrap();
}

#[tokio::test]
async fn an_abandoned_call_leaves_the_store_usable() {
    let (world, _harness) = world().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    for n in 0..50_u64 {
        let batch: Vec<_> =
            (0..64).map(|_| world.message(ada, Target::Conversation(group), "perhaps")).collect();
        let call = world.store.append(&batch, world.now());
        let wait = tokio::time::timeout(Duration::from_micros(n * 40), call).await;
        // Whatever became of it: the same batch again is the same events.
        let again = world.append(&batch).await;
        assert!(again.iter().all(Result::is_ok), "round {n}, first answered: {}", wait.is_ok());
    }
    assert_eq!(world.bodies(ben, group).await.len(), 1_000, "a page's worth of the 3,200");
    let seqs = world.seqs(ada, group).await;
    assert_eq!(seqs, (1..=3_202).collect::<Vec<_>>());
    world.change(ada, group, Change::SetRole { user: ben, role: Role::Admin }).await;
}

#[tokio::test]
async fn a_closed_store_refuses_definitely() {
    let (world, harness) = world().await;
    let [ada] = world.users().await;
    harness.close().await;
    let error = world.store.heads(ada, None).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { definite: true, .. }));
}

/// A reader keeps its part of the write-ahead log, as a backup that copies for hours does.
#[tokio::test]
async fn a_reader_that_stays_holds_up_the_emptying_and_not_the_writer() {
    let (world, harness) = world().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ben, ada]).await;
    world.say(ada, group, CANARY).await;
    let reader = raw(&harness);
    reader.execute_batch("BEGIN").unwrap();
    reader.execute_batch("SELECT count(*) FROM events").unwrap();
    world.erase(ada).await;
    assert!(!world.store.scrub().await.unwrap(), "held up, and nobody waits for it");
    assert!(harness.holds(CANARY));
    world.say(ben, group, "goes on").await;
    reader.execute_batch("COMMIT").unwrap();
    assert!(world.store.scrub().await.unwrap(), "tried again");
    assert!(!harness.holds(CANARY));
}

#[tokio::test]
async fn a_deleted_message_leaves_the_write_ahead_log_too() {
    let (world, harness) = world().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ben, ada]).await;
    let said = world.say(ada, group, CANARY).await;
    world.change(ada, group, Change::Delete { target: said }).await;
    assert!(world.store.scrub().await.unwrap());
    assert!(!harness.holds(CANARY));
}
