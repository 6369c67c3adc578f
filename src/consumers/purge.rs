//! Purge: removes what was said in deleted conversations, in bounded steps, whatever happens meanwhile.
//!
//! - *Owns*: nothing that has to be kept. What is left to do is in the database, so hang-ups, restarts and
//!   failovers change nothing.
//! - *Receives*: the database's answers; a lease, so that one process works at a time ([`super::lease`]).
//! - *Emits*: one step after the other. Between two of them it rests for as long as a step took, so that
//!   others write meanwhile.
//! - *Limits*: what one step goes over, given by the store.
//! - *On restart*: goes on. A step is one transaction, so nothing is done half.
//! - *On full*: the work waits in the tables; how much is left shows.

use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Gauge};
use tokio::sync::watch;

use super::lease::{ConsumerLease, LeaseObserved, LeaseState};
use crate::actors::backlogs::Backlogs;
use crate::environment::SharedEnvironment;
use crate::store::SharedStore;
use crate::telemetry::inspect::Questions;

/// Between two looks when there is nothing to do, or another process does it.
const IDLE: Duration = Duration::from_millis(500);
/// After a failure of the database.
const FAILED: Duration = Duration::from_secs(2);
/// The least rest after a step, and the longest.
const REST: [Duration; 2] = [Duration::from_millis(2), Duration::from_secs(1)];

/// What the consumer works with.
pub struct Purge {
    /// Where deleted conversations are.
    pub store: SharedStore,
    /// The clock and the source of randomness.
    pub environment: SharedEnvironment,
    /// Where readiness pages find how much is left.
    pub backlogs: Arc<Backlogs>,
    /// Events gone over.
    pub done: Counter,
    /// Events left of the conversation at work.
    pub left: Gauge,
}

impl Purge {
    /// Works, or stands by, until `stop` says so; then hands over to another process at once. Asked by
    /// `questions`, it shows its lease.
    pub async fn run(self, mut stop: watch::Receiver<bool>, mut questions: Questions<LeaseObserved>) {
        let mut lease = ConsumerLease::new("purge", Arc::clone(&self.store), Arc::clone(&self.environment));
        loop {
            // Nobody needs a lease on nothing: an idle installation writes nothing.
            let purging = self.store.purging().await;
            if let Ok(conversations) = purging {
                self.backlogs.show_purges(conversations);
            }
            let pause = match purging {
                Ok(0) => {
                    self.left.set(0.0);
                    lease.release().await;
                    IDLE
                }
                Ok(_) => match lease.check().await {
                    LeaseState::Standby => IDLE,
                    LeaseState::Acquired { .. } | LeaseState::Held => self.work().await,
                },
                Err(_) => FAILED,
            };
            tokio::select! {
                () = questions.answer_during(tokio::time::sleep(pause), || lease.observed()) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        lease.release().await;
    }

    /// One step; answers how long to rest after it.
    async fn work(&self) -> Duration {
        let began_ms = self.environment.monotonic_ms();
        match self.store.purge().await {
            Ok(Some(step)) => {
                self.done.increment(step.events);
                self.left.set(step.left as f64);
                let took = Duration::from_millis(self.environment.monotonic_ms().saturating_sub(began_ms));
                took.clamp(REST[0], REST[1])
            }
            Ok(None) => IDLE,
            Err(error) => {
                tracing::warn!(%error, "a step failed; it is tried again");
                FAILED
            }
        }
    }
}
