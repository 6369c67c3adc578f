//! Stores in SQLite files.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use tempfile::TempDir;
use tidings::domain::ConsentRules;
use tidings::environment::{ManualEnvironment, SharedEnvironment};
use tidings::store::SharedStore;
use tidings::store::sqlite::{SqliteOptions, SqliteStore};

use super::Harness;

/// A database file in a directory of its own.
pub struct SqliteHarness {
    pub directory: TempDir,
    pub consent: ConsentRules,
    opened: std::sync::Mutex<Option<Arc<SqliteStore>>>,
    seeds: AtomicU64,
}

impl SqliteHarness {
    pub fn new() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        Self {
            directory,
            consent: ConsentRules::open(),
            opened: std::sync::Mutex::default(),
            seeds: AtomicU64::new(1),
        }
    }

    /// With these rules about strangers.
    pub fn with(mut self, consent: ConsentRules) -> Self {
        self.consent = consent;
        self
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("data/tidings.db")
    }

    pub fn options(&self) -> SqliteOptions {
        let (limits, consent) = (super::limits(), self.consent);
        // Generous: a machine at work on other things must not fail a test.
        let usual = SqliteOptions::new(self.path());
        let mut options = SqliteOptions { limits, consent, timeout_ms: 30_000, ..usual };
        options.sqlite.readers = 2;
        options
    }

    pub fn environment(&self) -> SharedEnvironment {
        Arc::new(ManualEnvironment::new(1_800_000_000_000, self.seeds.fetch_add(1, Ordering::Relaxed)))
    }

    pub async fn open(&self) -> Arc<SqliteStore> {
        let store = SqliteStore::open(self.options(), self.environment()).await.expect("the file opens");
        *self.opened.lock().unwrap() = Some(store.clone());
        store
    }

    /// Every byte of the database, its write-ahead log included.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for entry in std::fs::read_dir(self.path().parent().unwrap()).unwrap() {
            bytes.extend(std::fs::read(entry.unwrap().path()).unwrap());
        }
        bytes
    }

    pub fn holds(&self, text: &str) -> bool {
        self.bytes().windows(text.len()).any(|window| window == text.as_bytes())
    }
}

#[async_trait]
impl Harness for SqliteHarness {
    async fn store(&self) -> SharedStore {
        self.open().await
    }

    async fn skip_positions(&self, by: u64) {
        let connection = rusqlite::Connection::open(self.path()).unwrap();
        let statement = "UPDATE meta SET value = ?1 + max(value, coalesce((SELECT max(position) FROM events), 0)) \
             WHERE name = 'position_floor'";
        connection.execute(statement, [by as i64]).unwrap();
    }

    fn position_per_event(&self) -> bool {
        true
    }

    async fn close(&self) {
        let opened = self.opened.lock().unwrap().take();
        if let Some(store) = opened {
            store.close().await;
        }
    }
}
