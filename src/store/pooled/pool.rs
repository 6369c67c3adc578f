//! A bounded pool of connections for one purpose, and transactions that are never left half done.
//!
//! When a future is dropped in the middle (its timeout passed, its caller went away), its connection is in an
//! unknown state. The pool closes it and does not give it to the next caller, and Postgres rolls back its
//! transaction. The pool sends nothing between two operations, because a check before or after each use would
//! double the round trips of a send. It checks only a connection that was idle for a while. It closes all
//! connections as soon as one reports that the server was demoted or is shutting down.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use metrics::Gauge;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use super::link::{Control, Link};
use super::observed::PoolObserved;
use crate::environment::SharedEnvironment;
use crate::panics::lock;
use crate::store::StoreError;
use crate::store::shared::roster::Rosters;
use crate::store::sql;

/// A connection that was idle for longer is checked before it is used, in milliseconds.
const QUIET_MS: u64 = 2_000;

/// The maximum age of a connection, in milliseconds. So the pool follows a host name that now resolves to
/// another server.
const LIFE_MS: u64 = 30 * 60 * 1_000;

/// How a transaction begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Mode {
    /// Several statements, some of which write.
    Write,
    /// One statement, which commits by itself.
    Single,
}

/// Up to a fixed number of connections, opened when first needed. Callers wait in order.
pub(in crate::store) struct Pool<L: Link> {
    connector: L::Connector,
    acquire: Duration,
    turns: Arc<Semaphore>,
    size: usize,
    shared: Arc<Shared<L>>,
    /// Callers that wait for their turn.
    waiting: AtomicUsize,
    waiting_gauge: Gauge,
}

/// Counts a waiting caller while this lives.
struct Waiting<'p> {
    waiting: &'p AtomicUsize,
    gauge: &'p Gauge,
}

impl<'p> Waiting<'p> {
    fn new(waiting: &'p AtomicUsize, gauge: &'p Gauge) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        gauge.increment(1.0);
        Self { waiting, gauge }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        self.gauge.decrement(1.0);
    }
}

struct Shared<L> {
    idle: Mutex<Vec<Resting<L>>>,
    generation: Generation,
    environment: SharedEnvironment,
    in_use: Gauge,
}

/// Counts how often all connections to a server were discarded. Older connections are closed and not used
/// again. All pools to a server share the number, so each of them learns at once what another one noticed.
///
/// Afterwards another server may answer behind the same name. It continues the versions of a membership from
/// the end of its own log. So the cache of memberships is emptied together with the connections.
#[derive(Debug, Clone, Default)]
pub(in crate::store) struct Generation {
    count: Arc<AtomicU64>,
    rosters: Option<Rosters>,
}

impl Generation {
    pub(in crate::store) fn with(rosters: &Rosters) -> Self {
        Self { count: Arc::default(), rosters: Some(rosters.clone()) }
    }

    fn now(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    fn end(&self) {
        self.count.fetch_add(1, Ordering::AcqRel);
        if let Some(rosters) = &self.rosters {
            rosters.clear();
        }
    }
}

struct Resting<L> {
    connection: L,
    generation: u64,
    made_ms: u64,
    since_ms: u64,
}

impl<L> Shared<L> {
    fn idle(&self) -> MutexGuard<'_, Vec<Resting<L>>> {
        lock(&self.idle)
    }
}

impl<L: Link> std::fmt::Debug for Pool<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("size", &self.size).field("connector", &"…").finish()
    }
}

impl<L: Link> Pool<L> {
    pub(in crate::store) fn new(
        connector: L::Connector,
        size: usize,
        acquire_ms: u64,
        generation: Generation,
        environment: SharedEnvironment,
        in_use: Gauge,
        waiting_gauge: Gauge,
    ) -> Self {
        let size = size.max(1);
        Self {
            connector,
            acquire: Duration::from_millis(acquire_ms),
            turns: Arc::new(Semaphore::new(size)),
            size,
            shared: Arc::new(Shared { idle: Mutex::default(), generation, environment, in_use }),
            waiting: AtomicUsize::new(0),
            waiting_gauge,
        }
    }

    /// Begins a transaction after the callers before this one. An error means that nothing was sent.
    pub(in crate::store) async fn begin(&self, mode: Mode) -> Result<Transaction<L>, StoreError> {
        let mut transaction = self.take().await?;
        // Behind a pooler even one statement takes several round trips, and a transaction keeps them on one
        // server.
        if mode == Mode::Single && transaction.prepared() {
            return Ok(transaction);
        }
        transaction.open = true;
        let begun = transaction.control(Control::Begin).await;
        if let Err(error) = begun {
            transaction.heard(&error);
            return Err(error.before_commit());
        }
        Ok(transaction)
    }

