//! Is the database there, for writing and for reading?

use super::PostgresStore;
use super::link::Link;
use super::work::{read, unrefused, write};
use crate::store::StoreError;
use crate::store::sql;

/// Takes a lock that nobody waits for, and reads.
pub(super) async fn ping(store: &PostgresStore) -> Result<(), StoreError> {
    unrefused(write!(store, |link| locked(link)))?;
    unrefused(read!(store, reader, |link| reached(link)))
}

/// A lock on a row is refused by a server that does not write, as an update is, and leaves nothing for vacuum.
async fn locked(link: &mut Link) -> sql::Result<()> {
    let statement = sqlx::query("SELECT 1 FROM meta WHERE name = 'schema' FOR KEY SHARE");
    link.run(statement).await.map(|_| ())
}

async fn reached(link: &mut Link) -> sql::Result<()> {
    link.run(sqlx::query("SELECT tidings_end()")).await.map(|_| ())
}
