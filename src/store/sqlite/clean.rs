//! One file after an orderly end, and a start that knows whether the last end was one.
//!
//! While the database is open its newest commits are in the write-ahead log beside it (`-wal`). An orderly end copies them into
//! the file and removes the log. A mark in the file says that it is open: a start that finds the mark and no log beside it has
//! a copy of the file alone, or a log that was removed. A log of another file cannot be told from the right one.

use std::path::{Path, PathBuf};

use sqlx::sqlite::SqliteConnection;

use super::SqliteStore;
use super::lane::Phase;
use crate::store::StoreError;
use crate::store::shared::columns::Columns;
use crate::store::sql::{self, Stop};

/// The write-ahead log beside a database file.
fn log_file(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

/// Whether there is a database without its log; asked before the first connection makes one.
pub(super) fn lacks_log(database: &Path) -> bool {
    std::fs::metadata(database).is_ok_and(|file| file.len() > 0) && !log_file(database).exists()
}

/// Marks the database as open, in the file itself. Answers whether what was written last may be missing.
pub(super) async fn begun(connection: &mut SqliteConnection, lacked_log: bool) -> sql::Result<bool> {
    let mark =
        sqlx::query("SELECT value FROM meta WHERE name = 'open'").fetch_optional(&mut *connection).await?;
    let was_open = mark.map(|row| row.int(0)).transpose()?.is_some_and(|value| value != 0);
    if !was_open {
        sqlx::query(
            "INSERT INTO meta (name, value) VALUES ('open', 1) ON CONFLICT (name) DO UPDATE SET value = 1",
        )
        .execute(&mut *connection)
        .await?;
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_all(&mut *connection).await?;
    }
    Ok(was_open && lacked_log)
}

impl SqliteStore {
    /// Waits for operations at work, refuses further ones, and closes the file: everything is in it then.
    pub async fn close(&self) {
        self.reader.close(self.readers).await;
        self.scrub.close().await;
        if let Err(error) = self.end().await {
            tracing::warn!(%error, "the write-ahead log could not be copied into the database: keep both files together");
        }
        self.writer.close(1).await;
    }

    async fn end(&self) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin().await?;
        let unmarked =
            sqlx::query("UPDATE meta SET value = 0 WHERE name = 'open'").execute(&mut *transaction).await;
        transaction.finish(unmarked.map_err(Stop::from), &Phase::default()).await?.ok();
        self.writer.checkpoint("PRAGMA wal_checkpoint(TRUNCATE)").await.map(|_| ())
    }
}
