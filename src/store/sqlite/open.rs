//! Opens the file: the setup of connections, and the work before the first operation.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use metrics::Gauge;
use rusqlite::OpenFlags;
use rusqlite::config::DbConfig;

use super::connection::Connection;
use super::migrations::migrate;
use super::options::SqliteOptions;
use super::pool::Pool;
use super::scrub::Scrub;
use super::worker::{Connect, Watched};
use super::{SqliteStore, clean};
use crate::config::Synchronous;
use crate::environment::SharedEnvironment;
use crate::store::StoreError;
use crate::store::shared::roster::Rosters;
use crate::store::sql::{self, values};
use crate::telemetry::meters::StoreQueueMeters;

/// Pages of the write-ahead log after which they are copied into the file: 16 MiB, so that one fsync of the
/// file serves thousands of messages.
const CHECKPOINT_PAGES: u32 = 4_096;

/// The log file is cut back to this size after a checkpoint, in bytes.
const LOG_FILE_BYTES: u64 = 64 << 20;

/// The maximum number of operations that wait for the writing thread, and for the reading threads.
const MOST_WRITES_WAITING: usize = 1_024;
const MOST_READS_WAITING: usize = 4_096;

/// The maximum number of prepared statements of a connection; the code has fewer.
const PREPARED: usize = 256;

/// The number of steps of SQLite's virtual machine between two checks whether the caller still waits, and the
/// counter of the steps.
const WATCHED_STEPS: i32 = 1_000;
const COUNTED_STEPS: i32 = 16;

impl SqliteStore {
    /// Opens the database, and creates the file, its directory and its tables if they are missing.
    ///
    /// # Errors
    /// [`StoreError`] whose text names the file and the remedy: the directory cannot be written, the file is
    /// not a database, or a newer release has changed its schema.
    pub async fn open(
        options: SqliteOptions,
        environment: SharedEnvironment,
    ) -> Result<Arc<Self>, StoreError> {
        let path = options.path.display().to_string();
        let failed = |what: String| StoreError::definite(format!("database file {path}: {what}"));
        let mut drawn = [0_u8; 8];
        environment.fill_random(&mut drawn);
        let epoch = i64::from_le_bytes(drawn);
        let prepared = {
            let options = options.clone();
            tokio::task::spawn_blocking(move || prepare(&options, epoch)).await
        };
        prepared.map_err(|error| failed(error.to_string()))?.map_err(failed)?;
        let (writing, reading) = (connect(&options, writer), connect(&options, reader));
        let queues = StoreQueueMeters::new();
        let pool = |name, threads, most_waiting, connect, waiting| {
            Pool::start(name, threads, most_waiting, connect, &environment, waiting)
        };
        // One of its operations waits at most, for nobody: it has no gauge.
        let scrubbing = pool("sqlite-scrub", 1, 1, &writing, Gauge::noop())?;
        let writer = pool("sqlite-write", 1, MOST_WRITES_WAITING, &writing, queues.waiting_writes)?;
        let reader = pool(
            "sqlite-read",
            options.sqlite.readers as usize,
            MOST_READS_WAITING,
            &reading,
            queues.waiting_reads,
        )?;
        let store = Arc::new(Self {
            writer,
            reader,
            rosters: Rosters::new(options.roster_cache_members),
            timeout: Duration::from_millis(options.timeout_ms),
            wait_for_others: wait_for_others(&options),
            scrub: Scrub::new(&options, scrubbing, environment),
            limits: options.limits,
            consent: options.consent,
        });
        Ok(store)
    }
}

/// All work before the first operation. `epoch`: the log's epoch if it needs a new one.
fn prepare(options: &SqliteOptions, epoch: i64) -> Result<(), String> {
    if let Some(directory) = options.path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        std::fs::create_dir_all(directory).map_err(|error| format!("cannot make its directory: {error}"))?;
    }
    let lacked_log = clean::lacks_log(&options.path);
    let connection = writer(options, &Watched::default()).map_err(|error| not_opened(&error))?;
    migrate(&connection)?;
    let lost = clean::begun(&connection, lacked_log).map_err(|error| error.to_string())?;
    if lost {
        tracing::error!(
            path = %options.path.display(),
            "the database was in use when it was copied, or its -wal file was removed: what was written last may be \
             missing; clients compare everything with it"
        );
    }
    draw_epoch(&connection, epoch, lost).map_err(|error| error.to_string())
}

fn not_opened(error: &sql::Error) -> String {
    let said = error.to_string();
    // SQLITE_NOTADB
    if said.contains("file is not a database") {
        return "is no database of Tidings: move it away, or name another folder with --data-dir".to_owned();
    }
    format!("cannot be opened for writing: {said}")
}

/// The time to wait for another process that uses the same file (a backup, a maintenance job): not longer
/// than the store's own timeout.
fn wait_for_others(options: &SqliteOptions) -> Duration {
    Duration::from_millis(options.timeout_ms / 2)
}

