//! Putting a node together: the one place that names concrete backends.
//!
//! [`App::build`] binds the address, opens the store, loads keys and starts the actors; [`App::serve`] serves
//! until it is told to stop. Everything else is given what it needs as plain values ([`options`]).

mod banner;
mod bus;
mod bus_keys;
mod data_folder;
mod database;
pub mod doctor;
mod embedded;
mod error;
mod files;
mod fleet;
mod http;
pub mod inspect;
mod internal;
mod migrate;
mod options;
mod process_name;
pub mod signals;
mod stop;
mod waiting;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix::Arbiter;
use tokio::sync::{mpsc, watch};

use self::embedded::Embedded;
use self::files::Files;
use self::fleet::Fleet;
use self::internal::Internal;
use self::stop::StopPlan;
use crate::actors::Node;
use crate::actors::default_conversation::DefaultConversation;
use crate::actors::inbox::Inbox;
use crate::actors::router::{Router, RouterOptions};
use crate::api::internal::RenderMetrics;
use crate::api::{ApiState, Readiness, Requests, ThreadHeartbeat};
use crate::bus::redis::RedisPresenceRegistry;
use crate::config::{Role, Settings, StoreBackend, TrustedProxies};
use crate::environment::{SharedEnvironment, SystemEnvironment};
use crate::gateway::admission::Admission;
use crate::identity::{Identity, Source};
use crate::protocol::Failure;
use crate::store::postgres::PostgresStore;
use crate::store::{Guarded, SharedStore};
use crate::telemetry::logging::{self, Lost};
use crate::telemetry::{Exporter, Meters, ProcessMeters};

pub use banner::banner;
pub use error::AppError;
pub use internal::InternalAddress;
pub use migrate::migrate;
pub use stop::Stopping;

/// What is known when a process begins to serve.
#[derive(Debug)]
pub struct Announcement<'a> {
    /// The settings in force; `server.max_connections` is what fits.
    pub settings: &'a Settings,
    /// Where clients come in.
    pub public: SocketAddr,
    /// Where operators ask.
    pub internal: InternalAddress,
    /// The open files that the process may have.
    pub files: Files,
    /// The connections that `server.max_connections` asked for.
    pub wanted: usize,
}

/// A node that is ready to serve.
pub struct App {
    parts: Assembled,
    /// `None` where the database is a server's.
    embedded: Option<Embedded>,
    internal: Internal,
    files: Files,
    /// What `server.max_connections` asked for.
    wanted: usize,
}

/// All parts but the database and the internal address, which are closed last.
struct Assembled {
    listener: TcpListener,
    settings: Settings,
    environment: SharedEnvironment,
    node: Node,
    identity: Identity,
    readiness: Arc<Readiness>,
    exporter: Exporter,
    actors: Arbiter,
    fleet: Fleet,
    registry: Option<Arc<RedisPresenceRegistry>>,
    heartbeats: Vec<Arc<ThreadHeartbeat>>,
}

impl App {
    /// Opens what the settings name and starts the node's actors. Call inside an actix system.
    ///
    /// # Errors
    /// [`AppError`], for the operator.
    pub async fn build(mut settings: Settings) -> Result<Self, AppError> {
        let (files, wanted) = (Files::raise(), settings.server.max_connections);
        settings.server.max_connections = files.connections(wanted);
        let environment = SystemEnvironment::shared();
        let exporter = Exporter::install()?;
        let meters = Arc::new(Meters::new());
        // Bound first: a wrong address is told at once, and probes are answered while the database is away.
        let listener = listen(settings.server.listen, settings.server.backlog)?;
        let internal = Internal::open(&settings, render_metrics(&environment, &exporter))?;
        let embedded = match settings.store.backend {
            StoreBackend::Sqlite => Some(Embedded::open(&settings, &environment).await?),
            StoreBackend::Postgres => None,
        };
        let mut server = None;
        let store: SharedStore = match &embedded {
            Some(embedded) => embedded.store(),
            None => {
                let open = || database::open(&settings, &environment);
                let state = &internal.state;
                let opened = waiting::until("store", &listener, &environment, state, open).await?;
                server = Some(Arc::clone(&opened));
                opened
            }
        };
        let timeout = options::store_timeout(&settings);
        let store = Guarded::shared(store, timeout, Arc::clone(&environment), &meters.store);
        let assembled =
            Assembled::new(settings, listener, environment, exporter, meters, (store, server)).await;
        match assembled {
            Ok(parts) => {
                if let Some(embedded) = &embedded {
                    embedded.show(parts.node.inspection());
                }
                Ok(Self { parts, embedded, internal, files, wanted })
            }
            Err(error) => {
                if let Some(embedded) = embedded {
                    embedded.close().await;
                }
                Err(error)
            }
        }
    }

