//! The state of a pool, for inspection.

use serde::Serialize;

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
