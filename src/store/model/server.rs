//! The servers of one database, which the processes of a fleet share.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::cluster::{Cluster, Former};
use super::inspect::{LogContents, inspect};
use super::replica::Settings;
use super::state::Turn;
use crate::domain::{ConversationId, Seq};
use crate::environment::SharedEnvironment;
use crate::panics::lock;
use crate::store::StoreError;
use crate::store::sql::{self, before_commit};

/// A transaction that is silent for this long is rolled back, as `idle_in_transaction_session_timeout` does.
const IDLE: Duration = Duration::from_secs(6);

/// The servers of one database.
pub struct ModelServer {
    cluster: Mutex<Cluster>,
    /// The lock was released.
    turned: Notify,
    /// The clock of the servers.
    environment: SharedEnvironment,
}

/// The time of the runtime, which the simulation moves.
#[expect(clippy::disallowed_methods, reason = "the moments of tokio's timers are on tokio's own clock")]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// Lets time pass. None passes without a delay: a timer of tokio takes a millisecond at least.
pub(super) async fn pass(delay: Duration) {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
}

impl ModelServer {
    /// A server with the tables of a new database. `epoch` is the log's; `environment` has the server's
    /// clock.
    ///
    /// # Errors
    /// The tables cannot be made.
    pub fn new(epoch: u64, environment: SharedEnvironment) -> Result<Arc<Self>, StoreError> {
        let cluster = Cluster::new(epoch, IDLE, now()).map_err(before_commit)?;
        Ok(Arc::new(Self { cluster: Mutex::new(cluster), turned: Notify::new(), environment }))
    }

    /// Ends all connections of a process that was killed. What the server has received of a commit is
    /// committed, everything else is rolled back.
    pub fn disconnect(&self, process: u64) {
        self.with(|cluster, now| cluster.primary.disconnect(process, now));
    }

    /// Lets the log go on by so many positions, as other databases of the server would.
    pub fn skip_positions(&self, by: u64) {
        self.with(|cluster, _| cluster.primary.skip(by));
    }

    /// A transaction of somebody else, such as a dump: it holds back the end of the log until it is dropped.
    pub fn hold(self: &Arc<Self>) -> ForeignTransaction {
        let (generation, number) =
            self.with(|cluster, _| (cluster.generation(), cluster.primary.begin_foreign()));
        ForeignTransaction { server: Arc::clone(self), generation, number }
    }

    /// Adds a replica that has everything so far; returns its index, counted from 0.
    ///
    /// # Errors
    /// The copy cannot be made.
    pub fn add_replica(&self) -> Result<usize, StoreError> {
        self.with(|cluster, _| cluster.add_replica()).map_err(before_commit)
    }

    /// From now on a replica applies each commit `lag` after the primary, or none while it is `frozen`. What
    /// it has applied stays.
    ///
    /// # Errors
    /// There is no such replica.
    pub fn set_replica(&self, index: usize, lag: Duration, frozen: bool) -> Result<(), StoreError> {
        let set = |cluster: &mut Cluster, now| {
            cluster.replica(index, now)?.set(Settings { lag, frozen });
            Ok::<(), sql::Error>(())
        };
        self.with(set).map_err(before_commit)
    }

    /// A standby that lacks the last `lost` transactions becomes the primary, and the epoch changes. Open
    /// transactions end. Returns the events that are lost. The replicas follow the new primary at once.
    ///
    /// # Errors
    /// The copy cannot be made.
    pub fn fail_over(&self, lost: usize, former: Former) -> Result<Vec<(ConversationId, Seq)>, StoreError> {
        let failed = self.with(|cluster, now| cluster.fail_over(lost, former, now));
        self.turned.notify_waiters();
        failed.map_err(before_commit)
    }

    /// The database is loaded from a copy that lacks the last `lost` transactions, and has the new `epoch`.
    /// All connections break. Returns the events that are lost.
    ///
    /// # Errors
    /// The copy cannot be made.
    pub fn restore(&self, lost: usize, epoch: u64) -> Result<Vec<(ConversationId, Seq)>, StoreError> {
        let restored = self.with(|cluster, now| cluster.restore(lost, epoch, now));
        self.turned.notify_waiters();
        restored.map_err(before_commit)
    }

    /// What is committed on the primary now, without fates and delays, for a checker.
    ///
    /// # Errors
    /// A stored value breaks an invariant.
    pub fn inspect(&self) -> Result<LogContents, StoreError> {
        self.with(|cluster, _| inspect(cluster.primary.committed()?)).map_err(before_commit)
    }

    pub(super) fn clock_ms(&self) -> i64 {
        self.environment.now().as_unix_ms()
    }

    fn cluster(&self) -> MutexGuard<'_, Cluster> {
        lock(&self.cluster)
    }

    /// Does what is due, then `work`.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Cluster, Instant) -> T) -> T {
        let now = now();
        let mut cluster = self.cluster();
        // A failure is reported by the next statement.
        let _ = cluster.primary.settle(now);
        let done = work(&mut cluster, now);
        if cluster.primary.take_released() {
            self.turned.notify_waiters();
        }
        done
    }

    /// Waits for the lock, behind those who hold it.
    pub(super) async fn locked(&self, session: u64) -> sql::Result<()> {
        loop {
            // Made before the look, so that a release in between is not missed.
            let turned = self.turned.notified();
            match self.with(|cluster, _| cluster.primary.lock(session))? {
                Turn::Mine => return Ok(()),
                Turn::Wait(until) => {
                    let _ = tokio::time::timeout_at(until, turned).await;
                }
            }
        }
    }
}

impl fmt::Debug for ModelServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelServer").finish_non_exhaustive()
    }
}

/// A transaction that writes nothing.
#[derive(Debug)]
pub struct ForeignTransaction {
    server: Arc<ModelServer>,
    generation: u64,
    number: u64,
}

impl Drop for ForeignTransaction {
    fn drop(&mut self) {
        self.server.with(|cluster, now| cluster.end_foreign(self.generation, self.number, now));
    }
}
