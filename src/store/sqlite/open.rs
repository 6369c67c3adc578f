//! Opening the file: how connections are set up, and bringing the schema up to date.

use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqlSafeStr};

use super::lane::{Lane, Phase};
use super::options::{Durability, SqliteOptions};
use super::scrub::Scrub;
use super::{SqliteStore, clean, position};
use crate::environment::SharedEnvironment;
use crate::store::StoreError;
use crate::store::shared::roster::Rosters;
use crate::store::sql::{self, Stop};

/// Pages of the write-ahead log after which they are copied into the file: 16 MiB, so that one fsync of the file serves
/// thousands of messages.
const CHECKPOINT_PAGES: &str = "4096";

/// The log file is cut back to this size after a checkpoint, in bytes.
const LOG_FILE_BYTES: &str = "67108864";

fn migrations() -> Migrator {
    let step = |version, name: &'static str, text: &'static str| {
        Migration::new(version, name.into(), MigrationType::Simple, text.into_sql_str(), false)
    };
    Migrator::with_migrations(vec![
        step(1, "schema", include_str!("../../../migrations/sqlite/0001_schema.sql")),
        step(2, "consumers", include_str!("../../../migrations/sqlite/0002_consumers.sql")),
    ])
}

impl SqliteStore {
    /// Opens the database, making the file, its directory and its tables when they are missing.
    ///
    /// # Errors
    /// [`StoreError`] whose text names the file and says what to do: the directory cannot be written, the file is no
    /// database, or a newer release has changed its schema.
    pub async fn open(
        options: SqliteOptions,
        environment: SharedEnvironment,
    ) -> Result<Arc<Self>, StoreError> {
        let path = options.path.display().to_string();
        let failed = |what: String| StoreError::definite(format!("database file {path}: {what}"));
        if let Some(directory) = options.path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            tokio::fs::create_dir_all(directory)
                .await
                .map_err(|error| failed(format!("cannot make its directory: {error}")))?;
        }
        let lacked_log = clean::lacks_log(&options.path);
        let mut connection = writing(&options)
            .connect()
            .await
            .map_err(|error| failed(format!("cannot be opened for writing: {error}")))?;
        migrate(&mut connection).await.map_err(&failed)?;
        let lost =
            clean::begun(&mut connection, lacked_log).await.map_err(|error| failed(error.to_string()))?;
        if lost {
            tracing::error!(
                %path,
                "the database was in use when it was copied, or its -wal file was removed: what was written last may be \
                 missing; clients compare everything with it"
            );
        }
        draw_epoch(&mut connection, &environment, lost).await.map_err(|error| failed(error.to_string()))?;
        connection.close().await.map_err(|error| failed(error.to_string()))?;
        let store = Arc::new(Self {
            writer: Lane::new(writing(&options), 1, "BEGIN IMMEDIATE", options.steps.clone()),
            reader: Lane::new(reading(&options), options.readers, "BEGIN", options.steps.clone()),
            readers: options.readers,
            rosters: Rosters::new(options.roster_cache_members),
            timeout: Duration::from_millis(options.timeout_ms),
            limits: options.limits,
            scrub: Scrub::new(
                &options,
                Lane::new(writing(&options), 1, "BEGIN", options.steps.clone()),
                environment,
            ),
        });
        Ok(store)
    }
}

fn common(options: &SqliteOptions) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(&options.path)
        .foreign_keys(false)
        // Another process at the same file (a backup, a maintenance job) is waited for, but not past our own timeout.
        .busy_timeout(Duration::from_millis(options.timeout_ms / 2))
        .statement_cache_capacity(256)
        .row_buffer_size(256)
        // No memory mapping: a failing disk would end the process by a signal instead of an error.
        .pragma("mmap_size", "0")
        .pragma("temp_store", "memory")
        // Else a statement over a batch may be planned as a walk through the whole table with a look into the batch for each
        // row: from some 100 rows on an index made for the batch seems cheap to the planner, which does not know the table.
        .pragma("automatic_index", "off")
        .disable_statement_logging()
}

fn cache(bytes: u64) -> String {
    format!("-{}", bytes / 1024)
}

fn writing(options: &SqliteOptions) -> SqliteConnectOptions {
    let synchronous = match options.durability {
        Durability::Full => SqliteSynchronous::Full,
        Durability::Normal => SqliteSynchronous::Normal,
    };
    common(options)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        .pragma("cache_size", cache(options.writer_cache_bytes))
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        .pragma("journal_size_limit", LOG_FILE_BYTES)
        // What is removed is overwritten with zeros rather than left in free pages.
        .pragma("secure_delete", "on")
}

fn reading(options: &SqliteOptions) -> SqliteConnectOptions {
    common(options).read_only(true).pragma("cache_size", cache(options.reader_cache_bytes))
}

async fn migrate(connection: &mut SqliteConnection) -> Result<(), String> {
    let migrations = migrations();
    let newest = migrations.iter().map(|migration| migration.version).max().unwrap_or(0);
    // `run` is generic over how it gets its connection, which makes this future impossible to send between threads.
    migrations.run_direct(None, connection, false).await.map_err(|error| match error {
        MigrateError::VersionMissing(version) => format!(
            "a newer release has written it (schema {version}, this release knows {newest}): run that release or a \
             newer one, or restore a backup from before it"
        ),
        MigrateError::VersionMismatch(version) => {
            format!("its schema {version} was made by a build with other tables: restore a backup or use that build")
        }
        MigrateError::Execute(error) => format!("cannot be read or written as a database: {error}"),
        other => format!("cannot be brought up to date: {other}"),
    })
}

/// The log's incarnation: drawn when the file is made, and anew when its end may be another than clients have seen.
async fn draw_epoch(
    connection: &mut SqliteConnection,
    environment: &SharedEnvironment,
    anew: bool,
) -> sql::Result<()> {
    let mut drawn = [0_u8; 8];
    environment.fill_random(&mut drawn);
    let statement = if anew {
        "INSERT OR REPLACE INTO meta (name, value) VALUES ('epoch', ?1)"
    } else {
        "INSERT OR IGNORE INTO meta (name, value) VALUES ('epoch', ?1)"
    };
    sqlx::query(statement).bind(i64::from_le_bytes(drawn)).execute(connection).await?;
    Ok(())
}

/// Writes a row of its own, which takes room in the log as every write does, and reads.
pub(super) async fn ping(store: &SqliteStore) -> Result<(), StoreError> {
    let phase = Phase::default();
    let work = async {
        let mut transaction = store.writer.begin().await?;
        let written = sqlx::query(
            "INSERT INTO meta (name, value) VALUES ('probe', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1",
        )
        .execute(&mut *transaction)
        .await;
        transaction.finish(written.map_err(Stop::from), &phase).await?.ok();
        let mut transaction = store.reader.begin().await?;
        let read = position::last(&mut transaction).await;
        transaction.end(read.map_err(Stop::from)).await
    };
    phase.bound(store.timeout, work).await.map(|_| ())
}
