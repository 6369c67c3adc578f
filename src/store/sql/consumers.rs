//! Cursors and leases of log consumers.

use async_trait::async_trait;
use uuid::Uuid;

use super::{Backend, Connection, Result, Sql, statement, values};
use crate::domain::{Position, Timestamp};
use crate::store::shared::columns::Columns;
use crate::store::{Consumers, Cursor, Holder, Lease, StoreError};

/// Several processes share a Postgres server, so its clock measures their leases. An embedded database has
/// one process.
const LEASE: Sql = statement! {
    postgres: "INSERT INTO consumers AS c (name, holder, holder_name, expires_at) \
               VALUES ($1, $2, $5, clock_timestamp() + $3 * interval '1 millisecond') \
               ON CONFLICT (name) DO UPDATE \
               SET holder = excluded.holder, holder_name = excluded.holder_name, expires_at = excluded.expires_at \
               WHERE c.holder IS NULL OR c.holder = excluded.holder OR c.expires_at <= clock_timestamp() \
               RETURNING epoch, position",
    sqlite: "INSERT INTO consumers AS c (name, holder, holder_name, expires_at) VALUES ($1, $2, $5, {lease_ms $4} + $3) \
             ON CONFLICT (name) DO UPDATE \
             SET holder = excluded.holder, holder_name = excluded.holder_name, expires_at = excluded.expires_at \
             WHERE c.holder IS NULL OR c.holder = excluded.holder OR c.expires_at <= {lease_ms $4} \
             RETURNING epoch, position",
};

/// Only who does not get the lease asks this, so a holder's renewal stays one round trip.
const HOLDER: Sql = statement!("SELECT holder_name FROM consumers WHERE name = $1 AND holder IS NOT NULL");

const ADVANCE: Sql =
    statement!("UPDATE consumers SET epoch = $3, position = $4 WHERE name = $1 AND holder = $2");

const RELEASE: Sql = statement!("UPDATE consumers SET holder = NULL WHERE name = $1 AND holder = $2");

async fn lease<C: Connection>(
    connection: &mut C,
    name: &str,
    holder: &Holder,
    lease_ms: i64,
    now: Timestamp,
) -> Result<Lease> {
    let asked = values![name, holder.id, lease_ms, now, holder.name.as_str()];
    let Some(row) = connection.optional(&LEASE, asked).await? else {
        let other = connection.optional(&HOLDER, values![name]).await?;
        return Ok(Lease::Taken { by: other.map(|row| row.text(0)).transpose()? });
    };
    let cursor = match (row.int_or_null(0)?, row.int_or_null(1)?) {
        (Some(epoch), Some(position)) => {
            Some(Cursor { epoch: epoch as u64, position: Position(position as u64) })
        }
        _ => None,
    };
    Ok(Lease::Held { cursor })
}

async fn advance<C: Connection>(
    connection: &mut C,
    name: &str,
    holder: Uuid,
    cursor: Cursor,
) -> Result<bool> {
    let (epoch, position) = (cursor.epoch as i64, cursor.position.0 as i64);
    Ok(connection.run(&ADVANCE, values![name, holder, epoch, position]).await? > 0)
}

async fn release<C: Connection>(connection: &mut C, name: &str, holder: Uuid) -> Result<()> {
    connection.run(&RELEASE, values![name, holder]).await.map(|_| ())
}

#[async_trait]
impl<B: Backend> Consumers for B {
    async fn lease(
        &self,
        name: &str,
        holder: &Holder,
        lease_ms: u64,
        now: Timestamp,
    ) -> std::result::Result<Lease, StoreError> {
        let lease_ms = i64::try_from(lease_ms).unwrap_or(i64::MAX);
        let asked = (name.to_owned(), holder.clone(), lease_ms, now);
        let leased = self.once(asked, |connection, (name, holder, lease_ms, now)| {
            Box::pin(lease(connection, name, holder, *lease_ms, *now))
        });
        leased.await
    }

    async fn advance(
        &self,
        name: &str,
        holder: Uuid,
        cursor: Cursor,
    ) -> std::result::Result<bool, StoreError> {
        let asked = (name.to_owned(), holder, cursor);
        let advanced = self.once(asked, |connection, (name, holder, cursor)| {
            Box::pin(advance(connection, name, *holder, *cursor))
        });
        advanced.await
    }

    async fn release(&self, name: &str, holder: Uuid) -> std::result::Result<(), StoreError> {
        let asked = (name.to_owned(), holder);
        let released =
            self.once(asked, |connection, (name, holder)| Box::pin(release(connection, name, *holder)));
        released.await
    }
}
