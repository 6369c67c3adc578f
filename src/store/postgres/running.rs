//! The open transactions that hold back the end of the log.

use crate::domain::Position;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::connection::Connection;
use crate::store::shared::columns::Columns;
use crate::store::sql::{self, Backend, Connection as _, Sql, statement};
use crate::store::{Running, StoreError};

const RUNNING: Sql = statement!(postgres:
    "SELECT m.value + pg_snapshot_xmax(s.now)::text::bigint, \
    ARRAY(SELECT m.value + x.number::text::bigint FROM pg_snapshot_xip(s.now) AS x (number)) \
FROM meta m, (SELECT pg_current_snapshot() AS now) s WHERE m.name = 'position_base'",
);

pub(super) async fn running(store: &PostgresStore) -> Result<Running, StoreError> {
    store.read((), |connection, ()| Box::pin(undecided(connection))).await
}

async fn undecided(connection: &mut Connection) -> sql::Result<Running> {
    let row = connection.one(&RUNNING, &[]).await?;
    let numbers = row.ints(1)?.unwrap_or_default();
    let numbers = numbers.into_iter().map(|number| Position(number.cast_unsigned())).collect();
    Ok(Running { numbers, next: Position(row.count(0)?) })
}
