//! The state of the relay, for inspection.

use serde::Serialize;

use crate::consumers::lease::LeaseObserved;

/// Whether this process relays, and how far it is.
#[derive(Debug, Clone, Serialize)]
pub struct RelayObserved {
    /// Whether it works or is the standby.
    pub lease: LeaseObserved,
    /// The incarnation of the log that it reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// Everything before this position was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_to: Option<u64>,
    /// Everything before this position was published by a node and named in a digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watermark: Option<u64>,
    /// Events that wait out their grace.
    pub pending_events: usize,
    /// How long the oldest of them has waited.
    pub oldest_ms: u64,
    /// Announcements of nodes that are kept.
    pub announcements: usize,
}