/// Returns a function that connects as `how` says and can be called repeatedly.
fn connect(
    options: &SqliteOptions,
    how: fn(&SqliteOptions, &Watched) -> sql::Result<Connection>,
) -> Arc<Connect> {
    let options = options.clone();
    Arc::new(move |watched: &Watched| how(&options, watched))
}

/// The settings of all connections. `mmap_size`: with memory mapping, a failing disk would end the process by
/// a signal instead of an error. `automatic_index`: otherwise the planner may choose a scan of the whole
/// table with a look-up in the batch for each row, because it does not know the table's size.
fn common(
    options: &SqliteOptions,
    watched: &Watched,
    flags: OpenFlags,
    cache_bytes: u64,
) -> sql::Result<rusqlite::Connection> {
    let raw = rusqlite::Connection::open_with_flags(&options.path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    raw.busy_timeout(wait_for_others(options))?;
    keep_statements(&raw, PREPARED)?;
    raw.execute_batch(&format!(
        "PRAGMA foreign_keys = off; PRAGMA mmap_size = 0; PRAGMA temp_store = memory; PRAGMA automatic_index = off; \
         PRAGMA cache_size = -{};",
        cache_bytes / 1_024
    ))?;
    watch(&raw, watched.clone(), options.steps.clone())?;
    Ok(raw)
}

/// Keeps up to `most` statements prepared. SQLite would prepare a statement again each time a value is bound
/// that its plan might depend on, which includes every `LIMIT $n`, and that takes longer than running it. The
/// stability guarantee of the planner forbids it: <https://www.sqlite.org/queryplanner-ng.html#qpstab>.
pub(in crate::store) fn keep_statements(raw: &rusqlite::Connection, most: usize) -> sql::Result<()> {
    raw.set_prepared_statement_cache_capacity(most);
    raw.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

fn watch(raw: &rusqlite::Connection, watched: Watched, steps: Option<Arc<AtomicU64>>) -> sql::Result<()> {
    let every = if steps.is_some() { COUNTED_STEPS } else { WATCHED_STEPS };
    let interrupts = move || {
        if let Some(steps) = &steps {
            steps.fetch_add(COUNTED_STEPS as u64, Ordering::Relaxed);
        }
        watched.given_up()
    };
    Ok(raw.progress_handler(every, Some(interrupts))?)
}

/// `secure_delete`: deleted data is overwritten with zeros and does not stay in free pages.
fn writer(options: &SqliteOptions, watched: &Watched) -> sql::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let raw = common(options, watched, flags, options.writer_cache_bytes)?;
    let synchronous = match options.sqlite.synchronous {
        Synchronous::Full => "full",
        Synchronous::Normal => "normal",
    };
    raw.execute_batch(&format!(
        "PRAGMA journal_mode = wal; PRAGMA synchronous = {synchronous}; PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}; \
         PRAGMA journal_size_limit = {LOG_FILE_BYTES}; PRAGMA secure_delete = on;"
    ))?;
    Ok(Connection::new(raw))
}

fn reader(options: &SqliteOptions, watched: &Watched) -> sql::Result<Connection> {
    let raw = common(options, watched, OpenFlags::SQLITE_OPEN_READ_ONLY, options.reader_cache_bytes)?;
    Ok(Connection::new(raw))
}

/// The log's epoch. It is a random number, drawn when the file is created, and again when the log's end may
/// differ from what clients have seen.
fn draw_epoch(connection: &Connection, epoch: i64, anew: bool) -> sql::Result<()> {
    let statement = if anew {
        "INSERT OR REPLACE INTO meta (name, value) VALUES ('epoch', $1)"
    } else {
        "INSERT OR IGNORE INTO meta (name, value) VALUES ('epoch', $1)"
    };
    connection.execute(statement, values![epoch]).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::shared::columns::Columns;

    #[test]
    fn a_statement_is_not_prepared_again_for_another_limit() {
        let prepared_again = |kept: bool| {
            let raw = rusqlite::Connection::open_in_memory().unwrap();
            if kept {
                keep_statements(&raw, PREPARED).unwrap();
            }
            raw.execute_batch("CREATE TABLE numbers (number INTEGER)").unwrap();
            let mut statement = raw.prepare("SELECT number FROM numbers LIMIT ?1").unwrap();
            for most in 1..=3 {
                assert!(statement.query([most]).unwrap().next().unwrap().is_none());
            }
            statement.get_status(rusqlite::StatementStatus::RePrepare)
        };
        assert_eq!(prepared_again(true), 0);
        assert!(prepared_again(false) > 0, "SQLite does so by itself, so the setting is needed");
    }

    #[test]
    fn a_commit_waits_for_the_disk_as_was_set() {
        let directory = tempfile::tempdir().unwrap();
        for (synchronous, level) in [(Synchronous::Full, 2), (Synchronous::Normal, 1)] {
            let mut options = SqliteOptions::new(directory.path().join("log"));
            options.sqlite.synchronous = synchronous;
            let connection = writer(&options, &Watched::default()).unwrap();
            let rows = connection.rows("PRAGMA synchronous", &[]).unwrap();
            assert_eq!(rows[0].int(0).unwrap(), level, "{synchronous:?}");
        }
    }
}
