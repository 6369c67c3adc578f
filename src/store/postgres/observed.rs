//! The state of the store on a Postgres server, for inspection.

use serde::Serialize;

use super::PostgresStore;

/// The connection pools, by purpose.
#[derive(Debug, Clone, Serialize)]
pub struct PostgresObserved {
    /// To the primary, for writes.
    pub writer: PoolObserved,
    /// To the primary, for reads.
    pub reader: PoolObserved,
    /// For readers of the tail.
    pub tailer: PoolObserved,
    /// To each replica, in the order of the settings.
    pub replicas: Vec<PoolObserved>,
}

/// One pool.
#[derive(Debug, Clone, Serialize)]
pub struct PoolObserved {
    /// The maximum number of connections.
    pub size: usize,
    /// Connections that are in use or being opened.
    pub in_use: usize,
    /// Open connections that are idle.
    pub idle: usize,
    /// Callers that wait for a connection.
    pub waiting_callers: usize,
}

impl PostgresStore {
    /// The current use of its connections.
    pub fn observed(&self) -> PostgresObserved {
        PostgresObserved {
            writer: self.writer.observed(),
            reader: self.reader.observed(),
            tailer: self.tailer.observed(),
            replicas: (0..self.replicas()).map(|index| self.replicas.pool(index).observed()).collect(),
        }
    }
}
