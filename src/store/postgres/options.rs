//! What an operator may set about the database server.

use secrecy::SecretString;

use crate::domain::Limits;

/// Settings of the store on a Postgres server.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Connection URL of the primary, or of a PgBouncer before it.
    pub url: SecretString,
    /// Connection URLs of replicas; history and ranges are read there when they have what must be seen.
    pub read_urls: Vec<SecretString>,
    /// Connection URL of a replica near by that log consumers read the tail of the log from; `None`: the
    /// primary.
    pub tail_url: Option<SecretString>,
    /// Most connections that write.
    pub write_connections: usize,
    /// Most connections that read, for the primary and for each replica.
    pub read_connections: usize,
    /// Most connections that log consumers read the tail with.
    pub tail_connections: usize,
    /// How long one operation may take, waiting for its connection included, in milliseconds.
    pub timeout_ms: u64,
    /// How long an operation may wait for its connection, in milliseconds. Passing it is a definite no.
    pub acquire_timeout_ms: u64,
    /// Statements are prepared once per connection and kept. Off behind a PgBouncer in transaction mode: then
    /// nothing is kept on a connection between two transactions.
    pub prepared: bool,
    /// How many members' ids the cache of group memberships holds at most.
    pub roster_cache_members: u64,
    /// The limits that are enforced where members are counted.
    pub limits: Limits,
}

impl PostgresOptions {
    /// The defaults, for the primary at `url`.
    pub fn new(url: impl Into<SecretString>) -> Self {
        Self {
            url: url.into(),
            read_urls: Vec::new(),
            tail_url: None,
            write_connections: 8,
            read_connections: 8,
            tail_connections: 2,
            timeout_ms: 3_000,
            acquire_timeout_ms: 1_000,
            prepared: true,
            roster_cache_members: 1_000_000,
            limits: Limits::default(),
        }
    }
}
