//! Connections: a bounded set of them for one purpose, and transactions that cannot be left half done.
//!
//! A future that is dropped in the middle (its timeout passed, its caller went away) leaves a connection in
//! an unknown state; it is then closed rather than given to the next caller, and Postgres undoes its
//! transaction. Nothing is sent between two operations: a pool that asks a connection how it is before or
//! after each use doubles the round trips of a send. A connection that was quiet for a while is asked. All
//! are closed as soon as one says that the server was demoted or is going down.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use metrics::Gauge;
use sqlx::Connection as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connection::{Connection, Connector};
use super::observed::PoolObserved;
use crate::environment::SharedEnvironment;
use crate::panics::lock;
use crate::store::shared::roster::Rosters;
pub(super) use crate::store::sql::Phase;
use crate::store::sql::{self, Stop};
use crate::store::{Outcome, StoreError};

/// A connection that was quiet for longer is asked whether it lives before it is used, in milliseconds.
const QUIET_MS: u64 = 2_000;

/// A connection is used for so long at most, in milliseconds: a name that leads to another server now is
/// followed.
const LIFE_MS: u64 = 30 * 60 * 1_000;

/// How a transaction begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Several statements that write.
    Write,
    /// One statement, which commits by itself.
    Single,
}

/// Up to a fixed number of connections, opened when first needed; callers wait their turn in order.
pub(super) struct Pool {
    connector: Connector,
    acquire: Duration,
    turns: Arc<Semaphore>,
    size: usize,
    shared: Arc<Shared>,
}

struct Shared {
    idle: Mutex<Vec<Resting>>,
    generation: Generation,
    environment: SharedEnvironment,
    in_use: Gauge,
}

/// Counts how often all connections to a server were discarded. Older connections are closed instead of used
/// again. All pools to a server share the number, so each of them learns at once what one of them was told.
///
/// Another server may answer behind the same name from then on. It counts the versions of a membership from
/// where its own log ended. So the cache of memberships ends with the connections.
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
    ) -> Self {
        let size = size.max(1);
        Self {
            connector,
            acquire: Duration::from_millis(acquire_ms),
            turns: Arc::new(Semaphore::new(size)),
            size,
            shared: Arc::new(Shared { idle: Mutex::default(), generation, environment, in_use }),
        }
    }

    /// Begins a transaction when it is this caller's turn. An error means that nothing was sent.
    pub(super) async fn begin(&self, mode: Mode) -> Result<Transaction, StoreError> {
        let mut transaction = self.take().await?;
        // Behind a pooler even one statement is several exchanges, which a transaction keeps on one server.
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

    async fn taken(&self) -> Result<Transaction, StoreError> {
        let turn = Arc::clone(&self.turns)
            .acquire_owned()
            .await
            .map_err(|_| StoreError::definite("the store is closed"))?;
        let now_ms = self.shared.environment.monotonic_ms();
        // Taken before connecting: a connection that was on its way when the others were discarded goes too.
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
                    // The server was away in the meantime: the others that rest are as dead as this one.
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

    /// How much it is used.
    pub(super) fn observed(&self) -> PoolObserved {
        let in_use = self.size - self.turns.available_permits().min(self.size);
        PoolObserved { size: self.size, in_use, idle: self.shared.idle().len() }
    }

    /// Lets nobody begin any more, waits for those at work and closes every connection.
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

/// A connection in use, mostly inside a transaction. Dropped before [`Transaction::finish`], it takes its
/// connection with it.
pub(in crate::store) struct Transaction {
    connection: Option<Connection>,
    shared: Arc<Shared>,
    generation: u64,
    made_ms: u64,
    open: bool,
    _turn: OwnedSemaphorePermit,
}

impl Transaction {
    /// Commits when the work was done, rolls back when it was refused or failed.
    pub(super) async fn finish<T: Send>(self, worked: Result<T, Stop>, phase: &Phase) -> Outcome<T> {
        sql::Transaction::finish(self, worked, phase).await
    }

    /// Undoes everything and frees the connection, unless even that fails.
    pub(super) async fn roll_back(mut self) {
        if self.connection.is_none() {
            return;
        }
        if !self.open || self.script("ROLLBACK".to_owned()).await.is_ok() {
            self.give_back();
        }
    }

    /// Gives up on an attempt that failed before its commit, so that it can be made again on a sound
    /// connection.
    pub(super) async fn abandon(self, error: &sql::Error) {
        sql::Transaction::undo(self, Some(error)).await;
    }

    /// Parts with what cannot be used any more.
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
        // It is taken out only where the transaction ends; the code that ends it does not use it any more.
        self.connection.as_ref().expect("a transaction holds its connection until it is finished")
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Connection {
        // As in `deref`.
        self.connection.as_mut().expect("a transaction holds its connection until it is finished")
    }
}
