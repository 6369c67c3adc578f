//! Settings for the database server.

use secrecy::SecretString;

use crate::domain::{ConsentRules, Limits};

/// Settings of the store on a Postgres server.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Connection URL of the primary, or of a PgBouncer in front of it.
    pub url: SecretString,
    /// Connection URLs of replicas. History and ranges are read there if they have the events that the caller
    /// must see.
    pub read_urls: Vec<SecretString>,
    /// Connection URL of a nearby replica from which log consumers read the tail of the log; `None`: the
    /// primary.
    pub tail_url: Option<SecretString>,
    /// The maximum number of connections for writes.
    pub write_connections: usize,
    /// The maximum number of connections for reads, for the primary and for each replica.
    pub read_connections: usize,
    /// The maximum number of connections for log consumers that read the tail.
    pub tail_connections: usize,
    /// The time limit of one operation, including the wait for its connection, in milliseconds.
    pub timeout_ms: u64,
    /// The time limit of the wait for a connection, in milliseconds. When it passes, the failure is definite.
    pub acquire_timeout_ms: u64,
    /// Whether statements are prepared once per connection and kept. Set it to false behind a PgBouncer in
    /// transaction mode; then a connection keeps no state between two transactions.
    pub prepared: bool,
    /// The maximum number of members' ids in the cache of group memberships.
    pub roster_cache_members: u64,
    /// The limits on the number of members.
    pub limits: Limits,
    /// The rules about strangers.
    pub consent: ConsentRules,
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
            consent: ConsentRules::open(),
        }
    }
}
