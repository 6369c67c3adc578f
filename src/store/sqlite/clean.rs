//! One file after an orderly end, and a start that detects whether the last end was orderly.
//!
//! While the database is open, its newest commits are in the write-ahead log beside it (`-wal`). An orderly
//! end copies them into the file and removes the log. A mark in the file says that it is open. A start that
//! finds the mark and no log has a copy of the file alone, or a log that was removed. The code cannot detect
//! the log of another file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::SqliteStore;
use super::connection::Connection;
use crate::store::StoreError;
use crate::store::shared::columns::Columns;
use crate::store::sql::{self, Backend, Sql, statement};

/// The write-ahead log beside a database file.
fn log_file(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

/// Whether a database exists without its log. Call it before the first connection creates a log.
pub(super) fn lacks_log(database: &Path) -> bool {
    std::fs::metadata(database).is_ok_and(|file| file.len() > 0) && !log_file(database).exists()
}

/// Marks the database as open, in the file itself. Returns whether the newest writes may be missing.
pub(super) fn begun(connection: &Connection, lacked_log: bool) -> sql::Result<bool> {
    let mark = connection.rows("SELECT value FROM meta WHERE name = 'open'", &[])?;
    let was_open = mark.first().map(|row| row.flag(0)).transpose()?.unwrap_or_default();
    if !was_open {
        connection.execute(
            "INSERT INTO meta (name, value) VALUES ('open', 1) ON CONFLICT (name) DO UPDATE SET value = 1",
            &[],
        )?;
        connection.rows("PRAGMA wal_checkpoint(TRUNCATE)", &[])?;
    }
    Ok(was_open && lacked_log)
}

const ENDED: Sql = statement!(sqlite: "UPDATE meta SET value = 0 WHERE name = 'open'");

/// The code that closes the store has its own time limit.
const AS_LONG_AS_IT_TAKES: Duration = Duration::from_secs(3_600);

impl SqliteStore {
    /// Waits for running operations, refuses new ones, and closes the file. Then the file contains
    /// everything.
    pub async fn close(&self) {
        self.reader.close().await;
        self.scrub.close().await;
        if let Err(error) = self.end().await {
            tracing::warn!(%error, "the write-ahead log could not be copied into the database: keep both files together");
        }
        self.writer.close().await;
    }

    async fn end(&self) -> Result<(), StoreError> {
        self.write((), |connection, ()| Box::pin(sql::Connection::run(connection, &ENDED, &[]))).await?;
        self.checkpoint(&self.writer, AS_LONG_AS_IT_TAKES, "PRAGMA wal_checkpoint(TRUNCATE)")
            .await
            .map(|_| ())
    }
}
