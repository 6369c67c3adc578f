//! Connections: a bounded set of them for one purpose, and transactions that cannot be left half done.
//!
//! A connection is a thread with a queue of statements. A future that is dropped in the middle (its timeout passed, its
//! caller went away) leaves a connection in an unknown state; it is then closed rather than given to the next caller,
//! and SQLite rolls its transaction back.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::store::shared::columns::Columns;
pub(super) use crate::store::sql::Phase;
use crate::store::sql::{self, Stop, before_commit};
use crate::store::{Outcome, StoreError};

/// Up to a fixed number of connections, opened when first needed; callers wait their turn in order.
#[derive(Debug)]
pub(super) struct Lane {
    options: SqliteConnectOptions,
    begin: &'static str,
    idle: Arc<Mutex<Vec<SqliteConnection>>>,
    turns: Arc<Semaphore>,
    steps: Option<Arc<AtomicU64>>,
}

/// After how many steps of SQLite's virtual machine they are counted.
const COUNTED_STEPS: i32 = 16;

impl Lane {
    pub(super) fn new(
        options: SqliteConnectOptions,
        size: usize,
        begin: &'static str,
        steps: Option<Arc<AtomicU64>>,
    ) -> Self {
        Self { options, begin, idle: Arc::default(), turns: Arc::new(Semaphore::new(size.max(1))), steps }
    }

    async fn connect(&self) -> sqlx::Result<SqliteConnection> {
        let mut connection = self.options.connect().await?;
        if let Some(steps) = self.steps.clone() {
            let count = move || {
                steps.fetch_add(COUNTED_STEPS as u64, Ordering::Relaxed);
                true
            };
            connection.lock_handle().await?.set_progress_handler(COUNTED_STEPS, count);
        }
        Ok(connection)
    }

    /// Begins a transaction when it is this caller's turn.
    pub(super) async fn begin(&self) -> Result<Transaction, StoreError> {
        let mut transaction = self.take().await?;
        sqlx::query(self.begin).execute(&mut *transaction).await.map_err(before_commit)?;
        Ok(transaction)
    }

    /// Runs a statement that copies the write-ahead log into the file, without waiting for anybody; false when a reader or
    /// another process keeps a part of it.
    pub(super) async fn checkpoint(&self, statement: &'static str) -> Result<bool, StoreError> {
        let mut connection = self.take().await?;
        let busy = async {
            let usual = sqlx::query("PRAGMA busy_timeout").fetch_one(&mut *connection).await?.int(0)?;
            sqlx::query("PRAGMA busy_timeout = 0").execute(&mut *connection).await?;
            let busy = sqlx::query(statement).fetch_one(&mut *connection).await?.flag(0)?;
            let usual = sqlx::AssertSqlSafe(format!("PRAGMA busy_timeout = {usual}"));
            sqlx::query(usual).execute(&mut *connection).await?;
            Ok::<_, sql::Error>(busy)
        };
        let busy = busy.await.map_err(before_commit)?;
        connection.give_back();
        Ok(!busy)
    }

    async fn take(&self) -> Result<Transaction, StoreError> {
        let turn = Arc::clone(&self.turns)
            .acquire_owned()
            .await
            .map_err(|_| StoreError::definite("the store is closed"))?;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.connect().await.map_err(before_commit)?,
        };
        Ok(Transaction {
            connection: Some(connection),
            begin: self.begin,
            idle: Arc::clone(&self.idle),
            _turn: turn,
        })
    }

    /// Lets nobody begin any more, waits for those at work and closes every connection.
    pub(super) async fn close(&self, size: usize) {
        let turns = u32::try_from(size.max(1)).unwrap_or(u32::MAX);
        let all = self.turns.acquire_many(turns).await;
        self.turns.close();
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        for connection in idle {
            if let Err(error) = connection.close().await {
                tracing::warn!(%error, "closing a database connection failed");
            }
        }
        drop(all);
    }
}

/// An open transaction. Dropped before [`Transaction::finish`] or [`Transaction::end`], it takes its connection with it.
pub(in crate::store) struct Transaction {
    connection: Option<SqliteConnection>,
    begin: &'static str,
    idle: Arc<Mutex<Vec<SqliteConnection>>>,
    _turn: OwnedSemaphorePermit,
}

impl Transaction {
    /// Commits when the work was done, rolls back when it was refused or failed.
    pub(super) async fn finish<T: Send>(self, worked: Result<T, Stop>, phase: &Phase) -> Outcome<T> {
        sql::Transaction::finish(self, worked, phase).await
    }

    /// Ends a transaction that only read.
    pub(super) async fn end<T: Send>(self, worked: Result<T, Stop>) -> Outcome<T> {
        self.finish(worked, &Phase::default()).await
    }

    /// Rolls back and frees the connection, unless even that fails: SQLite may have ended the transaction by itself.
    pub(super) async fn roll_back(mut self) {
        if sqlx::query("ROLLBACK").execute(&mut *self).await.is_ok() {
            self.give_back();
        }
    }

    /// Undoes everything so far and begins again.
    pub(super) async fn begin_anew(&mut self) -> sql::Result<()> {
        sqlx::query("ROLLBACK").execute(&mut **self).await?;
        sqlx::query(self.begin).execute(&mut **self).await?;
        Ok(())
    }

    fn give_back(&mut self) {
        let connection = self.connection.take();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).extend(connection);
    }
}

impl sql::Transaction for Transaction {
    type Connection = SqliteConnection;

    fn connection(&mut self) -> &mut SqliteConnection {
        self
    }

    fn commits_by_itself(&self) -> bool {
        false
    }

    async fn commit(mut self) -> sql::Result<()> {
        sqlx::query("COMMIT").execute(&mut *self).await?;
        self.give_back();
        Ok(())
    }

    async fn undo(self, _why: Option<&sql::Error>) {
        self.roll_back().await;
    }
}

impl Deref for Transaction {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        // Only `end` takes the connection out, and it takes the transaction by value.
        self.connection.as_ref().expect("a transaction holds its connection until it is finished")
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        // As in `deref`.
        self.connection.as_mut().expect("a transaction holds its connection until it is finished")
    }
}
