//! `[conversations]`: the channel that a server begins with.

use serde::Deserialize;

use super::problems::SectionProblems;
use crate::domain::Username;

/// `[conversations]`; every key is explained in `config/default.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConversationsSettings {
    /// The name of the default channel; empty: there is none.
    pub default: String,
    /// The username of its owner; empty: the oldest account.
    pub default_owner: String,
}

impl ConversationsSettings {
    pub(super) fn validate(&self, problems: &mut SectionProblems<'_>) {
        if !self.default.is_empty() {
            problems.shown_name("default", &self.default);
        }
        let named = !self.default_owner.is_empty();
        problems.when(
            named && Username::parse(&self.default_owner).is_err(),
            "default_owner",
            format!(
                "{:?} can be nobody's username: write one, or nothing for the oldest account",
                self.default_owner
            ),
        );
        problems.when(
            named && self.default.is_empty(),
            "default_owner",
            "has no effect without conversations.default",
        );
    }
}
