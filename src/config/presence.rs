//! `[presence]`: online, away, typing.

use serde::Deserialize;

use super::problems::SectionProblems;

/// `[presence]`; every key is explained in `config/default.toml`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PresenceSettings {
    /// From the end of the last connection to offline.
    pub offline_after_ms: u64,
    /// How long other nodes believe a node that says nothing more.
    pub lease_ms: u64,
    /// After which typing counts as over.
    pub typing_timeout_ms: u64,
}

impl PresenceSettings {
    pub(super) fn validate(&self, problems: &mut SectionProblems<'_>) {
        problems.range("offline_after_ms", self.offline_after_ms, 0, 600_000);
        problems.range("lease_ms", self.lease_ms, 1_000, 600_000);
        problems.range("typing_timeout_ms", self.typing_timeout_ms, 500, 60_000);
    }
}
