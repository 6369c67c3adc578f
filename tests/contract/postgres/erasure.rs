//! Erasure of an account while another transaction stays open.

use std::time::Duration;

use sqlx::Connection;
use tidings::store::{JobKind, Target};

use super::{number, world};
use crate::harness::PostgresHarness;

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
    let ending = async {
        // What is there goes before the transaction ends; the account's erasure is not done before.
        while number(&harness, "SELECT count(*) FROM events WHERE body IS NOT NULL").await > 0
            || number(&harness, "SELECT count(*) FROM members").await > 1
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert_eq!(world.store.backlog(JobKind::Erasure).await.unwrap().jobs, 1);
        elsewhere.close().await.unwrap();
    };
    let (committed, ()) = tokio::join!(world.finish_jobs(), ending);
    assert_eq!(committed.len(), 1, "she left once");
    assert!(world.bodies(ben, group).await.is_empty());
}
