//! `[audit]`: the log of what operators, owners and users did.

use serde::Deserialize;

use super::problems::SectionProblems;

/// `[audit]`; every key is explained in `config/default.toml`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditSettings {
    /// Days for which entries are kept.
    pub retention_days: u64,
}

impl AuditSettings {
    pub(super) fn validate(&self, problems: &mut SectionProblems<'_>) {
        problems.range("retention_days", self.retention_days, 1, 3_650);
    }
}
