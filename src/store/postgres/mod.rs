//! The store on a Postgres server. Any number of processes share it.
//!
//! Every operation is one transaction with an application timeout. A position is the number of the
//! transaction that wrote. A reader in the order of positions stops before the oldest open transaction, so it
//! skips no event. The process keeps no state except the cache of group memberships, which is checked against
//! the database at each use. The pools of connections and the replicas are in [`super::pooled`].

mod append;
mod check;
mod connection;
mod grants;
mod journal;
mod observed;
mod options;
mod rows;
mod schema;

use std::sync::Arc;
use std::time::Duration;

use metrics::Gauge;
use secrecy::SecretString;

pub use check::{OpenError, check};
pub use grants::{grant, grants};
pub use options::PostgresOptions;
pub use schema::{migrate, steps};

use super::StoreError;
use super::pooled::{Generation, Mode, Pool, Pooled, Pools, REACHED, Replicas};
use super::shared::roster::Rosters;
use super::sql::{self, Connection as _, Phase, Stop, Transaction as _};
use crate::environment::SharedEnvironment;
use crate::telemetry::meters::{PostgresMeters, StoreQueueMeters};
use connection::{Connection, Connector};

/// An open store on a database server. Share it behind an `Arc`. Close it with [`PostgresStore::close`] or by
/// dropping the last handle.
#[derive(Debug)]
pub struct PostgresStore {
    pools: Pools<Connection>,
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
        check::look(&options.postgres.url, &options, true).await?;
        let meters = PostgresMeters::new();
        let queues = StoreQueueMeters::new();
        let pool =
            |connector: Connector, size: usize, generation: Generation, in_use: &Gauge, waiting: &Gauge| {
                let (environment, acquire_ms) =
                    (Arc::clone(&environment), options.postgres.acquire_timeout_ms);
                let (in_use, waiting) = (in_use.clone(), waiting.clone());
                Pool::new(connector, size, acquire_ms, generation, environment, in_use, waiting)
            };
        let connector = |url: &SecretString, primary: bool| {
            Connector::new(url, &options, primary).map_err(|error| OpenError::Unusable(error.to_string()))
        };
        let read = options.postgres.read_connections as usize;
        let mut replicas = Vec::with_capacity(options.postgres.read_urls.len());
        for url in &options.postgres.read_urls {
            replicas.push(pool(
                connector(url, false)?,
                read,
                Generation::default(),
                &meters.replica_reading,
                &queues.waiting_reads,
            ));
        }
        let rosters = Rosters::new(options.roster_cache_members);
        let (primary, together) = (connector(&options.postgres.url, true)?, Generation::with(&rosters));
        let to_primary =
            |size, in_use, waiting| pool(primary.clone(), size, together.clone(), in_use, waiting);
        let tail = options.postgres.tail_connections as usize;
        let pools = Pools {
            writer: to_primary(
                options.postgres.write_connections as usize,
                &meters.writing,
                &queues.waiting_writes,
            ),
            reader: to_primary(read, &meters.reading, &queues.waiting_reads),
            tailer: match options.tail_url() {
                Some(url) => pool(
                    connector(url, false)?,
                    tail,
                    Generation::default(),
                    &meters.tailing,
                    &queues.waiting_reads,
                ),
                None => to_primary(tail, &meters.tailing, &queues.waiting_reads),
            },
            replicas: Replicas::new(replicas, Arc::clone(&environment), meters.clone()),
            rosters,
            timeout: Duration::from_millis(options.timeout_ms),
            limits: options.limits,
            consent: options.consent,
            meters,
        };
        Ok(Arc::new(Self { pools }))
    }

    /// The number of configured replicas for reads.
    pub fn replicas(&self) -> usize {
        self.pools.replicas.count()
    }

    /// Whether a replica answers a read; `index` counts from 0 in the order of the settings.
    ///
    /// # Errors
    /// The replica does not answer within the store's timeout. Definite: the call only reads.
    pub async fn ping_replica(&self, index: usize) -> Result<(), StoreError> {
        let asked = async {
            let mut transaction = self.pools.replicas.pool(index).begin(Mode::Single).await?;
            let reached = transaction.run(&REACHED, &[]).await.map_err(Stop::from);
            sql::unrefused(transaction.finish(reached, &Phase::default()).await).map(|_| ())
        };
        let late = |_| StoreError::definite("the replica does not answer");
        tokio::time::timeout(self.pools.timeout, asked).await.map_err(late)?
    }

    /// Waits for running operations, refuses new ones and closes every connection.
    pub async fn close(&self) {
        self.pools.close().await;
    }
}

impl Pooled for PostgresStore {
    type Link = Connection;

    fn pools(&self) -> &Pools<Connection> {
        &self.pools
    }
}
