//! The state of the store on a Postgres server, for inspection.

use serde::Serialize;

use super::PostgresStore;
pub use crate::store::pooled::PoolObserved;

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

impl PostgresStore {
    /// The current use of its connections.
    pub fn observed(&self) -> PostgresObserved {
        PostgresObserved {
            writer: self.pools.writer.observed(),
            reader: self.pools.reader.observed(),
            tailer: self.pools.tailer.observed(),
            replicas: (0..self.replicas()).map(|index| self.pools.replicas.pool(index).observed()).collect(),
        }
    }
}
