//! Putting a node together: the one place that names concrete backends.
//!
//! [`App::build`] opens the store, loads keys and starts the actors; [`App::serve`] binds the address and serves until it is
//! told to stop. Everything else is given what it needs as plain values ([`options`]).

mod banner;
pub mod doctor;
mod gatekeeper;
mod http;
mod migrate;
mod options;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix::Arbiter;
use thiserror::Error;
use tokio::sync::{mpsc, watch};

use self::gatekeeper::IdentityGatekeeper;
use crate::actors::Node;
use crate::actors::inbox::Inbox;
use crate::actors::router::{Router, RouterOptions};
use crate::api::{ApiState, Readiness};
use crate::config::{Settings, StoreBackend};
use crate::environment::{SharedEnvironment, SystemEnvironment};
use crate::identity::{Identity, IdentityError};
use crate::protocol::Failure;
use crate::store::postgres::{OpenError, PostgresStore};
use crate::store::sqlite::SqliteStore;
use crate::store::{SharedStore, StoreError};
use crate::telemetry::{Exporter, Meters, ProcessMeters};

pub use banner::banner;
pub use migrate::migrate;

/// Why a node cannot start; its text says what to do.
#[derive(Debug, Error)]
pub enum AppError {
    /// The store.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// Keys, password parameters, the external issuer.
    #[error("{0}")]
    Identity(#[from] IdentityError),
    /// The address.
    #[error(
        "cannot listen on {address}: {error}; choose another with --listen HOST:PORT (port 0 takes a free one)"
    )]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// The server's threads.
    #[error("the server failed: {0}")]
    Server(#[from] io::Error),
    /// Metrics.
    #[error("{0}")]
    Metrics(#[from] crate::telemetry::exporter::ExporterError),
    /// What the store knows of revocations could not be read.
    #[error("the list of revoked tokens could not be read: the database is unavailable")]
    Revocations,
    /// The database server.
    #[error(transparent)]
    Postgres(#[from] OpenError),
    /// The tables could not be brought up to date.
    #[error("{0}")]
    Migrate(String),
}

/// A node that is ready to serve.
pub struct App {
    settings: Settings,
    environment: SharedEnvironment,
    node: Node,
    identity: Identity,
    readiness: Arc<Readiness>,
    exporter: Exporter,
    actors: Arbiter,
}

impl App {
    /// Opens what the settings name and starts the node's actors. Call inside an actix system.
    ///
    /// # Errors
    /// [`AppError`], for the operator.
    pub async fn build(settings: Settings) -> Result<Self, AppError> {
        let environment = SystemEnvironment::shared();
        let exporter = Exporter::install()?;
        let meters = Arc::new(Meters::new());
        let store = open_store_in_time(&settings, &environment).await?;
        let identity =
            Identity::new(options::identity(&settings), Arc::clone(&store), Arc::clone(&environment))?;
        identity.catch_up().await.map_err(|_: Failure| AppError::Revocations)?;

        let inbox_bytes = settings.gateway.inbox_bytes;
        let inboxes = (0..settings.server.worker_threads()).map(|_| Inbox::new(inbox_bytes)).collect();
        let (router, holes) = Router::new(inboxes, Arc::clone(&meters), RouterOptions::default());
        let actors = Arbiter::new();
        let node = Node::start(
            &actors,
            store,
            Arc::clone(&environment),
            router,
            holes,
            meters,
            options::node(&settings),
        );
        let readiness = Arc::new(Readiness::new(&node));
        Ok(Self { settings, environment, node, identity, readiness, exporter, actors })
    }

    /// Binds the address, says so through `announce`, and serves until SIGTERM, SIGINT or the end of `stop`.
    ///
    /// # Errors
    /// [`AppError`], for the operator.
    pub async fn serve(
        self,
        announce: impl FnOnce(&Settings, SocketAddr),
        stop: impl Future<Output = ()>,
    ) -> Result<(), AppError> {
        let listener = listen(self.settings.server.listen, self.settings.server.backlog)?;
        let address = listener.local_addr()?;
        let (drain, draining) = watch::channel(None);
        let (drained, mut all_drained) = mpsc::channel(self.settings.server.worker_threads());
        let parts = http::Parts {
            node: self.node.clone(),
            gatekeeper: Arc::new(IdentityGatekeeper::new(self.identity.clone())),
            api: self.api_state(),
            gateway: options::gateway(&self.settings),
            limits: *self.node.limits(),
            request_timeout: Duration::from_millis(self.settings.server.request_timeout_ms),
            keep_alive: Duration::from_millis(self.settings.server.keep_alive_ms),
            draining,
            drained,
        };
        let server = http::start(listener, &self.settings.server, parts)?;
        let handle = server.handle();
        let serving = actix_rt::spawn(server);
        self.keep_house();
        announce(&self.settings, address);
        stop.await;
        tracing::info!("stopping: telling clients to reconnect");
        self.readiness.drain();
        let window_ms = self.settings.server.shutdown_ms;
        if drain.send(Some(window_ms)).is_ok() {
            let every_worker = async {
                for _ in 0..self.settings.server.worker_threads() {
                    all_drained.recv().await;
                }
            };
            // A worker that cannot part with its sessions in time loses them with the process.
            let _ = tokio::time::timeout(Duration::from_millis(window_ms + 2_000), every_worker).await;
        }
        handle.stop(true).await;
        // A worker that does not end in time is ended with the process.
        let _ = tokio::time::timeout(Duration::from_secs(2), serving).await;
        self.actors.stop();
        tracing::info!("stopped");
        Ok(())
    }

    fn api_state(&self) -> ApiState {
        let exporter = self.exporter.clone();
        let process = ProcessMeters::new();
        let environment = Arc::clone(&self.environment);
        let trusted = self.settings.server.trusted_proxies.clone();
        ApiState {
            node: self.node.clone(),
            identity: self.identity.clone(),
            readiness: Arc::clone(&self.readiness),
            render_metrics: Arc::new(move || {
                process.sample(environment.monotonic_ms());
                exporter.render()
            }),
            trusted_proxy: Arc::new(move |address| trusted.iter().any(|network| network.contains(address))),
            allowed_origins: self.settings.gateway.allowed_origins.clone().into(),
        }
    }

    /// What goes on beside serving: revocations of other nodes, and the metrics' upkeep.
    fn keep_house(&self) {
        let identity = self.identity.clone();
        self.actors.spawn(async move { identity.run().await });
        let exporter = self.exporter.clone();
        self.actors.spawn(async move {
            let mut every = tokio::time::interval(Duration::from_secs(1));
            loop {
                every.tick().await;
                exporter.run_upkeep();
            }
        });
    }
}

async fn open_store(settings: &Settings, environment: &SharedEnvironment) -> Result<SharedStore, AppError> {
    match settings.store.backend {
        StoreBackend::Sqlite => {
            let store = SqliteStore::open(options::sqlite(settings), Arc::clone(environment)).await?;
            Ok(store)
        }
        StoreBackend::Postgres => {
            let store = PostgresStore::open(options::postgres(settings), Arc::clone(environment)).await?;
            Ok(store)
        }
    }
}

/// Opens the store; one that cannot be reached is waited for, since ending and being started again would not bring it
/// nearer. Whoever asks meanwhile finds nobody listening, as before any start.
async fn open_store_in_time(
    settings: &Settings,
    environment: &SharedEnvironment,
) -> Result<SharedStore, AppError> {
    let mut pause = FIRST_PAUSE;
    loop {
        match open_store(settings, environment).await {
            Err(AppError::Postgres(error @ OpenError::Unreachable(_))) => {
                tracing::warn!(%error, retry_ms = pause.as_millis() as u64, "waiting for the database");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            other => return other,
        }
    }
}

/// Between two tries to reach the database at the start.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

fn listen(address: SocketAddr, backlog: u32) -> Result<TcpListener, AppError> {
    let bind = || {
        let socket =
            socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        Ok(TcpListener::from(socket))
    };
    bind().map_err(|error| AppError::Listen { address, error })
}
