//! Cursors and leases of log consumers.

use async_trait::async_trait;
use uuid::Uuid;

use super::{Cursor, StoreError};
use crate::domain::Timestamp;

/// What a consumer was answered when it asked for its lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lease {
    /// The consumer may work until the lease ends.
    Held {
        /// Everything before this position was handled, by this holder or an earlier one; `None` when nothing
        /// was handled yet.
        cursor: Option<Cursor>,
    },
    /// Another holder works; ask again.
    Taken {
        /// Its name; `None` when it has given the lease back in the meantime.
        by: Option<String>,
    },
}

/// A process that asks for leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Tells it from all others.
    pub id: Uuid,
    /// What operators know it by.
    pub name: String,
}

/// Durable cursors of log consumers, each with a lease so that one of several processes works at a time.
///
/// A lease is not a lock: around its end two holders may work for a moment, so handling a batch twice must
/// change nothing.
#[async_trait]
pub trait Consumers: Send + Sync {
    /// Takes the lease of the consumer `name` when it is free, ended or the asker's own, for `lease_ms` from
    /// now on.
    async fn lease(
        &self,
        name: &str,
        holder: &Holder,
        lease_ms: u64,
        now: Timestamp,
    ) -> Result<Lease, StoreError>;

    /// Stores the consumer's cursor. Returns `false`, and stores nothing, when another process now has the
    /// lease.
    async fn advance(&self, name: &str, holder: Uuid, cursor: Cursor) -> Result<bool, StoreError>;

    /// Releases the lease so that another process can work at once. Does nothing when another process has it.
    async fn release(&self, name: &str, holder: Uuid) -> Result<(), StoreError>;
}
