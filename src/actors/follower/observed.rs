//! The state of the follower, for inspection.

use serde::Serialize;

/// Up to where the log was passed on here, and how.
#[derive(Debug, Clone, Serialize)]
pub struct FollowerObserved {
    /// Everything before this position was passed on; `None` before the log was found.
    pub watermark: Option<u64>,
    /// The incarnation of the log.
    pub epoch: Option<u64>,
    /// Whether the log is read on, because the bus or the relay cannot be trusted now.
    pub is_tailing: bool,
    /// Whether something was lost since the log was last read to its end.
    pub has_gap: bool,
    /// Digests and gaps that wait.
    pub waiting_notices: usize,
}
