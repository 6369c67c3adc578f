//! Settings for the database file.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::config::{SqliteSettings, StoreSettings};
use crate::domain::{ConsentRules, Limits};

/// Settings of the embedded store.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// The database file. It and its directory are created if they are missing.
    pub path: PathBuf,
    /// The section `[store.sqlite]`.
    pub sqlite: SqliteSettings,
    /// The time limit of one operation, including its wait in the queue, in milliseconds.
    pub timeout_ms: u64,
    /// Memory for pages of the writing connection, in bytes.
    pub writer_cache_bytes: u64,
    /// Memory for pages of each reading connection, in bytes.
    pub reader_cache_bytes: u64,
    /// The maximum number of members' ids in the cache of group memberships.
    pub roster_cache_members: u64,
    /// Counts the steps of SQLite's virtual machine over all connections, to measure the cost of statements.
    pub steps: Option<Arc<AtomicU64>>,
    /// The limits on the number of members.
    pub limits: Limits,
    /// The rules about strangers.
    pub consent: ConsentRules,
}

impl SqliteOptions {
    /// Those of a section of the settings, for a file at `path`.
    pub fn of(store: &StoreSettings, path: impl Into<PathBuf>, limits: Limits) -> Self {
        Self {
            path: path.into(),
            sqlite: store.sqlite.clone(),
            timeout_ms: store.timeout_ms,
            writer_cache_bytes: 64 << 20,
            reader_cache_bytes: 16 << 20,
            roster_cache_members: 1_000_000,
            steps: None,
            limits,
            consent: ConsentRules::open(),
        }
    }

    /// The defaults, for a file at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self::of(&StoreSettings::built_in(), path, Limits::default())
    }
}
