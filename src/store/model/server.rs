//! The servers of one database, which the processes of a fleet share.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::copy::{Copy, Sight};
use super::state::{State, Turn};
use super::{Fates, ModelOptions, ModelStore};
use crate::environment::SharedEnvironment;
use crate::panics::lock;
use crate::store::StoreError;
use crate::store::sql::{self, before_commit, values};

/// A transaction that is silent for this long is rolled back, as `idle_in_transaction_session_timeout` does.
const IDLE: Duration = Duration::from_secs(6);

/// The servers of one database.
pub struct ModelServer {
    state: Mutex<State>,
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

impl ModelServer {
    /// A server with the tables of a new database. `epoch` is the log's; `environment` has the server's clock.
    ///
    /// # Errors
    /// The tables cannot be made.
    pub fn new(epoch: u64, environment: SharedEnvironment) -> Result<Arc<Self>, StoreError> {
        let made = || -> sql::Result<State> {
            let copy = Copy::new()?;
            let sight = Sight { position: 0, end: 0, clock_ms: 0 };
            let epoch = epoch.cast_signed();
            copy.execute("INSERT INTO meta (name, value) VALUES ('epoch', $1)", values![epoch], sight)?;
            Ok(State::new(copy, IDLE))
        };
        let state = Mutex::new(made().map_err(before_commit)?);
        Ok(Arc::new(Self { state, turned: Notify::new(), environment }))
    }

    /// The store of one process.
    pub fn connect(
        self: &Arc<Self>,
        options: ModelOptions,
        environment: SharedEnvironment,
        fates: Arc<dyn Fates>,
    ) -> Arc<ModelStore> {
        Arc::new(ModelStore::new(self, options, environment, fates))
    }

    /// Ends all connections of a process that was killed. What the server has received of a commit is
    /// committed, everything else is rolled back.
    pub fn disconnect(&self, process: u64) {
        self.with(|state, now| state.disconnect(process, now));
    }

    /// Lets the log go on by so many positions, as other databases of the server would.
    pub fn skip_positions(&self, by: u64) {
        self.with(|state, _| state.skip(by));
    }

    /// A transaction of somebody else, such as a dump: it holds back the end of the log until it is dropped.
    pub fn hold(self: &Arc<Self>) -> Held {
        let number = self.with(|state, _| state.begin_foreign());
        Held { server: Arc::clone(self), number }
    }

    pub(super) fn clock_ms(&self) -> i64 {
        self.environment.now().as_unix_ms()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Does what is due, then `work`.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut State, Instant) -> T) -> T {
        let now = now();
        let mut state = self.state();
        // A failure is reported by the next statement.
        let _ = state.settle(now);
        let done = work(&mut state, now);
        if state.take_released() {
            self.turned.notify_waiters();
        }
        done
    }

    /// Waits for the lock, behind those who hold it.
    pub(super) async fn locked(&self, session: u64) -> sql::Result<()> {
        loop {
            // Made before the look, so that a release in between is not missed.
            let turned = self.turned.notified();
            match self.with(|state, _| state.lock(session))? {
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
pub struct Held {
    server: Arc<ModelServer>,
    number: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.server.with(|state, now| state.end_foreign(self.number, now));
    }
}
