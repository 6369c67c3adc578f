//! Erasure of an account while another transaction stays open.

use sqlx::Connection;
use tidings::store::{JobKind, Target};

use super::{number, world};
use crate::harness::PostgresHarness;

/// Many times as long as an erasure waits for older transactions before it begins.
const LONG_MS: i64 = 30_000;

/// A session in another database of the server, with a transaction that has a number and stays open.
async fn open_elsewhere(harness: &PostgresHarness) -> sqlx::PgConnection {
    let mut elsewhere = harness.server.connect("postgres").await;
    sqlx::raw_sql("BEGIN; SELECT pg_current_xact_id()").execute(&mut elsewhere).await.unwrap();
    elsewhere
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_open_elsewhere_makes_an_erasure_last_longer_and_not_fail() {
    let (world, harness) = world().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ben, ada]).await;
    let batch: Vec<_> =
        (0..250).map(|_| world.message(ada, Target::Conversation(group), "a secret")).collect();
    world.append(&batch).await;
    let elsewhere = open_elsewhere(&harness).await;
    world.store.erase(ada, world.now()).await.unwrap().unwrap();
    let (mut committed, mut later_ms) = (Vec::new(), 0);
    // What is there goes before the transaction ends; the account's erasure is not done, however long it
    // waits.
    while number(&harness, "SELECT count(*) FROM events WHERE body IS NOT NULL").await > 0
        || number(&harness, "SELECT count(*) FROM members").await > 1
        || later_ms < LONG_MS
    {
        let now = world.now().plus_ms(later_ms);
        committed.extend(world.store.work(JobKind::Erasure, now).await.unwrap().committed);
        later_ms += 200;
        assert!(later_ms < 100 * LONG_MS, "what is there never goes");
    }
    assert_eq!(world.store.backlog(JobKind::Erasure).await.unwrap().jobs, 1);
    elsewhere.close().await.unwrap();
    committed.extend(world.finish_jobs().await);
    assert_eq!(committed.len(), 1, "she left once");
    assert!(world.bodies(ben, group).await.is_empty());
}