    async fn take(&self) -> Result<Transaction<L>, StoreError> {
        let taken = tokio::time::timeout(self.acquire, self.taken()).await;
        let late = || {
            StoreError::definite(format!(
                "no connection to the database within {} ms",
                self.acquire.as_millis()
            ))
        };
        taken.unwrap_or_else(|_| Err(late()))
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, AcquireError> {
        if let Ok(turn) = Arc::clone(&self.turns).try_acquire_owned() {
            return Ok(turn);
        }
        let _waiting = Waiting::new(&self.waiting, &self.waiting_gauge);
        Arc::clone(&self.turns).acquire_owned().await
    }

    async fn taken(&self) -> Result<Transaction<L>, StoreError> {
        let turn = self.turn().await.map_err(|_| StoreError::definite("the store is closed"))?;
        let now_ms = self.shared.environment.monotonic_ms();
        // Read before connecting, so that a connection that was being opened while the others were discarded
        // is discarded too.
        let generation = self.shared.generation.now();
        let fresh = {
            let mut idle = self.shared.idle();
            idle.retain(|resting| resting.generation == generation);
            idle.pop().filter(|resting| now_ms.saturating_sub(resting.made_ms) < LIFE_MS)
        };
        let (connection, made_ms) = match fresh {
            Some(mut resting) if now_ms.saturating_sub(resting.since_ms) > QUIET_MS => {
                match resting.connection.ping().await {
                    true => (resting.connection, resting.made_ms),
                    // The server was away in the meantime, so the other idle connections are dead too.
                    false => {
                        self.shared.generation.end();
                        (L::connect(&self.connector).await?, now_ms)
                    }
                }
            }
            Some(resting) => (resting.connection, resting.made_ms),
            None => (L::connect(&self.connector).await?, now_ms),
        };
        self.shared.in_use.increment(1.0);
        let shared = Arc::clone(&self.shared);
        Ok(Transaction {
            connection: Some(connection),
            shared,
            generation,
            made_ms,
            open: false,
            _turn: turn,
        })
    }

    /// The current use of the pool.
    pub(in crate::store) fn observed(&self) -> PoolObserved {
        let in_use = self.size - self.turns.available_permits().min(self.size);
        PoolObserved {
            size: self.size,
            in_use,
            idle: self.shared.idle().len(),
            waiting_callers: self.waiting.load(Ordering::Relaxed),
        }
    }

    /// Refuses new transactions, waits for the running ones and closes every connection.
    pub(in crate::store) async fn close(&self) {
        let turns = u32::try_from(self.size).unwrap_or(u32::MAX);
        let all = self.turns.acquire_many(turns).await;
        self.turns.close();
        let resting = std::mem::take(&mut *self.shared.idle());
        for Resting { connection, .. } in resting {
            connection.close().await;
        }
        drop(all);
    }
}

/// A connection in use, mostly inside a transaction. If it is dropped before
/// [`crate::store::sql::Transaction::finish`], its connection is closed.
pub(in crate::store) struct Transaction<L: Link> {
    connection: Option<L>,
    shared: Arc<Shared<L>>,
    generation: u64,
    made_ms: u64,
    open: bool,
    _turn: OwnedSemaphorePermit,
}

impl<L: Link> Transaction<L> {
    /// Rolls back and returns the connection, or closes it if that fails.
    async fn roll_back(mut self) {
        if self.connection.is_none() {
            return;
        }
        if !self.open || self.control(Control::Rollback).await.is_ok() {
            self.give_back();
        }
    }

    /// Discards connections that cannot be used any more.
    fn heard(&mut self, error: &sql::Error) {
        if error.server_unfit() {
            self.drop_link();
            self.shared.generation.end();
        }
    }

    fn drop_link(&mut self) {
        if self.connection.take().is_some() {
            self.shared.in_use.decrement(1.0);
        }
    }

    fn give_back(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        self.shared.in_use.decrement(1.0);
        let since_ms = self.shared.environment.monotonic_ms();
        self.shared.idle().push(Resting {
            connection,
            generation: self.generation,
            made_ms: self.made_ms,
            since_ms,
        });
    }
}

impl<L: Link> sql::Transaction for Transaction<L> {
    type Connection = L;

    fn connection(&mut self) -> &mut L {
        self
    }

    fn commits_by_itself(&self) -> bool {
        !self.open
    }

    async fn commit(mut self) -> sql::Result<()> {
        if self.open
            && let Err(error) = self.control(Control::Commit).await
        {
            self.heard(&error);
            return Err(error);
        }
        self.give_back();
        Ok(())
    }

    async fn undo(mut self, why: Option<&sql::Error>) {
        if let Some(error) = why {
            self.heard(error);
        }
        self.roll_back().await;
    }
}

impl<L: Link> Drop for Transaction<L> {
    fn drop(&mut self) {
        self.drop_link();
    }
}

impl<L: Link> Deref for Transaction<L> {
    type Target = L;

    fn deref(&self) -> &L {
        // The value is taken out only where the transaction ends; the code that ends it does not use it
        // afterwards.
        self.connection.as_ref().expect("a transaction holds its connection until it is finished")
    }
}

impl<L: Link> DerefMut for Transaction<L> {
    fn deref_mut(&mut self) -> &mut L {
        // As in `deref`.
        self.connection.as_mut().expect("a transaction holds its connection until it is finished")
    }
}
