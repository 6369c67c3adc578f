//! A connection to a database server, as a pool sees it.

use super::call::{Answer, Call};
use crate::store::sql::journal::Recorder;
use crate::store::sql::{self, Connection};
use crate::store::{Running, StoreError};

/// What begins or ends a transaction of several statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Control {
    Begin,
    Commit,
    Rollback,
}

/// A connection to one of the servers. If it is dropped, the server rolls back its open transaction.
pub(in crate::store) trait Link: Connection + Recorder + Sized + Send + 'static {
    /// How connections of one pool are opened.
    type Connector: Send + Sync;

    fn connect(connector: &Self::Connector) -> impl Future<Output = Result<Self, StoreError>> + Send;

    /// Whether the server still answers.
    fn ping(&mut self) -> impl Future<Output = bool> + Send;

    fn control(&mut self, control: Control) -> impl Future<Output = sql::Result<()>> + Send;

    /// Whether a single statement needs no transaction around it.
    fn prepared(&self) -> bool;

    /// Appends messages with different keys, by one statement.
    fn append(&mut self, call: &Call<'_>) -> impl Future<Output = sql::Result<Answer>> + Send;

    /// The open transactions that hold back the end of the log.
    fn running(&mut self) -> impl Future<Output = sql::Result<Running>> + Send;

    /// Closes the connection in order.
    fn close(self) -> impl Future<Output = ()> + Send;
}
