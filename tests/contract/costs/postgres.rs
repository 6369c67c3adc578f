//! Counts the pages that Postgres touches.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::AssertSqlSafe;
use tidings::domain::Limits;
use tidings::store::postgres::PostgresOptions;

use super::{Meter, Rows, a_group_of_any_size_is_found, costs_do_not_grow};
use crate::harness::{PostgresHarness, World};
use crate::servers::postgres::{Options, Postgres};

struct Pages(Arc<PostgresHarness>);

#[async_trait]
impl Meter for Pages {
    async fn spent(&self) -> u64 {
        let mut connection = self.0.server.connect("postgres").await;
        // A statement's pages include those of the statements inside the functions it calls.
        let spent: i64 = sqlx::query_scalar(
            "SELECT coalesce(sum(shared_blks_hit + shared_blks_read), 0)::bigint FROM pg_stat_statements s \
             JOIN pg_database d ON d.oid = s.dbid WHERE d.datname = $1 AND s.toplevel",
        )
        .bind(&self.0.name)
        .fetch_one(&mut connection)
        .await
        .unwrap();
        spent as u64
    }

    async fn fill(&self, statements: Vec<String>) {
        let mut connection = self.0.connection().await;
        for statement in statements {
            sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(&mut connection).await.expect(&statement);
        }
        // As autovacuum does, which these tests switch off: plans are made anew from what it found.
        sqlx::raw_sql("ANALYZE").execute(&mut connection).await.unwrap();
    }

    /// A tree of 100,000 rows is a level higher than one of 1,000.
    fn allowed(&self, few: u64) -> u64 {
        few + few / 2 + 60
    }

    async fn dearest(&self) -> String {
        let mut connection = self.0.server.connect("postgres").await;
        let rows: Vec<String> = sqlx::query_scalar(
            "SELECT format('%s pages in %s calls: %s', shared_blks_hit + shared_blks_read, calls, left(query, 400)) \
             FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid WHERE d.datname = $1 \
             ORDER BY (shared_blks_hit + shared_blks_read) / calls DESC LIMIT 25",
        )
        .bind(&self.0.name)
        .fetch_all(&mut connection)
        .await
        .unwrap();
        sqlx::query("SELECT pg_stat_statements_reset()").execute(&mut connection).await.unwrap();
        rows.join("\n")
    }
}

#[tokio::test]
async fn no_operation_touches_more_pages_when_more_is_stored() {
    let settings = vec![
        ("shared_preload_libraries", "pg_stat_statements".to_owned()),
        ("pg_stat_statements.track", "all".to_owned()),
        ("pg_stat_statements.save", "off".to_owned()),
    ];
    let server = Arc::new(Postgres::start(Options { settings, ..Options::default() }).await);
    server.run("CREATE EXTENSION pg_stat_statements").await;
    let harness = Arc::new(PostgresHarness::on(server).await);
    let limits = Limits { group_members: 64, ..Limits::default() };
    let store = harness.open_with(PostgresOptions { limits, ..harness.options() }).await;
    let world = World::around(Arc::clone(&store) as _);
    a_group_of_any_size_is_found(&world, &*harness).await;
    costs_do_not_grow(&world, &*harness, &Pages(Arc::clone(&harness)), Rows::Postgres).await;
    store.close().await;
}
