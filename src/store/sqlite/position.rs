//! The order of commits: which positions are taken.
//!
//! An event takes the next position and is written under it. A receipt or a membership without an event takes one too,
//! so that a cursor behind it sees that something moved and a cursor past it does not; such positions are kept in
//! `position_floor`. Positions therefore have holes, seqs never.

use crate::store::shared::columns::Columns;
use crate::store::sql;
use sqlx::sqlite::SqliteConnection;

/// The newest position taken, as an SQL expression.
macro_rules! last_position {
    () => {
        "(SELECT max(value, coalesce((SELECT max(position) FROM events), 0)) FROM meta WHERE name = 'position_floor')"
    };
}
pub(super) use last_position;

/// The newest position taken; 0 in an empty log.
pub(super) async fn last(connection: &mut SqliteConnection) -> sql::Result<u64> {
    sqlx::query(concat!("SELECT ", last_position!())).fetch_one(connection).await?.count(0)
}
