//! Cursors and leases of log consumers. Leases are timed by the database's clock.

use async_trait::async_trait;
use uuid::Uuid;

use super::PostgresStore;
use super::link::Link;
use super::work::{unrefused, write};
use crate::domain::{Position, Timestamp};
use crate::store::shared::columns::Columns;
use crate::store::{Consumers, Cursor, Lease, StoreError};

async fn lease(link: &mut Link, name: &str, holder: Uuid, lease_ms: u64) -> sqlx::Result<Lease> {
    let statement = sqlx::query(
        "INSERT INTO consumers AS c (name, holder, expires_at) \
         VALUES ($1, $2, clock_timestamp() + $3 * interval '1 millisecond') \
         ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at \
         WHERE c.holder IS NULL OR c.holder = excluded.holder OR c.expires_at <= clock_timestamp() \
         RETURNING epoch, position",
    )
    .bind(name)
    .bind(holder)
    .bind(i64::try_from(lease_ms).unwrap_or(i64::MAX));
    let Some(row) = link.optional(statement).await? else { return Ok(Lease::Taken) };
    let cursor = match (row.int_or_null(0)?, row.int_or_null(1)?) {
        (Some(epoch), Some(position)) => {
            Some(Cursor { epoch: epoch as u64, position: Position(position as u64) })
        }
        _ => None,
    };
    Ok(Lease::Held { cursor })
}

async fn advance(link: &mut Link, name: &str, holder: Uuid, cursor: Cursor) -> sqlx::Result<bool> {
    let statement =
        sqlx::query("UPDATE consumers SET epoch = $3, position = $4 WHERE name = $1 AND holder = $2")
            .bind(name)
            .bind(holder)
            .bind(cursor.epoch as i64)
            .bind(cursor.position.0 as i64);
    Ok(link.run(statement).await? > 0)
}

async fn release(link: &mut Link, name: &str, holder: Uuid) -> sqlx::Result<()> {
    let statement = sqlx::query("UPDATE consumers SET holder = NULL WHERE name = $1 AND holder = $2");
    link.run(statement.bind(name).bind(holder)).await.map(|_| ())
}

#[async_trait]
impl Consumers for PostgresStore {
    async fn lease(
        &self,
        name: &str,
        holder: Uuid,
        lease_ms: u64,
        _now: Timestamp,
    ) -> Result<Lease, StoreError> {
        unrefused(write!(self, |link| lease(link, name, holder, lease_ms)))
    }

    async fn advance(&self, name: &str, holder: Uuid, cursor: Cursor) -> Result<bool, StoreError> {
        unrefused(write!(self, |link| advance(link, name, holder, cursor)))
    }

    async fn release(&self, name: &str, holder: Uuid) -> Result<(), StoreError> {
        unrefused(write!(self, |link| release(link, name, holder)))
    }
}
