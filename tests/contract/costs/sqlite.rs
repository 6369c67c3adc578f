//! Counts the steps of SQLite's virtual machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use tidings::domain::Limits;
use tidings::store::sqlite::{SqliteOptions, SqliteStore};

use super::{Meter, Rows, a_group_of_any_size_is_found, costs_do_not_grow};
use crate::harness::{SqliteHarness, World};

struct Steps {
    harness: Arc<SqliteHarness>,
    steps: Arc<AtomicU64>,
}

#[async_trait]
impl Meter for Steps {
    async fn spent(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    async fn fill(&self, statements: Vec<String>) {
        let connection = rusqlite::Connection::open(self.harness.path()).unwrap();
        for statement in statements {
            connection.execute_batch(&statement).expect(&statement);
        }
    }

    /// A walk through 100,000 rows takes 200,000 steps and more. The triggers that keep feeds do more for
    /// some messages than for others.
    fn allowed(&self, few: u64) -> u64 {
        few + few / 2 + 1_000
    }
}

#[tokio::test]
async fn no_operation_takes_more_steps_when_more_is_stored() {
    let harness = Arc::new(SqliteHarness::new());
    let steps = Arc::new(AtomicU64::new(0));
    let limits = Limits { group_members: 64, ..Limits::default() };
    let options = SqliteOptions { steps: Some(Arc::clone(&steps)), limits, ..harness.options() };
    let store = SqliteStore::open(options, harness.environment()).await.unwrap();
    let world = World::around(Arc::clone(&store) as _);
    a_group_of_any_size_is_found(&world, &*harness).await;
    let meter = Steps { harness: Arc::clone(&harness), steps };
    costs_do_not_grow(&world, &*harness, &meter, Rows::Sqlite).await;
    store.close().await;
}