    /// Says through `announce` where it listens, serves until the end of `stop`, and says through `on_stop`
    /// what the end waits for.
    ///
    /// # Errors
    /// [`AppError`], for the operator.
    pub async fn serve(
        self,
        announce: impl FnOnce(&Announcement<'_>),
        stop: impl Future<Output = ()>,
        on_stop: impl FnOnce(Stopping),
    ) -> Result<(), AppError> {
        let Self { parts, embedded, internal, files, wanted } = self;
        let announce = |settings: &Settings, public| {
            announce(&Announcement { settings, public, internal: internal.address.clone(), files, wanted });
        };
        let served = parts.run(&internal, announce, stop, on_stop).await;
        if let Some(embedded) = embedded {
            embedded.close().await;
        }
        internal.close().await;
        tracing::info!("stopped");
        served
    }

    /// Ends without having served.
    pub async fn close(self) {
        self.parts.actors.stop();
        if let Some(embedded) = self.embedded {
            embedded.close().await;
        }
        self.internal.close().await;
    }
}

impl Assembled {
    async fn new(
        settings: Settings,
        listener: TcpListener,
        environment: SharedEnvironment,
        exporter: Exporter,
        meters: Arc<Meters>,
        (store, server): (SharedStore, Option<Arc<PostgresStore>>),
    ) -> Result<Self, AppError> {
        let identity =
            Identity::new(options::identity(&settings), Arc::clone(&store), Arc::clone(&environment))?;
        identity.catch_up().await.map_err(|_: Failure| AppError::Revocations)?;

        let inbox_bytes = settings.gateway.inbox_bytes;
        let inbox = |_| Inbox::new(inbox_bytes, Arc::clone(&environment));
        let inboxes = (0..settings.server.worker_threads()).map(inbox).collect();
        let (router, holes) = Router::new(inboxes, Arc::clone(&meters), RouterOptions::default());
        let bus = bus::open(&settings, &router, &meters, &environment)?;
        let actors = Arbiter::new();
        let node = Node::start(
            &actors.handle(),
            store,
            Arc::clone(&environment),
            router,
            holes,
            meters,
            options::node(&settings),
        );
        if let Some(bus) = &bus {
            let shown = Arc::clone(bus);
            node.inspection().add_value("bus", move || shown.observed());
        }
        let registry = bus::share_presence(&settings, bus.as_ref(), &node);
        let health = bus.as_ref().map(|bus| bus.healthy());
        let fleet = Fleet::start(&settings, &node, &actors, health).await?;
        node.connections().allow(settings.server.max_connections);
        let connections = Arc::clone(node.connections());
        node.inspection().add_value("connections", move || connections.observed());
        let hashing = identity.clone();
        node.inspection().add_value("passwords", move || hashing.observed_passwords());
        if let Some(server) = &server {
            let shown = Arc::clone(server);
            node.inspection().add_value("store", move || shown.observed());
        }
        let heartbeats = heartbeats(&settings);
        let readiness = Readiness::new(&node);
        let readiness = match &server {
            Some(server) => database::shown(readiness, server, &node),
            None => readiness,
        };
        let readiness = bus::shown(readiness, bus.as_ref())
            .with_connections(Arc::clone(node.connections()))
            .with_heartbeats(heartbeats.iter().cloned());
        Ok(Self {
            listener,
            settings,
            environment,
            node,
            identity,
            readiness: Arc::new(readiness),
            exporter,
            actors,
            fleet,
            registry,
            heartbeats,
        })
    }

