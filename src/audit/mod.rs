//! The audit log of this process: entries wait in a queue until they are stored.
//!
//! - *Owns*: the entries that are not stored yet.
//! - *Receives*: entries of sign-ins and of moderation, which do not wait ([`AuditLog::note`]), and entries
//!   of
//!   operators' commands, which are stored before the command acts ([`AuditLog::record`]).
//! - *Emits*: rows of the store's audit log, in batches.
//! - *Limits*: [`MOST_WAITING`] entries wait. Details have at most [`DETAILS_BYTES`].
//! - *On full*: a new entry is dropped and counted. An entry says later how many were dropped.
//! - *On restart*: entries that were not stored are lost. [`AuditLog::close`] stores them at a stop in order.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Notify;

use crate::domain::audit::{AuditAction, AuditActor, AuditEntry};
use crate::environment::SharedEnvironment;
use crate::panics::{self, lock};
use crate::store::{SharedStore, StoreError};
use crate::telemetry::meters::AuditMeters;

/// Entries that wait to be stored.
const MOST_WAITING: usize = 10_000;
/// Entries that are stored in one transaction.
const BATCH: usize = 100;
/// The most bytes of an entry's details; what is longer is cut.
pub const DETAILS_BYTES: usize = 2_000;
/// Before a failed batch is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// Between two removals of what is older than is kept.
const FORGET_EVERY: Duration = Duration::from_secs(600);

/// Its state, for inspection.
#[derive(Debug, Clone, Serialize)]
pub struct AuditObserved {
    /// Entries that wait to be stored.
    pub waiting: usize,
    /// Entries that were dropped and are not yet told of in the log.
    pub lost: u64,
}

#[derive(Default)]
struct Waiting {
    entries: VecDeque<AuditEntry>,
    lost: u64,
}

struct Inner {
    store: SharedStore,
    environment: SharedEnvironment,
    meters: AuditMeters,
    waiting: Mutex<Waiting>,
    arrived: Notify,
    /// Held while a batch is stored: batches keep their order, and the end of the process waits for one.
    storing: tokio::sync::Mutex<()>,
}

/// The log of this process. Cheap to clone.
#[derive(Clone)]
pub struct AuditLog {
    inner: Arc<Inner>,
}

impl AuditLog {
    /// An empty queue in front of the store's log.
    pub fn new(store: SharedStore, environment: SharedEnvironment) -> Self {
        let meters = AuditMeters::new();
        let (waiting, arrived, storing) = (Mutex::default(), Notify::new(), tokio::sync::Mutex::default());
        Self { inner: Arc::new(Inner { store, environment, meters, waiting, arrived, storing }) }
    }

    /// An entry that happens now.
    pub fn entry(&self, actor: AuditActor, action: AuditAction) -> AuditEntry {
        AuditEntry::new(self.inner.environment.now(), actor, action)
    }

    /// Adds an entry to the queue. Does not wait.
    pub fn note(&self, entry: AuditEntry) {
        {
            let mut waiting = lock(&self.inner.waiting);
            if waiting.entries.len() >= MOST_WAITING {
                waiting.lost += 1;
                self.inner.meters.entries.of("lost").increment(1);
            } else {
                waiting.entries.push_back(cut(entry));
            }
            self.inner.meters.waiting.set(waiting.entries.len() as f64);
        }
        self.inner.arrived.notify_one();
    }

    /// Stores an entry. When it returns, the entry is in the log.
    ///
    /// # Errors
    /// `Unavailable`: do not act.
    pub async fn record(&self, entry: AuditEntry) -> Result<(), StoreError> {
        self.inner.store.add_audit(&[cut(entry)]).await?;
        self.inner.meters.entries.of("stored").increment(1);
        Ok(())
    }

    /// Stores what waits, and removes what is older than `retention`. Never returns: spawn it.
    pub async fn run(&self, retention: Duration) {
        let mut forget_at_ms = 0;
        loop {
            panics::point("audit");
            let now_ms = self.inner.environment.monotonic_ms();
            if now_ms >= forget_at_ms {
                forget_at_ms = now_ms + FORGET_EVERY.as_millis() as u64;
                self.forget(retention).await;
            }
            match self.store_batch().await {
                Ok(true) => {}
                Ok(false) => tokio::select! {
                    () = self.inner.arrived.notified() => {}
                    () = tokio::time::sleep(FORGET_EVERY) => {}
                },
                // The failure was logged.
                Err(_) => tokio::time::sleep(AGAIN).await,
            }
        }
    }

    /// Stores what waits, once. For the end of the process, after the last entry.
    pub async fn close(&self) {
        while let Ok(true) = self.store_batch().await {}
    }

    /// For inspection.
    pub fn observed(&self) -> AuditObserved {
        let waiting = lock(&self.inner.waiting);
        AuditObserved { waiting: waiting.entries.len(), lost: waiting.lost }
    }

    /// Stores the oldest entries; false when there is none. What was not stored goes back to where it was.
    async fn store_batch(&self) -> Result<bool, StoreError> {
        let _storing = self.inner.storing.lock().await;
        let (batch, lost) = {
            let mut waiting = lock(&self.inner.waiting);
            let count = waiting.entries.len().min(BATCH);
            let batch: Vec<AuditEntry> = waiting.entries.drain(..count).collect();
            // Entries are lost at the end of the queue, so this one comes when the queue has been emptied.
            let lost = if waiting.entries.is_empty() { std::mem::take(&mut waiting.lost) } else { 0 };
            (batch, lost)
        };
        let told = (lost > 0).then(|| {
            self.entry(AuditActor::Server, AuditAction::EntriesLost).with(format!("{lost} entries"))
        });
        let entries: Vec<AuditEntry> = batch.iter().cloned().chain(told).collect();
        if entries.is_empty() {
            return Ok(false);
        }
        let stored = self.inner.store.add_audit(&entries).await;
        let mut waiting = lock(&self.inner.waiting);
        match &stored {
            Ok(()) => self.inner.meters.entries.of("stored").increment(entries.len() as u64),
            Err(_) => {
                waiting.lost += lost;
                batch.into_iter().rev().for_each(|entry| waiting.entries.push_front(entry));
            }
        }
        self.inner.meters.waiting.set(waiting.entries.len() as f64);
        stored.map(|()| true)
    }

    async fn forget(&self, retention: Duration) {
        let kept_ms = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
        let before = self.inner.environment.now().plus_ms(-kept_ms);
        loop {
            match self.inner.store.forget_audit(before).await {
                Ok(removed) if removed > 0 => {}
                Ok(_) | Err(_) => return,
            }
        }
    }
}

/// An entry with details that fit.
fn cut(mut entry: AuditEntry) -> AuditEntry {
    if let Some(details) = &mut entry.details {
        let end = details.floor_char_boundary(DETAILS_BYTES);
        details.truncate(end);
        // Postgres cannot store the character NUL.
        *details = details.replace('\0', "");
    }
    entry
}

#[cfg(test)]
mod tests;
