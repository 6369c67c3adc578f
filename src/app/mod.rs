//! Putting a node together: the one place that names concrete backends.
//!
//! [`App::build`] binds the address, opens the store, loads keys and starts the actors; [`App::serve`] serves until it is told
//! to stop. Everything else is given what it needs as plain values ([`options`]).

mod banner;
mod bus;
pub mod doctor;
mod fleet;
mod http;
mod migrate;
mod options;
mod waiting;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix::Arbiter;
use thiserror::Error;
use tokio::sync::{mpsc, watch};

use self::fleet::Fleet;
use self::waiting::Missing;
use crate::actors::Node;
use crate::actors::inbox::Inbox;
use crate::actors::router::{Router, RouterOptions};
use crate::api::{ApiState, Readiness, RenderMetrics};
use crate::bus::redis::RedisBook;
use crate::config::{Role, Settings, StoreBackend, TrustedProxies};
use crate::environment::{SharedEnvironment, SystemEnvironment};
use crate::gateway::doorman::Doorman;
use crate::identity::{Identity, IdentityError, Source};
use crate::protocol::Failure;
use crate::store::postgres::{OpenError, PostgresStore};
use crate::store::sqlite::SqliteStore;
use crate::store::{Guarded, SharedStore, StoreError};
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
    /// The log could not be read at start.
    #[error("where the log ends could not be read: {0}")]
    LogEnd(String),
    /// The bus's settings.
    #[error("{0}")]
    Bus(String),
    /// The database server.
    #[error(transparent)]
    Postgres(#[from] OpenError),
    /// The tables could not be brought up to date.
    #[error("{0}")]
    Migrate(String),
}

/// A node that is ready to serve.
pub struct App {
    listener: TcpListener,
    settings: Settings,
    environment: SharedEnvironment,
    node: Node,
    identity: Identity,
    readiness: Arc<Readiness>,
    exporter: Exporter,
    actors: Arbiter,
    fleet: Fleet,
    book: Option<Arc<RedisBook>>,
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
        // Bound first: a wrong address is told at once, and probes are answered while the database is away.
        let listener = listen(settings.server.listen, settings.server.backlog)?;
        let store = waiting::until("store", &listener, &environment, || async {
            open_store(&settings, &environment).await
        })
        .await?;
        let timeout = options::store_timeout(&settings);
        let store = Guarded::shared(store, timeout, Arc::clone(&environment), &meters.store);
        let identity =
            Identity::new(options::identity(&settings), Arc::clone(&store), Arc::clone(&environment))?;
        identity.catch_up().await.map_err(|_: Failure| AppError::Revocations)?;

        let inbox_bytes = settings.gateway.inbox_bytes;
        let inboxes = (0..settings.server.worker_threads()).map(|_| Inbox::new(inbox_bytes)).collect();
        let (router, holes) = Router::new(inboxes, Arc::clone(&meters), RouterOptions::default());
        let bus = bus::open(&settings, &router, &meters, &environment)?;
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
        let book = bus::share_presence(&settings, bus.as_ref(), &node);
        let health = bus.as_ref().map(|bus| bus.healthy());
        let fleet = Fleet::start(&settings, &node, &actors, health).await?;
        let readiness = Arc::new(bus::shown(Readiness::new(&node), bus.as_ref()));
        Ok(Self { listener, settings, environment, node, identity, readiness, exporter, actors, fleet, book })
    }

    /// Says through `announce` where it listens, and serves until the end of `stop`.
    ///
    /// # Errors
    /// [`AppError`], for the operator.
    pub async fn serve(
        self,
        announce: impl FnOnce(&Settings, SocketAddr),
        stop: impl Future<Output = ()>,
    ) -> Result<(), AppError> {
        let address = self.listener.local_addr()?;
        let (drain, draining) = watch::channel(None);
        let (drained, mut all_drained) = mpsc::channel(self.settings.server.worker_threads());
        let proxies = TrustedProxies::new(self.settings.server.trusted_proxies.clone());
        let parts = http::Parts {
            node: self.node.clone(),
            identity: self.identity.clone(),
            doorman: Doorman::new(
                options::doorman(&self.settings, Arc::clone(&proxies)),
                Arc::clone(&self.environment),
            ),
            api: self.api_state(proxies),
            gateway: options::gateway(&self.settings),
            limits: *self.node.limits(),
            request_timeout: Duration::from_millis(self.settings.server.request_timeout_ms),
            keep_alive: Duration::from_millis(self.settings.server.keep_alive_ms),
            draining,
            drained,
            serves_sockets: self.settings.server.has_role(Role::Gateway),
        };
        self.keep_house();
        let server = http::start(self.listener, &self.settings.server, parts)?;
        let handle = server.handle();
        let serving = actix_rt::spawn(server);
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
        self.fleet.stop().await;
        if let Some(book) = &self.book {
            book.leave().await;
        }
        handle.stop(true).await;
        // A worker that does not end in time is ended with the process.
        let _ = tokio::time::timeout(Duration::from_secs(2), serving).await;
        self.actors.stop();
        tracing::info!("stopped");
        Ok(())
    }

    fn api_state(&self, proxies: Arc<TrustedProxies>) -> ApiState {
        let exporter = self.exporter.clone();
        let process = ProcessMeters::new();
        let environment = Arc::clone(&self.environment);
        ApiState {
            node: self.node.clone(),
            identity: self.identity.clone(),
            readiness: Arc::clone(&self.readiness),
            render_metrics: self.settings.telemetry.metrics.then(|| {
                let render: RenderMetrics = Arc::new(move || {
                    process.sample(environment.monotonic_ms());
                    exporter.render()
                });
                render
            }),
            proxies,
            allowed_origins: Arc::new(options::allowed_origins(&self.settings)),
            serves_rest: self.settings.server.has_role(Role::Api),
        }
    }

    /// What goes on beside serving: revocations, and the metrics' upkeep.
    fn keep_house(&self) {
        let identity = self.identity.clone();
        let node = self.node.clone();
        let heard = self.identity.clone();
        self.node.router().on_revoked(move |revocation| heard.heard(revocation));
        // Sessions here look at the list again; what was ended here is told to the other nodes too.
        identity.observe_revocations(move |revocation, source| match source {
            Source::Here => node.announce_revocation(*revocation),
            Source::Bus | Source::Store => node.apply_revocation(*revocation),
        });
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

/// Opens the store that the settings name.
async fn open_store(
    settings: &Settings,
    environment: &SharedEnvironment,
) -> Result<SharedStore, Missing<AppError>> {
    match settings.store.backend {
        StoreBackend::Sqlite => {
            let opened = SqliteStore::open(options::sqlite(settings), Arc::clone(environment)).await;
            Ok(opened.map_err(|error| Missing::Hopeless(error.into()))?)
        }
        StoreBackend::Postgres => {
            let opened = PostgresStore::open(options::postgres(settings), Arc::clone(environment)).await;
            Ok(opened.map_err(|error| match error {
                OpenError::Unreachable(_) => Missing::Away(error.to_string()),
                OpenError::Unusable(_) => Missing::Hopeless(error.into()),
            })?)
        }
    }
}

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