    async fn run(
        self,
        internal: &Internal,
        announce: impl FnOnce(&Settings, SocketAddr),
        stop: impl Future<Output = ()>,
        on_stop: impl FnOnce(Stopping),
    ) -> Result<(), AppError> {
        let address = self.listener.local_addr()?;
        let (drain, draining) = watch::channel(None);
        let (drained, mut all_drained) = mpsc::channel(self.settings.server.worker_threads());
        let proxies = TrustedProxies::new(self.settings.server.trusted_proxies.clone());
        let admission = Admission::new(
            options::admission(&self.settings, Arc::clone(&proxies)),
            Arc::clone(&self.environment),
        );
        let requests = Arc::new(Requests::default());
        let shown = Arc::clone(&admission);
        self.node.inspection().add_value("admission", move || shown.observed());
        let parts = http::Parts {
            node: self.node.clone(),
            identity: self.identity.clone(),
            admission,
            api: self.api_state(proxies, &requests),
            bounds: options::gateway(&self.settings),
            request_timeout: Duration::from_millis(self.settings.server.request_timeout_ms),
            keep_alive: Duration::from_millis(self.settings.server.keep_alive_ms),
            draining,
            drained,
            heartbeats: self.heartbeats.clone(),
            serves_sockets: self.settings.server.has_role(Role::Gateway),
        };
        let (api, node) = (parts.api.clone(), self.node.clone());
        if api.serves_rest {
            // Made at the start, if somebody is there to own it; otherwise with the first account.
            self.actors.spawn(async move {
                let _ = api.default_conversation.find(&node).await;
            });
        }
        self.start_background_tasks();
        let server = http::start(self.listener, &self.settings.server, parts)?;
        let handle = server.handle();
        let serving = actix_rt::spawn(server);
        internal.state.started(Arc::clone(&self.readiness), Arc::clone(self.node.inspection()));
        announce(&self.settings, address);
        stop.await;
        let plan = StopPlan::of(&self.settings);
        let connections = self.node.connections().open();
        tracing::info!(connections, at_most_ms = plan.at_most_ms(), "stopping");
        on_stop(plan.stopping(connections));
        self.readiness.drain();
        if drain.send(Some(plan.drain)).is_ok() {
            let threads = self.settings.server.worker_threads();
            let sessions = plan.sessions_gone(&mut all_drained, threads).await;
            tracing::info!(sessions, "told clients to come back and closed their connections");
        }
        if plan.is_alone() {
            plan.requests_answered(&requests, self.node.writer()).await;
        }
        self.fleet.stop().await;
        if let Some(registry) = &self.registry {
            registry.leave().await;
        }
        handle.stop(!plan.is_alone()).await;
        // A worker that does not end in time is ended with the process.
        let _ = tokio::time::timeout(Duration::from_secs(2), serving).await;
        self.actors.stop();
        Ok(())
    }

    fn api_state(&self, proxies: Arc<TrustedProxies>, requests: &Arc<Requests>) -> ApiState {
        ApiState {
            node: self.node.clone(),
            identity: self.identity.clone(),
            readiness: Arc::clone(&self.readiness),
            requests: Arc::clone(requests),
            proxies,
            allowed_origins: Arc::new(options::allowed_origins(&self.settings)),
            name: self.settings.server.name.trim().to_owned(),
            directory: self.settings.server.directory,
            default_conversation: Arc::new(DefaultConversation::new(options::default_conversation(
                &self.settings,
            ))),
            serves_rest: self.settings.server.has_role(Role::Api),
        }
    }

    /// What goes on beside serving: revocations, and the metrics' upkeep.
    fn start_background_tasks(&self) {
        let identity = self.identity.clone();
        let node = self.node.clone();
        let from_bus = self.identity.clone();
        self.node.router().on_revoked(move |revocation| from_bus.on_bus_revocation(revocation));
        // Sessions here look at the list again; what was ended here is told to the other nodes too.
        identity.observe_revocations(move |revocation, source| match source {
            Source::Here => node.announce_revocation(*revocation),
            Source::Bus | Source::Store => node.apply_revocation(*revocation),
        });
        self.actors.spawn(async move { identity.run().await });
        if let Some(heartbeat) = self.heartbeats.last() {
            self.actors.spawn(Arc::clone(heartbeat).beat(Arc::clone(&self.environment)));
        }
        let (exporter, meters) = (self.exporter.clone(), Arc::clone(self.node.meters()));
        self.actors.spawn(async move {
            let mut every = tokio::time::interval(Duration::from_secs(1));
            let mut lost = Lost::default();
            loop {
                every.tick().await;
                exporter.run_upkeep();
                let before = std::mem::replace(&mut lost, logging::lost());
                meters.faults.log_lines_lost.of("queue_full").increment(lost.queue_full - before.queue_full);
                meters.faults.log_lines_lost.of("too_many").increment(lost.too_many - before.too_many);
            }
        });
    }
}

/// One for each worker thread, and the last one for the actors.
fn heartbeats(settings: &Settings) -> Vec<Arc<ThreadHeartbeat>> {
    let workers = (0..settings.server.worker_threads()).map(|worker| format!("worker {worker}"));
    workers.chain(["actors".to_owned()]).map(ThreadHeartbeat::new).collect()
}

fn listen(address: SocketAddr, backlog: u32) -> Result<TcpListener, AppError> {
    bind(address, backlog).map_err(|error| AppError::Listen { address, error })
}

fn bind(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(TcpListener::from(socket))
}

/// Samples the process and renders everything measured.
fn render_metrics(environment: &SharedEnvironment, exporter: &Exporter) -> RenderMetrics {
    let (environment, exporter, process) = (Arc::clone(environment), exporter.clone(), ProcessMeters::new());
    Arc::new(move || {
        process.sample(environment.monotonic_ms());
        exporter.render()
    })
}
