//! The audit log.

use async_trait::async_trait;

use super::StoreError;
use crate::domain::Timestamp;
use crate::domain::audit::{AuditEntry, Audited};

/// The audit log: entries are added at its end and removed from its beginning.
#[async_trait]
pub trait Audit: Send + Sync {
    /// Adds entries in this order, all or none. Each is chained to the one before it by its hash.
    async fn add_audit(&self, entries: &[AuditEntry]) -> Result<(), StoreError>;

    /// Up to `limit` entries in their order, after number `after`.
    async fn audit(&self, after: u64, limit: usize) -> Result<Vec<Audited>, StoreError>;

    /// The number of the newest entry; 0 when there was none yet.
    async fn audit_end(&self) -> Result<u64, StoreError>;

    /// Removes up to 1,000 entries older than `before` from the beginning, and returns how many. The newest
    /// entry stays, because the next one is chained to it.
    async fn forget_audit(&self, before: Timestamp) -> Result<u64, StoreError>;
}
