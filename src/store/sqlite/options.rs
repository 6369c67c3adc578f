//! Settings for the database file.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::domain::{ConsentRules, Limits};

/// When a commit counts as durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The disk has confirmed it: an acknowledged event survives a power cut.
    Full,
    /// The operating system has it: it survives a crash of the process, but the newest commits may be lost
    /// with the machine's power. The file stays consistent.
    Normal,
}

/// Settings of the embedded store.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// The database file. It and its directory are created if they are missing.
    pub path: PathBuf,
    /// The number of connections that read at the same time.
    pub readers: usize,
    /// The time limit of one operation, including its wait in the queue, in milliseconds.
    pub timeout_ms: u64,
    /// The durability of acknowledged writes.
    pub durability: Durability,
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
    /// The defaults, for a file at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            readers: 4,
            timeout_ms: 3_000,
            durability: Durability::Full,
            writer_cache_bytes: 64 << 20,
            reader_cache_bytes: 16 << 20,
            roster_cache_members: 1_000_000,
            steps: None,
            limits: Limits::default(),
            consent: ConsentRules::open(),
        }
    }
}
