//! Feeds on a Postgres server.

use std::sync::Arc;

use tidings::domain::Limits;
use tidings::store::postgres::PostgresOptions;

use super::a_group_of_any_size_is_found;
use crate::harness::{PostgresHarness, World};

#[tokio::test]
async fn a_group_that_grows_and_shrinks_is_found_by_its_members() {
    let harness = PostgresHarness::new().await;
    let limits = Limits { group_members: 64, ..Limits::default() };
    let store = harness.open_with(PostgresOptions { limits, ..harness.options() }).await;
    let world = World::around(Arc::clone(&store) as _);
    a_group_of_any_size_is_found(&world, &harness).await;
    store.close().await;
}
