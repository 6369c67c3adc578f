//! Putting a node together: the one place that names concrete backends.
//!
//! [`App::build`] binds the address, opens the store, loads keys and starts the actors; [`App::serve`] serves
//! until it is asked to stop. All other parts get what they need as plain values ([`options`]).

pub mod admin;
mod banner;
mod bus;
mod bus_keys;
mod call;
mod data_folder;
mod database;
pub mod doctor;
mod embedded;
mod entrance;
mod error;
mod files;
mod fleet;
mod http;
mod http_stream;
pub mod inspect;
mod internal;
mod migrate;
mod options;
pub mod process;
mod process_name;
mod proxy_protocol;
pub mod signals;
pub mod stop;
mod waiting;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix::Arbiter;
use tokio::sync::oneshot;

use self::embedded::Embedded;
use self::files::Files;
use self::internal::Internal;
use self::process::{Groundwork, Others, Process};
use self::process_name::process_name;
use self::stop::StopPlan;
use crate::api::admin::Operators;
use crate::api::internal::RenderMetrics;
use crate::api::{Readiness, ThreadHeartbeat};
use crate::bus::redis::RedisPresenceRegistry;
use crate::config::{Role, Settings, StoreBackend};
use crate::environment::{SharedEnvironment, SystemEnvironment};
use crate::store::postgres::PostgresStore;
use crate::store::{Guarded, SharedStore};
use crate::telemetry::logging::{self, Lost};
use crate::telemetry::{Exporter, Meters, ProcessMeters};

pub use banner::banner;
pub use error::AppError;
pub use internal::InternalAddress;
pub use migrate::migrate;
pub use stop::Stopping;

/// The facts at the moment a process begins to serve.
#[derive(Debug)]
pub struct Announcement<'a> {
    /// The settings in force; `server.max_connections` is what fits.
    pub settings: &'a Settings,
    /// The address for clients.
    pub public: SocketAddr,
    /// The address for operators.
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
    process: Process,
    readiness: Arc<Readiness>,
    exporter: Exporter,
    actors: Arbiter,
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
        // Bound first: a wrong address is reported at once, and probes are answered while the database is
        // away.
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
                    embedded.show(parts.process.gateway().node.inspection());
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
        let (of_all, clock) = (settings.clone(), Arc::clone(&environment));
        let groundwork = Groundwork::lay(of_all, store, clock, Arc::clone(&meters)).await?;
        let bus = bus::open(&settings, groundwork.router(), &meters, &environment)?;
        let registry = bus.as_ref().map(|bus| bus::presence_registry(&settings, bus));
        let others = bus.as_ref().zip(registry.clone());
        let others = others.map(|(bus, registry)| Others { registry, bus: bus.healthy() });
        let actors = Arbiter::new();
        let process = started_on(&actors, groundwork.start(process_name(), others)).await?;
        let node = &process.gateway().node;
        if let Some(bus) = &bus {
            let shown = Arc::clone(bus);
            node.inspection().add_value("bus", move || shown.observed());
        }
        if let Some(server) = &server {
            let shown = Arc::clone(server);
            node.inspection().add_value("store", move || shown.observed());
        }
        let heartbeats = heartbeats(&settings);
        let readiness = Readiness::new(node);
        let readiness = match &server {
            Some(server) => database::shown(readiness, server, node),
            None => readiness,
        };
        let readiness = bus::shown(readiness, bus.as_ref())
            .with_connections(Arc::clone(node.connections()))
            .with_heartbeats(heartbeats.iter().cloned());
        Ok(Self {
            listener,
            settings,
            environment,
            process,
            readiness: Arc::new(readiness),
            exporter,
            actors,
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
        let node = self.process.gateway().node.clone();
        let api = self.process.api_state(Arc::clone(&self.readiness));
        let parts = http::Parts {
            gateway: self.process.gateway().clone(),
            api: api.clone(),
            request_timeout: Duration::from_millis(self.settings.server.request_timeout_ms),
            keep_alive: Duration::from_millis(self.settings.server.keep_alive_ms),
            write_deadline: Duration::from_millis(self.settings.gateway.write_deadline_ms),
            heartbeats: self.heartbeats.clone(),
            serves_sockets: self.settings.server.has_role(Role::Gateway),
        };
        self.keep_metrics(node.meters());
        if api.serves_rest {
            // Made at the start, if somebody is there to own it; otherwise with the first account.
            let node = node.clone();
            self.actors.spawn(async move {
                let _ = api.default_conversation.find(&node).await;
            });
        }
        let server = http::start(self.listener, &self.settings.server, parts)?;
        let handle = server.handle();
        let serving = actix_rt::spawn(server);
        let identity = self.process.gateway().identity.clone();
        internal.state.started(Arc::clone(&self.readiness), Operators { node: node.clone(), identity });
        announce(&self.settings, address);
        stop.await;
        let plan = StopPlan::of(&self.settings);
        let connections = node.connections().open();
        tracing::info!(connections, at_most_ms = plan.at_most_ms(), "stopping");
        on_stop(plan.stopping(connections));
        self.readiness.drain();
        self.process.drain(&plan).await;
        if let Some(registry) = &self.registry {
            registry.leave().await;
        }
        handle.stop(!plan.is_alone()).await;
        // A worker that does not end in time is ended with the process.
        let _ = tokio::time::timeout(Duration::from_secs(2), serving).await;
        self.actors.stop();
        Ok(())
    }

    /// The upkeep of the metrics, and the heartbeat of the actors' thread.
    fn keep_metrics(&self, meters: &Arc<Meters>) {
        if let Some(heartbeat) = self.heartbeats.last() {
            self.actors.spawn(Arc::clone(heartbeat).beat(Arc::clone(&self.environment)));
        }
        let (exporter, meters) = (self.exporter.clone(), Arc::clone(meters));
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

/// Runs the start of a process on the thread of its actors.
async fn started_on(
    actors: &Arbiter,
    start: impl Future<Output = Result<Process, AppError>> + Send + 'static,
) -> Result<Process, AppError> {
    let (tell, started) = oneshot::channel();
    actors.spawn(async move {
        // The receiver is gone if the process was asked to stop in the meantime.
        let _ = tell.send(start.await);
    });
    started.await.unwrap_or_else(|_| Err(io::Error::other("the thread of the actors ended").into()))
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
