//! Settings for the database server.

use secrecy::{ExposeSecret, SecretString};

use crate::config::{PostgresSettings, StoreSettings};
use crate::domain::{ConsentRules, Limits};

/// Settings of the store on a Postgres server.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// The section `[store.postgres]`.
    pub postgres: PostgresSettings,
    /// The time limit of one operation, including the wait for its connection, in milliseconds.
    pub timeout_ms: u64,
    /// The maximum number of members' ids in the cache of group memberships.
    pub roster_cache_members: u64,
    /// The limits on the number of members.
    pub limits: Limits,
    /// The rules about strangers.
    pub consent: ConsentRules,
}

impl PostgresOptions {
    /// Those of a section of the settings.
    pub fn of(store: &StoreSettings, limits: Limits) -> Self {
        Self {
            postgres: store.postgres.clone(),
            timeout_ms: store.timeout_ms,
            roster_cache_members: 1_000_000,
            limits,
            consent: ConsentRules::open(),
        }
    }

    /// The defaults, for the primary at `url`.
    pub fn new(url: impl Into<SecretString>) -> Self {
        let mut options = Self::of(&StoreSettings::built_in(), Limits::default());
        options.postgres.url = url.into();
        options
    }

    /// Where log consumers read the tail of the log; `None`: at the primary.
    pub(super) fn tail_url(&self) -> Option<&SecretString> {
        Some(&self.postgres.tail_url).filter(|url| !url.expose_secret().is_empty())
    }
}
