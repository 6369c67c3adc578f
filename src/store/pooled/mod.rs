//! A store on a database server that several processes share: its pools of connections and its replicas.
//!
//! Writers, readers and readers of the tail have separate connections, so that none waits for another.
//! Appending is one round trip. Replicas answer pages of history if they have the events that the caller must
//! see. What depends on the server behind the connections is in [`Link`].

mod append;
mod call;
mod link;
mod observed;
mod pool;
mod replica_reads;
mod replicas;

use std::fmt;
use std::time::Duration;

pub(in crate::store) use self::call::{Answer, Call, Entry};
pub(in crate::store) use self::link::{Control, Link};
pub use self::observed::PoolObserved;
pub(in crate::store) use self::pool::{Generation, Mode, Pool, Transaction};
pub(in crate::store) use self::replicas::Replicas;
use super::shared::roster::Rosters;
use super::sql::range::Question;
use super::sql::{self, Backend, Connection as _, Purpose, Rule, Sql, Stop, statement};
use super::{AppendError, Appended, NewMessage, Outcome, Running, StoreError};
use crate::domain::{ConsentRules, Limits, Timestamp, UserId};
use crate::telemetry::meters::PostgresMeters;

/// The connections to a primary and its replicas.
pub(in crate::store) struct Pools<L: Link> {
    pub writer: Pool<L>,
    pub reader: Pool<L>,
    pub tailer: Pool<L>,
    pub replicas: Replicas<L>,
    pub rosters: Rosters,
    pub timeout: Duration,
    pub limits: Limits,
    pub consent: ConsentRules,
    pub meters: PostgresMeters,
}

impl<L: Link> fmt::Debug for Pools<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pools").field("writer", &self.writer).finish_non_exhaustive()
    }
}

impl<L: Link> Pools<L> {
    /// Waits for running operations, refuses new ones and closes every connection.
    pub(in crate::store) async fn close(&self) {
        self.tailer.close().await;
        self.replicas.close().await;
        self.reader.close().await;
        self.writer.close().await;
    }
}

impl<L: Link> sql::Transactions for Pools<L> {
    type Transaction = Transaction<L>;

    async fn begin(&self, purpose: Purpose) -> Result<Transaction<L>, StoreError> {
        match purpose {
            Purpose::Write => self.writer.begin(Mode::Write).await,
            Purpose::Once => self.writer.begin(Mode::Single).await,
            Purpose::Read => self.reader.begin(Mode::Single).await,
            Purpose::Tail => self.tailer.begin(Mode::Single).await,
        }
    }
}

/// A server that does not write refuses a row lock, as it refuses an update. A row lock leaves no work for
/// vacuum.
const LOCKED: Sql = statement!(shared: "SELECT 1 FROM meta WHERE name = 'schema' {key_lock}");
pub(in crate::store) const REACHED: Sql = statement!(shared: "SELECT {end_position}");

/// A store over such connections.
pub(in crate::store) trait Pooled: Send + Sync + 'static {
    type Link: Link;

    fn pools(&self) -> &Pools<Self::Link>;
}

impl<P: Pooled> Backend for P {
    type Connection = P::Link;

    const ONE_WRITER: bool = false;

    fn rosters(&self) -> &Rosters {
        &self.pools().rosters
    }

    fn limits(&self) -> &Limits {
        &self.pools().limits
    }

    fn consent(&self) -> &ConsentRules {
        &self.pools().consent
    }

    async fn append(
        &self,
        batch: &[NewMessage],
        now: Timestamp,
    ) -> Result<Vec<Result<Appended, AppendError>>, StoreError> {
        append::append(self.pools(), batch, now).await
    }

    async fn look_up<Q: Question>(&self, user: UserId, question: Q) -> Outcome<Q::Answer> {
        replica_reads::look_up(self.pools(), user, question).await
    }

    async fn running(&self) -> Result<Running, StoreError> {
        self.read((), |connection, ()| Box::pin(connection.running())).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.write((), |connection, ()| Box::pin(connection.run(&LOCKED, &[]))).await?;
        self.read((), |connection, ()| Box::pin(connection.run(&REACHED, &[]))).await.map(|_| ())
    }

    async fn scrub(&self) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn operate<A, T, E>(
        &self,
        purpose: Purpose,
        arguments: A,
        rule: Rule<P::Link, A, T, E>,
    ) -> Outcome<T>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
        E: Into<Stop> + Send + 'static,
    {
        let pools = self.pools();
        sql::operate_here(pools, pools.timeout, purpose, arguments, rule).await
    }
}
