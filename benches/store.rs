//! How fast a store is: `cargo bench --bench store` for the embedded one, `cargo bench --bench store --
//! postgres` for one on a temporary Postgres server of this machine.
//!
//! `append/N` is one durable commit of N messages over 200 groups (throughput in messages), `one_room/N` the
//! same into one; `history`, `range` and `tail` read from a conversation of 1,000, 100,000 and 1,000,000
//! events; `heads` resumes a user of 10, 100 and 1,000 conversations.

use std::cell::Cell;
use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tempfile::TempDir;
use tidings::config::Synchronous;
use tidings::domain::{
    ClientId, Content, ConversationId, ConversationKind, HistoryPolicy, JoinPolicy, Position, Seq, Timestamp,
    User, UserId,
};
use tidings::environment::SystemEnvironment;
use tidings::store::postgres::{PostgresOptions, PostgresStore};
use tidings::store::sqlite::{SqliteOptions, SqliteStore};
use tidings::store::{
    Cursor, HistoryQuery, NewConversation, NewMessage, NewUser, RangeQuery, Receipt, SharedStore, Target,
};
use tokio::runtime::Runtime;
use uuid::Uuid;

const NOW: Timestamp = Timestamp::from_unix_ms(1_800_000_000_000);

#[path = "../tests/servers/mod.rs"]
#[expect(dead_code, reason = "tests use more of it than a bench does")]
mod servers;

use servers::postgres::{Options, Postgres};

/// Whether Postgres was asked for; the word is also a part of its benchmarks' names, so that the filter lets
/// them pass.
fn on_postgres() -> bool {
    std::env::args().any(|argument| argument.starts_with("postgres"))
}

/// The name of a group of benchmarks.
fn named(name: &str) -> String {
    if on_postgres() { format!("postgres_{name}") } else { name.to_owned() }
}

/// Where the store lies, for as long as it is measured.
enum Place {
    File { _directory: TempDir },
    Server { _server: Box<Postgres> },
}

async fn open(synchronous: Synchronous) -> (SharedStore, Place) {
    if on_postgres() {
        let durable = synchronous == Synchronous::Full;
        let server = Postgres::start(Options { durable, ..Options::default() }).await;
        let options = PostgresOptions::new(server.database("bench").await);
        let store = PostgresStore::open(options, SystemEnvironment::shared()).await.expect("it opens");
        return (store, Place::Server { _server: Box::new(server) });
    }
    let directory = TempDir::new().expect("a temporary directory");
    let mut options = SqliteOptions::new(directory.path().join("bench.db"));
    options.sqlite.synchronous = synchronous;
    let store = SqliteStore::open(options, SystemEnvironment::shared()).await.expect("it opens");
    (store, Place::File { _directory: directory })
}

struct Bench {
    runtime: Runtime,
    store: SharedStore,
    users: Vec<UserId>,
    next: Cell<u128>,
    _place: Place,
}

impl Bench {
    fn new(synchronous: Synchronous) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (store, place) = runtime.block_on(open(synchronous));
        let mut bench = Self { runtime, store, users: Vec::new(), next: Cell::new(1), _place: place };
        for n in 0..100 {
            let id = UserId::from_uuid(bench.uuid());
            let user =
                User { id, username: None, display_name: format!("user {n}"), guest: true, created_at: NOW };
            let new = NewUser { user, password_hash: None, device_hash: None };
            bench.runtime.block_on(bench.store.create_user(&new)).expect("a user");
            bench.users.push(id);
        }
        bench
    }

    /// Spread like random ids, yet the same in every run.
    fn uuid(&self) -> Uuid {
        let n = self.next.get();
        self.next.set(n + 1);
        Uuid::from_u128(n.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835))
    }

    fn group(&self, members: &[UserId]) -> ConversationId {
        let id = ConversationId::from_random(ConversationKind::Group, self.uuid());
        let new = NewConversation {
            id,
            creator: members[0],
            members: members[1..].to_vec(),
            name: None,
            topic: None,
            history: HistoryPolicy::FromJoin,
            join: JoinPolicy::Invite,
        };
        self.runtime.block_on(self.store.create(&new, NOW)).expect("an answer").expect("a group");
        id
    }

    fn batch(&self, rooms: &[(ConversationId, UserId)], size: usize) -> Vec<NewMessage> {
        let body = "Around a hundred bytes of text, as people write them to each other all day, more or less, on average.";
        (0..size)
            .map(|_| {
                let (conversation, sender) = rooms[self.next.get() as usize % rooms.len()];
                NewMessage {
                    sender,
                    target: Target::Conversation(conversation),
                    client_id: ClientId::from_uuid(self.uuid()),
                    content: Content { body: Some(body.to_owned()), ..Content::default() },
                }
            })
            .collect()
    }

    fn append(&self, batch: &[NewMessage]) {
        let answers = self.runtime.block_on(self.store.append(batch, NOW)).expect("an answer");
        assert!(answers.iter().all(Result::is_ok));
        black_box(answers);
    }
}

