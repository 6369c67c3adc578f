//! Behind a PgBouncer that changes connections with every transaction.

use std::sync::Arc;

use tidings::domain::{EventKind, Position, Role};
use tidings::store::postgres::PostgresStore;
use tidings::store::{Change, Log, NewMessage, Target};

use crate::harness::{PostgresHarness, World, body};
use crate::servers::pgbouncer::PgBouncer;

/// A world through a pooler, as three processes.
async fn worlds() -> (World, Vec<Arc<PostgresStore>>, Arc<PostgresHarness>, PgBouncer) {
    let harness = Arc::new(PostgresHarness::new().await);
    let pooler = PgBouncer::start(&harness.server).await;
    let mut options = harness.options();
    options.postgres.url = pooler.url(&harness.name).into();
    options.postgres.prepared = false;
    let mut stores = Vec::new();
    for _ in 0..3 {
        stores.push(PostgresStore::open(options.clone(), harness.environment()).await.unwrap());
    }
    (World::around(Arc::clone(&stores[0]) as _), stores, harness, pooler)
}

#[tokio::test]
async fn everything_works_without_keeping_anything_on_a_connection() {
    let (world, _stores, _harness, _pooler) = worlds().await;
    let [ada, ben, cid] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let start = world.store.end().await.unwrap();
    let said = world.say(ada, group, "hello").await;
    let direct = world.try_send(ben, Target::User(cid), "direct").await.unwrap();
    world
        .change(ada, group, Change::Edit { target: said, body: "hello again".to_owned(), client_id: None })
        .await;
    world.change(ben, group, Change::React { target: said, emoji: "👍".to_owned(), on: true }).await;
    world.change(ada, group, Change::Join { user: cid, role: Role::Member }).await;
    world.read_up_to(ben, group, said).await;
    assert_eq!(world.unread(ben, group).await, 0);
    assert_eq!(world.bodies(ada, group).await, ["hello again"]);
    assert_eq!(world.page(ben, group).await[0].reactions[0].count, 1);
    assert_eq!(world.heads(cid).await.len(), 2);
    assert_eq!(world.store.tail(start.position, 100).await.unwrap().committed.len(), 5);
    assert_eq!(world.store.stretch(group, said.previous(), 10).await.unwrap().len(), 4);
    world.store.ping().await.unwrap();
    assert_eq!(world.erase(ben).await.len(), 2);
    let events = world.events(cid, direct.conversation).await;
    assert!(matches!(&events[0].kind, EventKind::Message(message) if message.deleted));
    assert_eq!(body(&events[0]), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_callers_than_connections_share_them() {
    let (world, stores, _harness, _pooler) = worlds().await;
    let [ada, ben] = world.users().await;
    let mut conversations = Vec::new();
    for _ in 0..4 {
        conversations.push(world.group(&[ada, ben]).await);
    }
    let mut working = Vec::new();
    for worker in 0..12 {
        let store = Arc::clone(&stores[worker % stores.len()]);
        let batches: Vec<Vec<NewMessage>> = (0..15)
            .map(|n| {
                (0..5)
                    .map(|at| world.message(ada, Target::Conversation(conversations[(n + at) % 4]), "hi"))
                    .collect()
            })
            .collect();
        let now = world.now();
        working.push(tokio::spawn(async move {
            for batch in batches {
                assert!(store.append(&batch, now).await.unwrap().iter().all(Result::is_ok));
                store.heads(ben, None).await.unwrap();
                store.tail(Position(0), 10).await.unwrap();
            }
        }));
    }
    for work in working {
        work.await.unwrap();
    }
    let mut seen = 0;
    for conversation in conversations {
        let seqs = world.seqs(ada, conversation).await;
        assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
        seen += seqs.len() - 2;
    }
    assert_eq!(seen, 12 * 15 * 5);
}
