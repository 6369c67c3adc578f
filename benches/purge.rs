//! How long sends elsewhere wait while a conversation of 300,000 events is purged: `cargo bench --bench
//! purge` for the embedded store, `cargo bench --bench purge -- postgres` for one on a temporary Postgres
//! server of this machine. Ends with an error when the 99th percentile is 100 ms or more.

#![expect(clippy::disallowed_methods, reason = "a bench measures the time of the machine")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use metrics::Counter;
use tempfile::TempDir;
use tidings::actors::router::{Router, RouterOptions};
use tidings::consumers::jobs::JobRunner;
use tidings::domain::{
    ClientId, Content, ConversationId, ConversationKind, HistoryPolicy, JoinPolicy, Timestamp, User, UserId,
};
use tidings::environment::SystemEnvironment;
use tidings::store::postgres::{PostgresOptions, PostgresStore};
use tidings::store::sqlite::{SqliteOptions, SqliteStore};
use tidings::store::{Change, NewConversation, NewMessage, NewUser, SharedStore, Target};
use tidings::telemetry::Meters;
use tidings::telemetry::inspect::observed;
use uuid::Uuid;

#[path = "../tests/servers/mod.rs"]
#[expect(dead_code, reason = "tests use more of it than a bench does")]
mod servers;

use servers::postgres::{Options, Postgres};

const EVENTS: usize = 300_000;
const BATCH: usize = 250;
const NOW: Timestamp = Timestamp::from_unix_ms(1_800_000_000_000);
const BODY: &str =
    "Around a hundred bytes of text, as people write them to each other all day, more or less, on average.";

fn message(sender: UserId, conversation: ConversationId) -> NewMessage {
    NewMessage {
        sender,
        target: Target::Conversation(conversation),
        client_id: ClientId::from_uuid(Uuid::new_v4()),
        content: Content { body: Some(BODY.to_owned()), ..Content::default() },
    }
}

async fn group(store: &SharedStore, creator: UserId) -> ConversationId {
    let id = ConversationId::from_random(ConversationKind::Group, Uuid::new_v4());
    let (history, join) = (HistoryPolicy::FromJoin, JoinPolicy::Invite);
    let new = NewConversation { id, creator, members: Vec::new(), name: None, topic: None, history, join };
    store.create(&new, NOW).await.expect("an answer").expect("a group");
    id
}

async fn measure(store: SharedStore) {
    let id = UserId::from_uuid(Uuid::new_v4());
    let user = User { id, username: None, display_name: "ada".to_owned(), guest: true, created_at: NOW };
    let new = NewUser { user, password_hash: None, device_hash: None };
    store.create_user(&new).await.expect("a user");
    let (big, other) = (group(&store, id).await, group(&store, id).await);
    for _ in 0..EVENTS / BATCH {
        let batch: Vec<_> = (0..BATCH).map(|_| message(id, big)).collect();
        store.append(&batch, NOW).await.expect("an answer");
    }
    let began = Instant::now();
    store.change(id, big, &Change::DeleteConversation, NOW).await.expect("an answer").expect("deleted");
    println!("the deletion was answered after {:?}", began.elapsed());
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let purged = Arc::new(AtomicU64::new(0));
    let mut meters = Meters::new();
    meters.purge.done = Counter::from_arc(Arc::clone(&purged));
    let meters = Arc::new(meters);
    let (router, _repairs) = Router::new(Vec::new(), Arc::clone(&meters), RouterOptions::default());
    let jobs = JobRunner {
        process: "purge".to_owned(),
        store: Arc::clone(&store),
        router,
        environment: SystemEnvironment::shared(),
        meters,
        backlogs: Arc::default(),
        guests_after: None,
    };
    let working = tokio::spawn(jobs.run(stopping, observed().1));
    let mut waits = Vec::new();
    let began = Instant::now();
    while purged.load(Ordering::Relaxed) < EVENTS as u64 {
        for _ in 0..20 {
            let sent = Instant::now();
            store.append(&[message(id, other)], NOW).await.expect("an answer").remove(0).expect("a place");
            waits.push(sent.elapsed());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    println!("{EVENTS} events were purged within {:?}", began.elapsed());
    let _ = stop.send(true);
    working.await.expect("the job ends");
    waits.sort_unstable();
    let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize];
    let (p50, p99) = (at(0.5), at(0.99));
    println!("{} sends elsewhere: p50 {p50:?}, p99 {p99:?}, max {:?}", waits.len(), at(1.0));
    assert!(p99 < Duration::from_millis(100), "sends elsewhere waited for the purge");
}

#[tokio::main]
async fn main() {
    // `cargo test --benches`, and runners that ask for a list of tests, start it too.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    if std::env::args().any(|argument| argument.starts_with("postgres")) {
        let server = Postgres::start(Options { durable: true, ..Options::default() }).await;
        let options = PostgresOptions::new(server.database("bench").await);
        measure(PostgresStore::open(options, SystemEnvironment::shared()).await.expect("it opens")).await;
    } else {
        let directory = TempDir::new().expect("a temporary directory");
        let options = SqliteOptions::new(directory.path().join("bench.db"));
        measure(SqliteStore::open(options, SystemEnvironment::shared()).await.expect("it opens")).await;
    }
}
