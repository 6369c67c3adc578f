//! The store of one process.

use std::sync::Arc;
use std::time::Duration;

use metrics::Gauge;

use super::connection::{Connection, Connector};
use super::fates::{Destination, Fates};
use super::server::ModelServer;
use crate::domain::{ConsentRules, Limits};
use crate::environment::SharedEnvironment;
use crate::store::pooled::{Generation, Pool, Pooled, Pools, Replicas};
use crate::store::shared::roster::Rosters;
use crate::telemetry::meters::{PostgresMeters, StoreQueueMeters};

/// Settings of one process's store. They have the meaning of those for Postgres.
#[derive(Debug, Clone)]
pub struct ModelOptions {
    /// The name of the process for [`Fates`] and [`ModelServer::disconnect`].
    pub process: u64,
    /// The replicas from which history and ranges are read if they have the events that the caller must see.
    pub read_replicas: Vec<usize>,
    /// The replica from which log consumers read the tail; `None`: the primary.
    pub tail_replica: Option<usize>,
    /// The maximum number of connections for writes.
    pub write_connections: usize,
    /// The maximum number of connections for reads.
    pub read_connections: usize,
    /// The maximum number of connections for log consumers that read the tail.
    pub tail_connections: usize,
    /// The time limit of one operation, in milliseconds.
    pub timeout_ms: u64,
    /// The time limit of the wait for a connection, in milliseconds.
    pub acquire_timeout_ms: u64,
    /// The maximum number of members' ids in the cache of group memberships.
    pub roster_cache_members: u64,
    /// The limits on the number of members.
    pub limits: Limits,
    /// The rules about strangers.
    pub consent: ConsentRules,
}

impl ModelOptions {
    /// The defaults, for the process with this name.
    pub fn new(process: u64) -> Self {
        Self {
            process,
            read_replicas: Vec::new(),
            tail_replica: None,
            write_connections: 8,
            read_connections: 8,
            tail_connections: 2,
            timeout_ms: 3_000,
            acquire_timeout_ms: 1_000,
            roster_cache_members: 1_000_000,
            limits: Limits::default(),
            consent: ConsentRules::open(),
        }
    }
}

/// The store of one process. Dropping the last handle closes its connections.
#[derive(Debug)]
pub struct ModelStore {
    pools: Pools<Connection>,
}

impl ModelServer {
    /// The store of one process.
    pub fn connect(
        self: &Arc<Self>,
        options: ModelOptions,
        environment: SharedEnvironment,
        fates: Arc<dyn Fates>,
    ) -> Arc<ModelStore> {
        Arc::new(ModelStore::new(self, options, environment, fates))
    }
}

impl ModelStore {
    fn new(
        server: &Arc<ModelServer>,
        options: ModelOptions,
        environment: SharedEnvironment,
        fates: Arc<dyn Fates>,
    ) -> Self {
        let (meters, queues) = (PostgresMeters::new(), StoreQueueMeters::new());
        let rosters = Rosters::new(options.roster_cache_members);
        let together = Generation::with(&rosters);
        let pool = |to, size, in_use: &Gauge, waiting: &Gauge| {
            let (server, fates, process) = (Arc::clone(server), Arc::clone(&fates), options.process);
            let connector = Connector { server, process, fates, to };
            let generation = match to {
                Destination::Primary => together.clone(),
                Destination::Replica(_) => Generation::default(),
            };
            let (acquire_ms, environment) = (options.acquire_timeout_ms, Arc::clone(&environment));
            Pool::new(connector, size, acquire_ms, generation, environment, in_use.clone(), waiting.clone())
        };
        let to_primary = |size, in_use, waiting| pool(Destination::Primary, size, in_use, waiting);
        let to_replica = |index: &usize| {
            let (to, size) = (Destination::Replica(*index), options.read_connections);
            pool(to, size, &meters.replica_reading, &queues.waiting_reads)
        };
        let replicas = options.read_replicas.iter().map(to_replica).collect();
        let tail_from = options.tail_replica.map_or(Destination::Primary, Destination::Replica);
        let tailer = pool(tail_from, options.tail_connections, &meters.tailing, &queues.waiting_reads);
        let pools = Pools {
            writer: to_primary(options.write_connections, &meters.writing, &queues.waiting_writes),
            reader: to_primary(options.read_connections, &meters.reading, &queues.waiting_reads),
            tailer,
            replicas: Replicas::new(replicas, Arc::clone(&environment), meters.clone()),
            rosters,
            timeout: Duration::from_millis(options.timeout_ms),
            limits: options.limits,
            consent: options.consent,
            meters,
        };
        Self { pools }
    }

    /// Waits for running operations, refuses new ones and closes every connection.
    pub async fn close(&self) {
        self.pools.close().await;
    }
}

impl Pooled for ModelStore {
    type Link = Connection;

    fn pools(&self) -> &Pools<Connection> {
        &self.pools
    }
}
