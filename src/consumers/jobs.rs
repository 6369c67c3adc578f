//! Jobs: what goes on after its operation was answered (erasing an account, removing what was said in a
//! deleted conversation), in bounded steps.
//!
//! - *Owns*: nothing that is lost with it; a job and how far it has come are rows of the database.
//! - *Receives*: jobs that operations have written; a hint that there is a new one ([`Backlogs::hint`]).
//! - *Emits*: the events that steps commit, as they are committed.
//! - *Limits*: one step at a time in the whole fleet, in turn one of each kind. After a step it rests for as
//!   long as the step took, so others' sends go first.
//! - *On restart*: goes on with the step that was not committed; another process takes over when the lease
//!   ends.
//! - *On full*: cannot be; jobs wait in the table, and their number and age show.
//!
//! To add a kind of job, see `store::sql::jobs`; nothing here changes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::lease::{ConsumerLease, LeaseObserved, LeaseState};
use crate::actors::backlogs::Backlogs;
use crate::actors::router::Router;
use crate::environment::SharedEnvironment;
use crate::store::{JobKind, SharedStore, Step};
use crate::telemetry::Meters;
use crate::telemetry::inspect::Questions;

/// Between two looks at the table while nothing is to do, and at least every so often while something is.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Before work that is not yet due, or that another process does, is asked for again.
const LATER: Duration = Duration::from_millis(100);
/// The shortest rest between two steps.
const REST: Duration = Duration::from_millis(2);

/// Between two looks for guests who have not been there.
const GUESTS_EVERY_MS: u64 = 3_600_000;

/// Carries out jobs, with what it needs for that.
pub struct JobRunner {
    /// The store of the jobs.
    pub store: SharedStore,
    /// The name of this process for operators.
    pub process: String,
    /// The receiver of committed events.
    pub router: Arc<Router>,
    /// The clock and the source of randomness.
    pub environment: SharedEnvironment,
    /// The metrics.
    pub meters: Arc<Meters>,
    /// The state of the work, for inspection.
    pub backlogs: Arc<Backlogs>,
    /// Guests who have not been there for so long are erased; `None`: never.
    pub guests_after: Option<Duration>,
}

impl JobRunner {
    /// Works, or waits as the standby, until `stop` is true. Then another process can begin at once. Answers
    /// `questions` with its lease.
    pub async fn run(self, mut stop: watch::Receiver<bool>, mut questions: Questions<LeaseObserved>) {
        let (store, environment) = (Arc::clone(&self.store), Arc::clone(&self.environment));
        let mut lease = ConsumerLease::new("jobs", &self.process, store, environment);
        let mut guests_at_ms = self.environment.monotonic_ms();
        loop {
            if self.environment.monotonic_ms() >= guests_at_ms {
                guests_at_ms = self.environment.monotonic_ms() + GUESTS_EVERY_MS;
                self.expire_guests().await;
            }
            let pause = if self.look().await {
                match lease.check().await {
                    LeaseState::Standby => LATER,
                    LeaseState::Acquired { .. } | LeaseState::Held => self.work_on(&stop).await,
                }
            } else {
                // Nobody needs a lease on nothing: an idle installation writes nothing.
                lease.release().await;
                LOOK_EVERY
            };
            self.scrub().await;
            tokio::select! {
                () = questions.answer_during(tokio::time::sleep(pause), || lease.observed()) => {}
                () = self.backlogs.hinted() => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        lease.release().await;
    }

    /// Begins to erase guests who have not been there, if any account is that old: a young installation
    /// writes nothing. What fails is tried again at the next time.
    async fn expire_guests(&self) {
        let Some(after) = self.guests_after else { return };
        let now = self.environment.now();
        let before = now.plus_ms(-i64::try_from(after.as_millis()).unwrap_or(i64::MAX));
        let begun = match self.store.first_user().await {
            Ok(Some(oldest)) if oldest.created_at < before => self.store.expire_guests(before, now).await,
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = begun {
            tracing::debug!(%error, "unused guests were not looked for");
        }
    }

    /// Looks what there is to do, and shows it; true when there is something.
    async fn look(&self) -> bool {
        let now = self.environment.now();
        let (mut jobs, mut oldest_ms) = (0, 0);
        for kind in JobKind::ALL {
            match self.store.backlog(kind).await {
                Ok(backlog) => {
                    let age_ms = backlog.oldest.map_or(0, |begun| now.ms_since(begun).max(0));
                    self.backlogs.show(kind, backlog.jobs, age_ms.unsigned_abs());
                    if kind == JobKind::Purge && backlog.jobs == 0 {
                        self.meters.purge.left.set(0.0);
                    }
                    jobs += backlog.jobs;
                    oldest_ms = age_ms.max(oldest_ms);
                }
                Err(error) => tracing::debug!(%error, "the jobs could not be read"),
            }
        }
        self.meters.jobs.pending.set(jobs as f64);
        self.meters.jobs.lag.set(oldest_ms as f64 / 1_000.0);
        jobs > 0
    }

    /// Does steps until it is time to look again; answers how long to wait before that.
    async fn work_on(&self, stop: &watch::Receiver<bool>) -> Duration {
        let until_ms = self.environment.monotonic_ms() + LOOK_EVERY.as_millis() as u64 / 2;
        while self.environment.monotonic_ms() < until_ms && !*stop.borrow() {
            let mut idle = true;
            for kind in JobKind::ALL {
                idle &= !self.step(kind).await;
            }
            if idle {
                return LATER;
            }
        }
        Duration::ZERO
    }

    /// Does a step, publishes what it committed, and rests; false when there is nothing to do now.
    async fn step(&self, kind: JobKind) -> bool {
        let begun_ms = self.environment.monotonic_ms();
        let worked = match self.store.work(kind, self.environment.now()).await {
            Ok(worked) => worked,
            Err(error) => {
                rare!(JobStepFails);
                tracing::warn!(kind = kind.as_str(), %error, "a step failed and is tried again");
                return false;
            }
        };
        if !worked.committed.is_empty() {
            self.router.committed(&worked.committed, Vec::new());
        }
        if matches!(worked.step, Step::Idle | Step::Later) {
            return false;
        }
        self.meters.jobs.steps.increment(1);
        if let Some(purged) = worked.purged {
            self.meters.purge.done.increment(purged.events);
            self.meters.purge.left.set(purged.left as f64);
        }
        let took = Duration::from_millis(self.environment.monotonic_ms().saturating_sub(begun_ms));
        tokio::time::sleep(took.max(REST)).await;
        true
    }

    /// Tried again at the next round when something held it up.
    async fn scrub(&self) {
        match self.store.scrub().await {
            Ok(true) => {}
            Ok(false) => tracing::debug!(
                "reads in progress delay the removal of erased content from the write-ahead log"
            ),
            Err(error) => tracing::debug!(%error, "the write-ahead log was not emptied"),
        }
    }
}
