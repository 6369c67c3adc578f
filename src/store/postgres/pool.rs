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
use sqlx::Connection as _;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use super::connection::{Connection, Connector};
use super::observed::PoolObserved;
use crate::environment::SharedEnvironment;
use crate::panics::lock;
use crate::store::shared::roster::Rosters;
pub(super) use crate::store::sql::Phase;
use crate::store::sql::{self, Stop};
use crate::store::{Outcome, StoreError};

/// A connection that was idle for longer is checked before it is used, in milliseconds.
const QUIET_MS: u64 = 2_000;

/// The maximum age of a connection, in milliseconds. So the pool follows a host name that now resolves to
/// another server.
const LIFE_MS: u64 = 30 * 60 * 1_000;

/// How a transaction begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Several statements, some of which write.
    Write,
    /// One statement, which commits by itself.
    Single,
}

/// Up to a fixed number of connections, opened when first needed. Callers wait in order.
pub(super) struct Pool {
    connector: Connector,
    acquire: Duration,
    turns: Arc<Semaphore>,
    size: usize,
    shared: Arc<Shared>,
    /// Callers that wait for their turn.
    waiting: AtomicUsize,
    waiting_gauge: Gauge,
}

/// Counts a waiting caller while this lives.
struct Waiting<'p>(&'p Pool);

impl<'p> Waiting<'p> {
    fn new(pool: &'p Pool) -> Self {
        pool.waiting.fetch_add(1, Ordering::Relaxed);
        pool.waiting_gauge.increment(1.0);
        Self(pool)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
        self.0.waiting_gauge.decrement(1.0);
    }
}

struct Shared {
    idle: Mutex<Vec<Resting>>,
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
pub(super) struct Generation {
    count: Arc<AtomicU64>,
    rosters: Option<Rosters>,
}

impl Generation {
    pub(super) fn with(rosters: &Rosters) -> Self {
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

struct Resting {
    connection: Connection,
    generation: u64,
    made_ms: u64,
    since_ms: u64,
}

impl Shared {
    fn idle(&self) -> MutexGuard<'_, Vec<Resting>> {
        lock(&self.idle)
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("size", &self.size).field("connector", &"…").finish()
    }
}

impl Pool {
    pub(super) fn new(
        connector: Connector,
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
    pub(super) async fn begin(&self, mode: Mode) -> Result<Transaction, StoreError> {
        let mut transaction = self.take().await?;
        // Behind a pooler even one statement takes several round trips, and a transaction keeps them on one
        // server.
        let begin = match mode {
            Mode::Single if transaction.prepared() => return Ok(transaction),
            Mode::Single | Mode::Write => "BEGIN",
        };
        transaction.open = true;
        let begun = transaction.script(begin.to_owned()).await;
        if let Err(error) = begun {
            transaction.heard(&error);
            return Err(error.before_commit());
        }
        Ok(transaction)
    }

    async fn take(&self) -> Result<Transaction, StoreError> {
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
        let _waiting = Waiting::new(self);
        Arc::clone(&self.turns).acquire_owned().await
    }

    async fn taken(&self) -> Result<Transaction, StoreError> {
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
                    Ok(()) => (resting.connection, resting.made_ms),
                    // The server was away in the meantime, so the other idle connections are dead too.
                    Err(_) => {
                        self.shared.generation.end();
                        (self.connector.connect().await?, now_ms)
                    }
                }
            }
            Some(resting) => (resting.connection, resting.made_ms),
            None => (self.connector.connect().await?, now_ms),
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
    pub(super) fn observed(&self) -> PoolObserved {
        let in_use = self.size - self.turns.available_permits().min(self.size);
        PoolObserved {
            size: self.size,
            in_use,
            idle: self.shared.idle().len(),
            waiting_callers: self.waiting.load(Ordering::Relaxed),
        }
    }

    /// Refuses new transactions, waits for the running ones and closes every connection.
    pub(super) async fn close(&self) {
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

/// A connection in use, mostly inside a transaction. If it is dropped before [`Transaction::finish`], its
/// connection is closed.
pub(in crate::store) struct Transaction {
    connection: Option<Connection>,
    shared: Arc<Shared>,
    generation: u64,
    made_ms: u64,
    open: bool,
    _turn: OwnedSemaphorePermit,
}

impl Transaction {
    /// Commits if the work succeeded, rolls back if it was refused or failed.
    pub(super) async fn finish<T: Send>(self, worked: Result<T, Stop>, phase: &Phase) -> Outcome<T> {
        sql::Transaction::finish(self, worked, phase).await
    }

    /// Rolls back and returns the connection, or closes it if that fails.
    pub(super) async fn roll_back(mut self) {
        if self.connection.is_none() {
            return;
        }
        if !self.open || self.script("ROLLBACK".to_owned()).await.is_ok() {
            self.give_back();
        }
    }

    /// Ends an attempt that failed before its commit, so that it can be repeated on a working connection.
    pub(super) async fn abandon(self, error: &sql::Error) {
        sql::Transaction::undo(self, Some(error)).await;
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

impl sql::Transaction for Transaction {
    type Connection = Connection;

    fn connection(&mut self) -> &mut Connection {
        self
    }

    fn commits_by_itself(&self) -> bool {
        !self.open
    }

    async fn commit(mut self) -> sql::Result<()> {
        if self.open
            && let Err(error) = self.script("COMMIT".to_owned()).await
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

impl Drop for Transaction {
    fn drop(&mut self) {
        self.drop_link();
    }
}

impl Deref for Transaction {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        // The value is taken out only where the transaction ends; the code that ends it does not use it
        // afterwards.
        self.connection.as_ref().expect("a transaction holds its connection until it is finished")
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Connection {
        // As in `deref`.
        self.connection.as_mut().expect("a transaction holds its connection until it is finished")
    }
}
