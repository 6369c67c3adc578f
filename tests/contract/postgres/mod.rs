//! Promises of the Postgres store only: several processes at once, servers that fail, replicas that lag.

mod erasure;
mod faults;
mod feeds;
mod grants;
mod late;
mod lent;
mod pooler;
mod races;
mod replicas;
mod rows;
mod schema;
mod tail;
mod tls;
pub mod trips;

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::AssertSqlSafe;
use tidings::store::SharedStore;
use tidings::store::postgres::PostgresStore;

use crate::harness::{Harness, PostgresHarness, World};

/// A harness that a test keeps a hand on.
struct Shared(Arc<PostgresHarness>);

#[async_trait]
impl Harness for Shared {
    async fn store(&self) -> SharedStore {
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

async fn world() -> (World, Arc<PostgresHarness>) {
    let harness = Arc::new(PostgresHarness::new().await);
    (World::over(Box::new(Shared(Arc::clone(&harness)))).await, harness)
}

/// A second process at the same database.
async fn another(harness: &PostgresHarness) -> Arc<PostgresStore> {
    PostgresStore::open(harness.options(), harness.environment()).await.unwrap()
}

/// Runs statements on the harness's database, past the store.
async fn run(harness: &PostgresHarness, statements: &str) {
    let mut connection = harness.connection().await;
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&mut connection).await.expect(statements);
}

/// One number from the harness's database.
async fn number(harness: &PostgresHarness, statement: &'static str) -> i64 {
    let mut connection = harness.connection().await;
    sqlx::query_scalar(statement).fetch_one(&mut connection).await.expect(statement)
}
