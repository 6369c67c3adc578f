//! The embedded store: one SQLite file, without installation.
//!
//! One thread writes, in the order of the callers. A few threads read, each call from one snapshot of the
//! write-ahead log. A thread receives an operation as a whole: one transaction, with an application timeout.
//! After a restart all acknowledged data is present (`store.sqlite.synchronous = "full"`). When the store is
//! opened, it continues to remove deleted content.

pub(in crate::store) mod append;
mod clean;
pub(in crate::store) mod connection;
pub(in crate::store) mod journal;
pub(in crate::store) mod migrations;
mod observed;
pub(in crate::store) mod open;
mod options;
mod pool;
pub(in crate::store) mod positions;
pub(in crate::store) mod row;
mod scrub;
mod worker;

use std::time::Duration;

pub use migrations::steps;
pub use options::SqliteOptions;

use super::shared::roster::Rosters;
use super::sql::{self, Backend, Purpose, Rule, Sql, Stop, statement};
use super::{AppendError, Appended, Log, NewMessage, Outcome, Running, StoreError};
use crate::domain::{ConsentRules, Limits, Timestamp};
use connection::Connection;
use pool::{Pool, at_once};

/// An open database file. Share it behind an `Arc`. Close it with [`SqliteStore::close`] or by dropping the
/// last handle.
#[derive(Debug)]
pub struct SqliteStore {
    writer: Pool,
    reader: Pool,
    rosters: Rosters,
    timeout: Duration,
    wait_for_others: Duration,
    limits: Limits,
    consent: ConsentRules,
    scrub: scrub::Scrub,
}

impl SqliteStore {
    /// Makes a thread copy the write-ahead log into the file; false when a reader or another process still
    /// uses a part of it.
    async fn checkpoint(
        &self,
        pool: &Pool,
        limit: Duration,
        statement: &'static str,
    ) -> Result<bool, StoreError> {
        let wait = self.wait_for_others;
        pool.call(limit, Purpose::Write, move |worker, _| worker.checkpoint(statement, wait)).await
    }
}

/// A separate row, which takes space in the log like every write.
const PROBE: Sql = statement!(sqlite:
    "INSERT INTO meta (name, value) VALUES ('probe', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1",
);

impl Backend for SqliteStore {
    type Connection = Connection;

    const ONE_WRITER: bool = true;

    fn rosters(&self) -> &Rosters {
        &self.rosters
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn consent(&self) -> &ConsentRules {
        &self.consent
    }

    async fn append(
        &self,
        batch: &[NewMessage],
        now: Timestamp,
    ) -> Result<Vec<Result<Appended, AppendError>>, StoreError> {
        append::append(self, batch, now).await
    }

    async fn running(&self) -> Result<Running, StoreError> {
        // There is one writer, so no event is committed after the log's end.
        Ok(Running { numbers: Vec::new(), next: Log::end(self).await?.position })
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.write((), |on, ()| Box::pin(sql::Connection::run(on, &PROBE, &[]))).await?;
        Log::end(self).await.map(|_| ())
    }

    async fn scrub(&self) -> Result<bool, StoreError> {
        scrub::scrub(self).await
    }

    async fn operate<A, T, E>(
        &self,
        purpose: Purpose,
        arguments: A,
        rule: Rule<Connection, A, T, E>,
    ) -> Outcome<T>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
        E: Into<Stop> + Send + 'static,
    {
        let pool = if purpose.reads() { &self.reader } else { &self.writer };
        let work = pool.call(self.timeout, purpose, move |worker, phase| {
            at_once(sql::drive(&worker, purpose, &arguments, rule, phase))
        });
        work.await
    }
}
