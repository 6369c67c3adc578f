//! `[receipts]`: read and delivered positions.

use serde::Deserialize;

use super::problems::SectionProblems;

/// `[receipts]`; every key is explained in `config/default.toml`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptsSettings {
    /// For which positions are gathered before they are stored.
    pub flush_ms: u64,
    /// Positions waiting to be stored.
    pub queue_receipts: usize,
}

impl ReceiptsSettings {
    pub(super) fn validate(&self, problems: &mut SectionProblems<'_>) {
        problems.range("flush_ms", self.flush_ms, 1, 60_000);
        problems.range("queue_receipts", self.queue_receipts, 1, 10_000_000);
    }
}
