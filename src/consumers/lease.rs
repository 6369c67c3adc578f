//! A consumer's lease among several processes, and its durable cursor.

use serde::Serialize;

use crate::environment::SharedEnvironment;
use crate::store::{Cursor, Holder, Lease, SharedStore};

/// How long a lease lasts: after a crash a standby waits at most this long.
const LEASE_MS: u64 = 3_000;
/// How often a lease is renewed, or asked for while another process has it.
const ASK_EVERY_MS: u64 = 750;
/// A holder that could not renew stops this long before its lease ends, so that two processes rarely work at
/// once.
const MARGIN_MS: u64 = 500;

/// The next action that a consumer may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseState {
    /// Another process works; check again soon.
    Standby,
    /// This process has just acquired the lease: begin at the cursor.
    Acquired {
        /// The position at which the last holder stopped; `None` when there was none.
        cursor: Option<Cursor>,
    },
    /// This process still holds the lease: continue.
    Held,
}

/// The state of a consumer's lease, for inspection.
#[derive(Debug, Clone, Serialize)]
pub struct LeaseObserved {
    /// Whether this process works; another one does, or nobody has to, when not.
    pub is_holder: bool,
    /// How long it may go on without asking again.
    pub left_ms: u64,
    /// The process that held it when this one last asked; `None` when this one does, or nobody has to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_holder: Option<String>,
}

/// One process's claim to a consumer's work: its lease and its cursor.
pub struct ConsumerLease {
    name: &'static str,
    holder: Holder,
    store: SharedStore,
    environment: SharedEnvironment,
    held_until_ms: Option<u64>,
    asked_ms: Option<u64>,
    other_holder: Option<String>,
}

impl ConsumerLease {
    /// A lease on the work of the consumer `name` for the process that operators know as `process`. Nothing
    /// is asked of the store yet.
    pub fn new(
        name: &'static str,
        process: &str,
        store: SharedStore,
        environment: SharedEnvironment,
    ) -> Self {
        let holder = Holder { id: environment.new_uuid(), name: process.to_owned() };
        Self { name, holder, store, environment, held_until_ms: None, asked_ms: None, other_holder: None }
    }

    /// Whether this process may work. Asks the store when that is due.
    pub async fn check(&mut self) -> LeaseState {
        let now_ms = self.environment.monotonic_ms();
        let due = self.asked_ms.is_none_or(|asked| now_ms.saturating_sub(asked) >= ASK_EVERY_MS);
        if due {
            self.asked_ms = Some(now_ms);
            let asked = self.store.lease(self.name, &self.holder, LEASE_MS, self.environment.now());
            match asked.await {
                Ok(Lease::Held { cursor }) => {
                    // Counted from before the call, so that it never outlasts what the store granted.
                    self.other_holder = None;
                    let before = self.held_until_ms.replace(now_ms + LEASE_MS - MARGIN_MS);
                    if before.is_none() {
                        tracing::info!(consumer = self.name, "acquired the lease: this process works now");
                        return LeaseState::Acquired { cursor };
                    }
                }
                Ok(Lease::Taken { by }) => {
                    rare!(LeaseTakenByAnother, self.held_until_ms.is_some());
                    self.other_holder = by;
                    self.lose();
                }
                Err(error) => {
                    tracing::debug!(consumer = self.name, %error, "the lease could not be asked for");
                }
            }
        }
        match self.held_until_ms {
            Some(until) if self.environment.monotonic_ms() < until => LeaseState::Held,
            Some(_) => {
                rare!(LeaseExpires);
                self.lose();
                LeaseState::Standby
            }
            None => LeaseState::Standby,
        }
    }

    /// Whether this process holds it.
    pub fn observed(&self) -> LeaseObserved {
        let now_ms = self.environment.monotonic_ms();
        let left_ms = self.held_until_ms.map_or(0, |until_ms| until_ms.saturating_sub(now_ms));
        LeaseObserved { is_holder: left_ms > 0, left_ms, other_holder: self.other_holder.clone() }
    }

    /// Stores how far the work has come. A failure is only logged, because a batch may be repeated.
    pub async fn save_cursor(&mut self, cursor: Cursor) {
        match self.store.advance(self.name, self.holder.id, cursor).await {
            Ok(true) => {}
            Ok(false) => {
                rare!(LeaseLostWhileWorking);
                self.lose();
            }
            Err(error) => tracing::debug!(consumer = self.name, %error, "the cursor could not be stored"),
        }
    }

    /// Gives the lease back, so that a standby can begin at once.
    pub async fn release(&mut self) {
        self.other_holder = None;
        if self.held_until_ms.take().is_some()
            && let Err(error) = self.store.release(self.name, self.holder.id).await
        {
            tracing::debug!(consumer = self.name, %error, "the lease could not be given back");
        }
    }

    fn lose(&mut self) {
        if self.held_until_ms.take().is_some() {
            tracing::warn!(consumer = self.name, "lost the lease: this process is a standby now");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::environment::ManualEnvironment;
    use crate::store::sqlite::{SqliteOptions, SqliteStore};

    #[tokio::test]
    async fn a_standby_shows_who_holds_the_lease() {
        let folder = tempfile::tempdir().expect("a folder");
        let environment = Arc::new(ManualEnvironment::new(1_000_000, 1));
        let options = SqliteOptions::new(folder.path().join("tidings.db"));
        let store: SharedStore = SqliteStore::open(options, environment.clone()).await.expect("a database");
        let [mut one, mut two] = ["one/1", "two/2"]
            .map(|name| ConsumerLease::new("work", name, store.clone(), environment.clone()));
        assert!(matches!(one.check().await, LeaseState::Acquired { cursor: None }));
        assert_eq!(two.check().await, LeaseState::Standby);
        let shown = two.observed();
        assert_eq!((shown.is_holder, shown.other_holder.as_deref()), (false, Some("one/1")));
        assert_eq!(one.observed().other_holder, None);
        one.release().await;
        environment.advance_ms(ASK_EVERY_MS);
        assert!(matches!(two.check().await, LeaseState::Acquired { .. }));
        let shown = two.observed();
        assert_eq!((shown.is_holder, shown.other_holder), (true, None));
    }
}
