//! What the store on a Postgres server shows of itself.

use serde::Serialize;

use super::PostgresStore;

/// The pools of connections, by what they are for.
#[derive(Debug, Clone, Serialize)]
pub struct PostgresObserved {
    /// To the primary, for what is written.
    pub writer: PoolObserved,
    /// To the primary, for what is read.
    pub reader: PoolObserved,
    /// For those who read the log on.
    pub tailer: PoolObserved,
    /// To each replica, in the order of the settings.
    pub replicas: Vec<PoolObserved>,
}

/// One pool.
#[derive(Debug, Clone, Serialize)]
pub struct PoolObserved {
    /// Connections there may be.
    pub size: usize,
    /// Connections in use, or being made for somebody.
    pub in_use: usize,
    /// Open connections that rest.
    pub idle: usize,
}

impl PostgresStore {
    /// How much its connections are used.
    pub fn observed(&self) -> PostgresObserved {
        PostgresObserved {
            writer: self.writer.observed(),
            reader: self.reader.observed(),
            tailer: self.tailer.observed(),
            replicas: (0..self.replicas()).map(|index| self.replicas.pool(index).observed()).collect(),
        }
    }
}
