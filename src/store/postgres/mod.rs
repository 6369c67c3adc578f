//! The store on a Postgres server. Any number of processes share it.
//!
//! Every operation is one transaction with an application timeout. Appending is one round trip. Writers,
//! readers and readers of the tail have separate connections, so that none waits for another. A position is
//! the number of the transaction that wrote. A reader in the order of positions stops before the oldest open
//! transaction, so it skips no event. Replicas answer pages of history if they have the events that the
//! caller must see. The process keeps no state except the cache of group memberships, which is checked
//! against the database at each use.

mod append;
mod check;
mod connection;
mod journal;
mod observed;
mod options;
mod pool;
mod replica_reads;
mod replicas;
mod rows;
mod running;
mod schema;

use std::sync::Arc;
use std::time::Duration;

use metrics::Gauge;
use secrecy::SecretString;

pub use check::{OpenError, check};
pub use options::PostgresOptions;
pub use schema::{migrate, steps};

use super::shared::roster::Rosters;
use super::sql::range::Question;
use super::sql::{self, Backend, Connection as _, Purpose, Rule, Sql, Stop, statement};
use super::{AppendError, Appended, NewMessage, Outcome, Running, StoreError};
use crate::domain::{Limits, Timestamp, UserId};
use crate::environment::SharedEnvironment;
use crate::telemetry::meters::{PostgresMeters, StoreQueueMeters};
use connection::{Connection, Connector};
use pool::{Generation, Mode, Phase, Pool};
use replicas::Replicas;

/// An open store on a database server. Share it behind an `Arc`. Close it with [`PostgresStore::close`] or by
/// dropping the last handle.
#[derive(Debug)]
pub struct PostgresStore {
    writer: Pool,
    reader: Pool,
    tailer: Pool,
    replicas: Replicas,
    rosters: Rosters,
    timeout: Duration,
    limits: Limits,
    meters: PostgresMeters,
}

impl PostgresStore {
    /// Checks that the server accepts writes and has a schema that this release supports, and prepares the
    /// pools.
    ///
    /// # Errors
    /// [`OpenError::Unreachable`]: try again later. [`OpenError::Unusable`]: its text says what to do.
    pub async fn open(
        options: PostgresOptions,
        environment: SharedEnvironment,
    ) -> Result<Arc<Self>, OpenError> {
        check::look(&options.url, &options, true).await?;
        let meters = PostgresMeters::new();
        let queues = StoreQueueMeters::new();
        let pool =
            |connector: Connector, size: usize, generation: Generation, in_use: &Gauge, waiting: &Gauge| {
                let (environment, acquire_ms) = (Arc::clone(&environment), options.acquire_timeout_ms);
                let (in_use, waiting) = (in_use.clone(), waiting.clone());
                Pool::new(connector, size, acquire_ms, generation, environment, in_use, waiting)
            };
        let connector = |url: &SecretString, primary: bool| {
            Connector::new(url, &options, primary).map_err(|error| OpenError::Unusable(error.to_string()))
        };
        let read = options.read_connections;
        let mut replicas = Vec::with_capacity(options.read_urls.len());
        for url in &options.read_urls {
            replicas.push(pool(
                connector(url, false)?,
                read,
                Generation::default(),
                &meters.replica_reading,
                &queues.waiting_reads,
            ));
        }
        let rosters = Rosters::new(options.roster_cache_members);
        let (primary, together) = (connector(&options.url, true)?, Generation::with(&rosters));
        let to_primary =
            |size, in_use, waiting| pool(primary.clone(), size, together.clone(), in_use, waiting);
        let store = Arc::new(Self {
            writer: to_primary(options.write_connections, &meters.writing, &queues.waiting_writes),
            reader: to_primary(read, &meters.reading, &queues.waiting_reads),
            tailer: match &options.tail_url {
                Some(url) => pool(
                    connector(url, false)?,
                    options.tail_connections,
                    Generation::default(),
                    &meters.tailing,
                    &queues.waiting_reads,
                ),
                None => to_primary(options.tail_connections, &meters.tailing, &queues.waiting_reads),
            },
            replicas: Replicas::new(replicas, Arc::clone(&environment), meters.clone()),
            rosters,
            timeout: Duration::from_millis(options.timeout_ms),
            limits: options.limits,
            meters,
        });
        Ok(store)
    }

    /// The number of configured replicas for reads.
    pub fn replicas(&self) -> usize {
        self.replicas.count()
    }

    /// Whether a replica answers a read; `index` counts from 0 in the order of the settings.
    ///
    /// # Errors
    /// The replica does not answer within the store's timeout. Definite: the call only reads.
    pub async fn ping_replica(&self, index: usize) -> Result<(), StoreError> {
        let asked = async {
            let mut transaction = self.replicas.pool(index).begin(Mode::Single).await?;
            let reached = transaction.run(&REACHED, &[]).await.map_err(Stop::from);
            sql::unrefused(transaction.finish(reached, &Phase::default()).await).map(|_| ())
        };
        let late = |_| StoreError::definite("the replica does not answer");
        tokio::time::timeout(self.timeout, asked).await.map_err(late)?
    }

    /// Waits for running operations, refuses new ones and closes every connection.
    pub async fn close(&self) {
        self.tailer.close().await;
        self.replicas.close().await;
        self.reader.close().await;
        self.writer.close().await;
    }
}

impl sql::Transactions for PostgresStore {
    type Transaction = pool::Transaction;

    async fn begin(&self, purpose: Purpose) -> Result<pool::Transaction, StoreError> {
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
const LOCKED: Sql = statement!(postgres: "SELECT 1 FROM meta WHERE name = 'schema' FOR KEY SHARE");
const REACHED: Sql = statement!(postgres: "SELECT tidings_end()");

impl Backend for PostgresStore {
    type Connection = Connection;

    const ONE_WRITER: bool = false;

    fn rosters(&self) -> &Rosters {
        &self.rosters
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    async fn append(
        &self,
        batch: &[NewMessage],
        now: Timestamp,
    ) -> Result<Vec<Result<Appended, AppendError>>, StoreError> {
        append::append(self, batch, now).await
    }

    async fn look_up<Q: Question>(&self, user: UserId, question: Q) -> Outcome<Q::Answer> {
        replica_reads::look_up(self, user, question).await
    }

    async fn running(&self) -> Result<Running, StoreError> {
        running::running(self).await
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
        rule: Rule<Connection, A, T, E>,
    ) -> Outcome<T>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
        E: Into<Stop> + Send + 'static,
    {
        sql::operate_here(self, self.timeout, purpose, arguments, rule).await
    }
}
