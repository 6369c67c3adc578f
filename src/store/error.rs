//! Failures of the database, as opposed to refusals by the rules.

use thiserror::Error;

use crate::protocol::Failure;

/// How long a peer waits after a refusal because of overload.
const RETRY_AFTER_MS: u64 = 500;

/// A dependency failed. A definite refusal by the rules is a [`crate::domain::Refusal`] instead.
#[derive(Debug, Clone, Error)]
pub enum StoreError {
    /// The database failed, or did not answer.
    #[error("the database is unavailable ({}): {detail}", if *.definite { "nothing was done" } else { "it may have been done" })]
    Unavailable {
        /// True: nothing was done and nothing will be. False: unknown; the caller repeats the call with the
        /// same key.
        definite: bool,
        /// The message of the database, for the log. It is never sent to a peer.
        detail: String,
    },
    /// Too many operations wait already; nothing was done.
    #[error("too many operations wait for the database")]
    Overloaded,
    /// A stored value breaks an invariant: a bug or a damaged database. Retrying does not help.
    #[error("the database holds an invalid value: {0}")]
    Inconsistent(String),
}

impl StoreError {
    /// Nothing was done.
    pub fn definite(detail: impl Into<String>) -> Self {
        Self::Unavailable { definite: true, detail: detail.into() }
    }

    /// It may have been done.
    pub fn indefinite(detail: impl Into<String>) -> Self {
        Self::Unavailable { definite: false, detail: detail.into() }
    }

    /// Whether nothing was done for certain.
    pub const fn is_definite(&self) -> bool {
        matches!(self, Self::Unavailable { definite: true, .. } | Self::Overloaded)
    }
}

/// The error that a peer receives. The detail is only for the log.
impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Overloaded => Self::Overloaded { retry_after_ms: RETRY_AFTER_MS },
            StoreError::Unavailable { definite, .. } => Self::Unavailable { definite },
            StoreError::Inconsistent(_) => Self::Unavailable { definite: false },
        }
    }
}
