//! `[writer]`: how sends are batched.

use serde::Deserialize;

use super::problems::SectionProblems;

/// `[writer]`; every key is explained in `config/default.toml`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriterSettings {
    /// Writers side by side.
    pub shards: usize,
    /// Messages in one batch.
    pub batch_messages: usize,
    /// Messages waiting for one shard.
    pub queue_messages: usize,
    /// A slower commit makes fewer run side by side.
    pub target_commit_ms: u64,
}

impl WriterSettings {
    pub(super) fn validate(&self, problems: &mut SectionProblems<'_>) {
        problems.range("shards", self.shards, 1, 1_024);
        problems.range("batch_messages", self.batch_messages, 1, 10_000);
        problems.range("target_commit_ms", self.target_commit_ms, 1, 60_000);
        problems.range("queue_messages", self.queue_messages, self.batch_messages, 1_000_000);
    }
}
