//! The state of the bus, for inspection.

use serde::Serialize;

use super::RedisBus;
use crate::panics::lock;

/// The connections to Redis and what waits before and behind them.
#[derive(Debug, Clone, Serialize)]
pub struct BusObserved {
    /// Whether all connections work.
    pub is_up: bool,
    /// For how long it has been so.
    pub for_ms: u64,
    /// Which connection does not work, and why; empty while all do.
    pub reason: String,
    /// Topics that this process wants.
    pub topics: usize,
    /// Bytes that arrived and were not yet given to the listener.
    pub incoming_bytes: usize,
    /// How long some of them have waited without a break; none is older.
    pub incoming_oldest_ms: u64,
    /// One for each primary.
    pub links: Vec<LinkObserved>,
}

/// The connections to one primary.
#[derive(Debug, Clone, Serialize)]
pub struct LinkObserved {
    /// Whether the connection that publishes is made.
    pub is_connected: bool,
    /// Bytes that wait to be published.
    pub outgoing_bytes: usize,
    /// How long some of them have waited without a break; none is older.
    pub outgoing_oldest_ms: u64,
}

impl RedisBus {
    /// The state for inspection.
    pub fn observed(&self) -> BusObserved {
        let health = self.health();
        let topology = self.shared.topology.load();
        let links = topology.links().iter().map(|link| LinkObserved {
            is_connected: link.connection.load().is_some(),
            outgoing_bytes: link.outgoing.bytes(),
            outgoing_oldest_ms: link.outgoing.oldest_ms(),
        });
        BusObserved {
            is_up: health.up,
            for_ms: self.shared.environment.monotonic_ms().saturating_sub(health.since_ms),
            reason: health.reason,
            topics: lock(&self.shared.wanted).len(),
            incoming_bytes: self.shared.incoming.bytes(),
            incoming_oldest_ms: self.shared.incoming.oldest_ms(),
            links: links.collect(),
        }
    }
}
