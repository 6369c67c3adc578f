//! Whether a bus carries anything just now.

/// How a bus is; watch it to tail the log while it is down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusHealth {
    /// What is published reaches the other nodes, and what they publish reaches this one, as far as this node can tell.
    pub up: bool,
    /// Since when, in milliseconds of the process's monotonic clock.
    pub since_ms: u64,
    /// Why it is down, for an operator; empty while it is up.
    pub reason: String,
}
