//! Cursors and leases of log consumers.

use async_trait::async_trait;
use sqlx::sqlite::SqliteConnection;
use uuid::Uuid;

use super::SqliteStore;
use super::failure::Stop;
use super::lane::Phase;
use crate::domain::{Position, Timestamp};
use crate::store::shared::columns::Columns;
use crate::store::{Consumers, Cursor, Lease, Outcome, StoreError};

/// What no rule can refuse.
fn unrefused<T>(outcome: Outcome<T>) -> Result<T, StoreError> {
    outcome?.map_err(|refusal| StoreError::Inconsistent(refusal.to_string()))
}

/// Runs `$work` on the writing connection, in one transaction.
macro_rules! write {
    ($store:expr, |$connection:ident| $work:expr) => {{
        let phase = Phase::default();
        let work = async {
            let mut transaction = $store.writer.begin().await?;
            let $connection: &mut SqliteConnection = &mut transaction;
            let worked = $work.await.map_err(Stop::from);
            transaction.finish(worked, &phase).await
        };
        unrefused(phase.bound($store.timeout, work).await)
    }};
}

async fn lease(
    connection: &mut SqliteConnection,
    name: &str,
    holder: Uuid,
    lease_ms: u64,
    now: Timestamp,
) -> sqlx::Result<Lease> {
    let row = sqlx::query(
        "INSERT INTO consumers (name, holder, expires_at) VALUES (?1, ?2, ?3 + ?4) ON CONFLICT (name) DO UPDATE SET \
         holder = ?2, expires_at = ?3 + ?4 WHERE holder IS NULL OR holder = ?2 OR expires_at <= ?3 \
         RETURNING epoch, position",
    )
    .bind(name)
    .bind(holder)
    .bind(now.as_unix_ms())
    .bind(i64::try_from(lease_ms).unwrap_or(i64::MAX))
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(Lease::Taken) };
    let cursor = match (row.int_or_null(0)?, row.int_or_null(1)?) {
        (Some(epoch), Some(position)) => {
            Some(Cursor { epoch: epoch as u64, position: Position(position as u64) })
        }
        _ => None,
    };
    Ok(Lease::Held { cursor })
}

async fn advance(
    connection: &mut SqliteConnection,
    name: &str,
    holder: Uuid,
    cursor: Cursor,
) -> sqlx::Result<bool> {
    let done = sqlx::query("UPDATE consumers SET epoch = ?3, position = ?4 WHERE name = ?1 AND holder = ?2")
        .bind(name)
        .bind(holder)
        .bind(cursor.epoch as i64)
        .bind(cursor.position.0 as i64)
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}

async fn release(connection: &mut SqliteConnection, name: &str, holder: Uuid) -> sqlx::Result<()> {
    sqlx::query("UPDATE consumers SET holder = NULL WHERE name = ?1 AND holder = ?2")
        .bind(name)
        .bind(holder)
        .execute(connection)
        .await?;
    Ok(())
}

#[async_trait]
impl Consumers for SqliteStore {
    async fn lease(
        &self,
        name: &str,
        holder: Uuid,
        lease_ms: u64,
        now: Timestamp,
    ) -> Result<Lease, StoreError> {
        write!(self, |connection| lease(connection, name, holder, lease_ms, now))
    }

    async fn advance(&self, name: &str, holder: Uuid, cursor: Cursor) -> Result<bool, StoreError> {
        write!(self, |connection| advance(connection, name, holder, cursor))
    }

    async fn release(&self, name: &str, holder: Uuid) -> Result<(), StoreError> {
        write!(self, |connection| release(connection, name, holder))
    }
}
