//! Where log consumers keep their place, and who of several may work.

use async_trait::async_trait;
use uuid::Uuid;

use super::{Cursor, StoreError};
use crate::domain::Timestamp;

/// What a consumer was answered when it asked for its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// The asker may work until the lease ends.
    Held {
        /// Everything before this was handled, by this holder or an earlier one; `None` when nothing ever
        /// was.
        cursor: Option<Cursor>,
    },
    /// Another holder works; ask again.
    Taken,
}

/// Durable cursors of log consumers, each with a lease so that one of several processes works at a time.
///
/// A lease is a courtesy, not a lock: around its end two holders may work for a moment, so handling
/// a batch twice must change nothing.
#[async_trait]
pub trait Consumers: Send + Sync {
    /// Takes the lease of the consumer `name` when it is free, ended or the asker's own, for `lease_ms` from
    /// now on.
    async fn lease(
        &self,
        name: &str,
        holder: Uuid,
        lease_ms: u64,
        now: Timestamp,
    ) -> Result<Lease, StoreError>;

    /// Keeps how far the consumer has come; `false` when the lease is another's by now, and then nothing is
    /// kept.
    async fn advance(&self, name: &str, holder: Uuid, cursor: Cursor) -> Result<bool, StoreError>;

    /// Gives the lease back so that another can work at once. Nothing happens when it is another's.
    async fn release(&self, name: &str, holder: Uuid) -> Result<(), StoreError>;
}
