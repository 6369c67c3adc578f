//! The connection of a database thread, and transactions on it that are never left half done.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::connection::Connection;
use crate::panics::lock;
use crate::store::StoreError;
use crate::store::shared::columns::Columns;
use crate::store::sql::{self, Error, Phase, Purpose, before_commit};

/// Opens a connection that interrupts a statement when its caller no longer waits.
pub(super) type Connect = dyn Fn(&Watched) -> sql::Result<Connection> + Send + Sync;

/// The running operation of a thread, which its connection checks in the middle of a statement.
#[derive(Debug, Default, Clone)]
pub(super) struct Watched(Arc<Mutex<Option<Arc<Phase>>>>);

impl Watched {
    fn set(&self, phase: Option<Arc<Phase>>) {
        *lock(&self.0) = phase;
    }

    /// The caller no longer waits, and the operation has not begun to commit.
    pub(super) fn given_up(&self) -> bool {
        lock(&self.0).as_ref().is_some_and(|phase| phase.has_given_up())
    }
}

/// One database thread's connection, opened when it is first needed, and again after it was lost.
pub(super) struct Worker {
    connect: Arc<Connect>,
    idle: Mutex<Option<Connection>>,
    watched: Watched,
}

impl Worker {
    pub(super) fn new(connect: Arc<Connect>) -> Self {
        Self { connect, idle: Mutex::default(), watched: Watched::default() }
    }

    /// Runs the work of an operation. The work is interrupted when its phase says that the caller gave up.
    pub(super) fn watched<T>(&self, phase: &Arc<Phase>, work: impl FnOnce(&Self) -> T) -> T {
        self.watched.set(Some(Arc::clone(phase)));
        let done = work(self);
        self.watched.set(None);
        done
    }

    /// Copies the write-ahead log into the file, without waiting for others; false when a reader or another
    /// process uses a part of it. `wait`: the usual time to wait for others.
    pub(super) fn checkpoint(&self, statement: &str, wait: Duration) -> Result<bool, StoreError> {
        let connection = self.take().map_err(before_commit)?;
        let busy = (|| {
            connection.wait_for_others(Duration::ZERO)?;
            let rows = connection.rows(statement, &[])?;
            connection.wait_for_others(wait)?;
            rows.first().ok_or_else(Error::no_row)?.flag(0)
        })();
        let busy = busy.map_err(before_commit)?;
        self.give_back(connection);
        Ok(!busy)
    }

    fn take(&self) -> sql::Result<Connection> {
        let idle = lock(&self.idle).take();
        idle.map_or_else(|| (self.connect)(&self.watched), Ok)
    }

    fn give_back(&self, connection: Connection) {
        *lock(&self.idle) = Some(connection);
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("idle", &self.idle).finish_non_exhaustive()
    }
}

impl<'w> sql::Transactions for &'w Worker {
    type Transaction = Transaction<'w>;

    async fn begin(&self, purpose: Purpose) -> Result<Transaction<'w>, StoreError> {
        let begin = if purpose.reads() { "BEGIN" } else { "BEGIN IMMEDIATE" };
        let connection = self.take().map_err(before_commit)?;
        // Also when an earlier transaction could not be rolled back.
        connection.execute(begin, &[]).map_err(before_commit)?;
        Ok(Transaction { connection, worker: self })
    }
}

/// An open transaction. If it is dropped before it is finished, its connection is closed, and SQLite rolls it
/// back.
pub(super) struct Transaction<'w> {
    connection: Connection,
    worker: &'w Worker,
}

impl sql::Transaction for Transaction<'_> {
    type Connection = Connection;

    fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    fn commits_by_itself(&self) -> bool {
        false
    }

    async fn commit(self) -> sql::Result<()> {
        self.connection.execute("COMMIT", &[])?;
        self.worker.give_back(self.connection);
        Ok(())
    }

    async fn undo(self, _why: Option<&Error>) {
        // After some errors SQLite has already rolled it back.
        if !self.connection.in_transaction() || self.connection.execute("ROLLBACK", &[]).is_ok() {
            self.worker.give_back(self.connection);
        }
    }
}
