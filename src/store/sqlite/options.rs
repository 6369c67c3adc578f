//! What an operator may set about the database file.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::domain::Limits;

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
    /// The database file; it and its directory are made when missing.
    pub path: PathBuf,
    /// How many connections read at the same time.
    pub readers: usize,
    /// How long one operation may take, waiting for its turn included, in milliseconds.
    pub timeout_ms: u64,
    /// What an acknowledgement means.
    pub durability: Durability,
    /// Memory for pages of the writing connection, in bytes.
    pub writer_cache_bytes: u64,
    /// Memory for pages of each reading connection, in bytes.
    pub reader_cache_bytes: u64,
    /// How many members' ids the cache of group memberships holds at most.
    pub roster_cache_members: u64,
    /// Counts the steps of SQLite's virtual machine, over all connections: the cost of statements, for who
    /// measures it.
    pub steps: Option<Arc<AtomicU64>>,
    /// The limits that are enforced where members are counted.
    pub limits: Limits,
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
        }
    }
}
