//! Whether the bus can carry messages now.

/// The state of a bus. The follower reads the log while it is down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusHealth {
    /// As far as this node can tell, its messages reach the other nodes and theirs reach this one.
    pub up: bool,
    /// Since when, in milliseconds of the monotonic clock.
    pub since_ms: u64,
    /// Why it is down, for an operator; empty while it is up.
    pub reason: String,
}