fn append(criterion: &mut Criterion) {
    for (name, synchronous) in [("append", Synchronous::Full), ("append_normal", Synchronous::Normal)] {
        let bench = Bench::new(synchronous);
        let rooms: Vec<(ConversationId, UserId)> = (0..200)
            .map(|n| {
                let members = [bench.users[n % 100], bench.users[(n + 1) % 100], bench.users[(n + 7) % 100]];
                (bench.group(&members), members[n % 3])
            })
            .collect();
        let mut group = criterion.benchmark_group(named(name));
        for size in [1, 16, 64, 128, 256] {
            group.throughput(Throughput::Elements(size as u64));
            group.bench_function(size.to_string(), |bencher| {
                bencher.iter_batched(
                    || bench.batch(&rooms, size),
                    |batch| bench.append(&batch),
                    criterion::BatchSize::PerIteration,
                );
            });
        }
        group.finish();
        let mut group = criterion.benchmark_group(named(&format!("{name}_one_room")));
        group.throughput(Throughput::Elements(256));
        group.bench_function("256", |bencher| {
            bencher.iter_batched(
                || bench.batch(&rooms[..1], 256),
                |batch| bench.append(&batch),
                criterion::BatchSize::PerIteration,
            );
        });
        group.finish();
    }
}

fn reading(criterion: &mut Criterion) {
    for events in [1_000_u64, 100_000, 1_000_000] {
        let bench = Bench::new(Synchronous::Normal);
        let user = bench.users[0];
        let conversation = bench.group(&bench.users[..3]);
        for _ in 0..events / 500 {
            bench.append(&bench.batch(&[(conversation, user)], 500));
        }
        let middle = Seq::new(events / 2).expect("a seq");
        let mut group = criterion.benchmark_group(named(&format!("{events}_events")));
        let history =
            |before| HistoryQuery { conversation, before, after: None, limit: 50, max_bytes: usize::MAX };
        for (name, query) in
            [("history_newest_50", history(None)), ("history_middle_50", history(Some(middle)))]
        {
            group.bench_function(name, |bencher| {
                bencher.iter(|| {
                    let page = bench.runtime.block_on(bench.store.history(user, query));
                    assert_eq!(page.expect("an answer").expect("a page").messages.len(), 50);
                });
            });
        }
        let query = RangeQuery { conversation, after: middle, limit: 100, max_bytes: 1 << 20 };
        group.bench_function("range_100", |bencher| {
            bencher.iter(|| {
                let range = bench.runtime.block_on(bench.store.range(user, query));
                assert_eq!(range.expect("an answer").expect("a range").events.len(), 100);
            });
        });
        let end = bench.runtime.block_on(bench.store.end()).expect("the end").position;
        group.bench_function("tail_100", |bencher| {
            bencher.iter(|| {
                // Postgres hands out whole batches, of 500 here.
                let tail = bench.runtime.block_on(bench.store.tail(Position(end.0 - 100), 100));
                assert!(tail.expect("an answer").committed.len() >= 100);
            });
        });
        group.finish();
    }
}

fn resuming(criterion: &mut Criterion) {
    let bench = Bench::new(Synchronous::Normal);
    let mut group = criterion.benchmark_group(named("heads"));
    for (user, rooms) in [(1, 10), (2, 100), (3, 1_000)] {
        let members = [bench.users[user], bench.users[0]];
        let all: Vec<ConversationId> = (0..rooms).map(|_| bench.group(&members)).collect();
        group.bench_function(format!("all_of_{rooms}"), |bencher| {
            bencher.iter(|| {
                let heads = bench.runtime.block_on(bench.store.heads(members[0], None)).expect("heads");
                assert_eq!(heads.heads.len(), rooms);
            });
        });
        let cursor: Cursor = bench.runtime.block_on(bench.store.end()).expect("the end");
        bench.append(&bench.batch(&[(all[0], members[1])], 1));
        group.bench_function(format!("one_of_{rooms}"), |bencher| {
            bencher.iter(|| {
                let heads =
                    bench.runtime.block_on(bench.store.heads(members[0], Some(cursor))).expect("heads");
                assert_eq!(heads.heads.len(), 1);
            });
        });
    }
    group.finish();
}

fn receipts(criterion: &mut Criterion) {
    let bench = Bench::new(Synchronous::Full);
    let conversation = bench.group(&bench.users[..3]);
    for _ in 0..40 {
        bench.append(&bench.batch(&[(conversation, bench.users[0])], 500));
    }
    let rooms: Vec<ConversationId> = (0..64).map(|_| bench.group(&bench.users[..3])).collect();
    for room in &rooms {
        bench.append(&bench.batch(&[(*room, bench.users[0])], 200));
    }
    let mut group = criterion.benchmark_group(named("receipts"));
    group.throughput(Throughput::Elements(64));
    let read = Cell::new(1_u64);
    group.bench_function("64", |bencher| {
        bencher.iter(|| {
            read.set(read.get() % 200 + 1);
            let seq = Seq::new(read.get() + 3);
            let receipts: Vec<Receipt> = rooms
                .iter()
                .map(|room| Receipt { user: bench.users[1], conversation: *room, delivered: None, read: seq })
                .collect();
            black_box(bench.runtime.block_on(bench.store.move_receipts(&receipts, NOW)).expect("an answer"));
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(4));
    targets = append, reading, resuming, receipts
}
criterion_main!(benches);
