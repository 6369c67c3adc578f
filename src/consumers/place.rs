//! A consumer's place: its lease among several processes, and its durable cursor.

use uuid::Uuid;

use crate::environment::SharedEnvironment;
use crate::store::{Cursor, Lease, SharedStore};

/// How long a lease lasts: what a standby waits after a crash, at most.
const LEASE_MS: u64 = 3_000;
/// A lease is renewed, and a taken one asked for, this often.
const ASK_EVERY_MS: u64 = 750;
/// A holder that could not renew stops so long before its lease ends, so that two rarely work at once.
const MARGIN_MS: u64 = 500;

/// What a consumer may do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Another works; ask again soon.
    Standby,
    /// The lease has just become this process's: begin from the cursor.
    Begins {
        /// Where the last holder was; `None` when there never was one.
        cursor: Option<Cursor>,
    },
    /// Go on.
    Goes,
}

/// One process's claim to a consumer's work: its lease and its cursor.
pub struct Place {
    name: &'static str,
    holder: Uuid,
    store: SharedStore,
    environment: SharedEnvironment,
    held_until_ms: Option<u64>,
    asked_ms: Option<u64>,
}

impl Place {
    /// The place of the consumer `name` for this process; nothing is asked for yet.
    pub fn new(name: &'static str, store: SharedStore, environment: SharedEnvironment) -> Self {
        let holder = environment.new_uuid();
        Self { name, holder, store, environment, held_until_ms: None, asked_ms: None }
    }

    /// Whether this process may work, asking the store when that is due.
    pub async fn turn(&mut self) -> Turn {
        let now_ms = self.environment.monotonic_ms();
        let due = self.asked_ms.is_none_or(|asked| now_ms.saturating_sub(asked) >= ASK_EVERY_MS);
        if due {
            self.asked_ms = Some(now_ms);
            let asked = self.store.lease(self.name, self.holder, LEASE_MS, self.environment.now());
            match asked.await {
                Ok(Lease::Held { cursor }) => {
                    // Counted from before the question, so that it never outlasts what the store granted.
                    let before = self.held_until_ms.replace(now_ms + LEASE_MS - MARGIN_MS);
                    if before.is_none() {
                        tracing::info!(consumer = self.name, "working as the one holder of the lease");
                        return Turn::Begins { cursor };
                    }
                }
                Ok(Lease::Taken) => self.lose(),
                Err(error) => tracing::debug!(consumer = self.name, %error, "the lease was not answered"),
            }
        }
        match self.held_until_ms {
            Some(until) if self.environment.monotonic_ms() < until => Turn::Goes,
            Some(_) => {
                self.lose();
                Turn::Standby
            }
            None => Turn::Standby,
        }
    }

    /// Keeps how far the work has come; best effort, since a batch bears repetition.
    pub async fn keep(&mut self, cursor: Cursor) {
        match self.store.advance(self.name, self.holder, cursor).await {
            Ok(true) => {}
            Ok(false) => self.lose(),
            Err(error) => tracing::debug!(consumer = self.name, %error, "the cursor was not kept"),
        }
    }

    /// Lets a standby begin at once.
    pub async fn leave(&mut self) {
        if self.held_until_ms.take().is_some()
            && let Err(error) = self.store.release(self.name, self.holder).await
        {
            tracing::debug!(consumer = self.name, %error, "the lease was not given back");
        }
    }

    fn lose(&mut self) {
        if self.held_until_ms.take().is_some() {
            tracing::warn!(consumer = self.name, "the lease is gone; standing by");
        }
    }
}
