//! The parts of a process between its edges: everything but the listener, the database and the connection to
//! the bus.
//!
//! [`App`](super::App) gives it the machine's clock, a database and Redis. The simulation of whole fleets
//! gives it models of them. Both run the same parts, put together here.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::fleet::Fleet;
use super::stop::StopPlan;
use super::{AppError, options};
use crate::actors::Node;
use crate::actors::default_conversation::DefaultConversation;
use crate::actors::exports::Exports;
use crate::actors::inbox::Inbox;
use crate::actors::router::interest::WorkerId;
use crate::actors::router::{Repair, Router, RouterOptions};
use crate::api::{ApiState, Readiness, Requests};
use crate::bus::health::BusHealth;
use crate::bus::presence_registry::SharedPresenceRegistry;
use crate::config::{Role, Settings, TrustedProxies};
use crate::environment::SharedEnvironment;
use crate::gateway::Bounds;
use crate::gateway::admission::Admission;
use crate::gateway::hub::{Drain, Hub};
use crate::gateway::session::stream::ByteStream;
use crate::identity::{Identity, Source};
use crate::protocol::Failure;
use crate::store::SharedStore;
use crate::telemetry::Meters;

/// Between two reads of how many nodes each user is on.
const CLUSTER_RATE_EVERY: Duration = Duration::from_secs(2);

/// The connections of a process to the others, beside the log.
pub struct Others {
    /// The registry of users and their processes.
    pub registry: SharedPresenceRegistry,
    /// Whether the bus carries messages.
    pub bus: watch::Receiver<BusHealth>,
}

/// The edges that a process needs first, with what follows from them: who may come in, and the router.
/// Connect the router to the bus, then start the process.
pub struct Groundwork {
    settings: Settings,
    store: SharedStore,
    environment: SharedEnvironment,
    meters: Arc<Meters>,
    identity: Identity,
    router: Arc<Router>,
    holes: mpsc::Receiver<Repair>,
}

impl Groundwork {
    /// Loads keys and reads revocations. `store`: behind [`crate::store::Guarded`].
    ///
    /// # Errors
    /// [`AppError`], for the operator.
    pub async fn lay(
        settings: Settings,
        store: SharedStore,
        environment: SharedEnvironment,
        meters: Arc<Meters>,
    ) -> Result<Self, AppError> {
        let identity =
            Identity::new(options::identity(&settings), Arc::clone(&store), Arc::clone(&environment))?;
        identity.catch_up().await.map_err(|_: Failure| AppError::Revocations)?;
        let inbox_bytes = settings.gateway.inbox_bytes;
        let inbox = |_| Inbox::new(inbox_bytes, Arc::clone(&environment));
        let inboxes = (0..settings.server.worker_threads()).map(inbox).collect();
        let (router, holes) = Router::new(inboxes, Arc::clone(&meters), RouterOptions::default());
        Ok(Self { settings, store, environment, meters, identity, router, holes })
    }

    /// The router, to be connected to the bus.
    pub fn router(&self) -> &Arc<Router> {
        &self.router
    }

    /// Starts the actors and the work beside serving on the calling thread, inside its `LocalSet` or arbiter.
    /// `name`: what operators know the process by.
    ///
    /// # Errors
    /// [`AppError`], for the operator.
    pub async fn start(self, name: String, others: Option<Others>) -> Result<Process, AppError> {
        let Self { settings, store, environment, meters, identity, router, holes } = self;
        let (clock, audit) = (Arc::clone(&environment), identity.audit().clone());
        let node = Node::start(store, clock, router, holes, meters, audit, options::node(&settings));
        let (bus, registry) = others.map_or((None, None), |others| (Some(others.bus), Some(others.registry)));
        if let Some(registry) = registry {
            let lease = Duration::from_millis(settings.presence.lease_ms);
            // Two lookups are further apart than two renewals, so that an emptied registry is filled again
            // between them.
            actix_rt::spawn(node.presence().share(Arc::clone(&registry), lease * 3 / 10));
            actix_rt::spawn(node.share_rates(registry, CLUSTER_RATE_EVERY));
        }
        let fleet = Fleet::start(&settings, name, &node, bus).await?;
        node.connections().allow(settings.server.max_connections, settings.server.connections_per_ip);
        let connections = Arc::clone(node.connections());
        node.inspection().add_value("connections", move || connections.observed());
        let hashing = identity.clone();
        node.inspection().add_value("passwords", move || hashing.observed_passwords());
        watch_revocations(&identity, &node);
        let keeper = identity.clone();
        actix_rt::spawn(async move { keeper.run().await });
        let audit = identity.audit().clone();
        let shown = audit.clone();
        node.inspection().add_value("audit", move || shown.observed());
        let kept = Duration::from_secs(settings.audit.retention_days * 24 * 3_600);
        actix_rt::spawn(async move { audit.run(kept).await });
        let proxies = TrustedProxies::of(&settings.server);
        let admission = Admission::new(options::admission(&settings, Arc::clone(&proxies)), environment);
        let shown = Arc::clone(&admission);
        node.inspection().add_value("admission", move || shown.observed());
        let (drain, draining) = watch::channel(None);
        let (drained, all_drained) = mpsc::channel(settings.server.worker_threads());
        let bounds = options::gateway(&settings);
        let gateway = Gateway { node, identity, admission, bounds, draining, drained };
        let requests = Arc::new(Requests::default());
        Ok(Process { settings, gateway, proxies, requests, fleet, drain, all_drained })
    }
}

/// Sessions here look at the list again when it grows; what was ended here is announced to the other nodes.
fn watch_revocations(identity: &Identity, node: &Node) {
    let from_bus = identity.clone();
    node.router().on_revoked(move |revocation| from_bus.on_bus_revocation(revocation));
    let node = node.clone();
    identity.observe_revocations(move |revocation, source| match source {
        Source::Here => node.announce_revocation(*revocation),
        Source::Bus | Source::Store => node.apply_revocation(*revocation),
    });
}

/// What every worker thread needs for its sessions. Cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    /// The node.
    pub node: Node,
    /// Signing in and tokens.
    pub identity: Identity,
    admission: Arc<Admission>,
    bounds: Bounds,
    /// The way in which the sessions end when the process stops.
    draining: watch::Receiver<Option<Drain>>,
    /// Gets from each worker, when its sessions are gone, how many there were.
    drained: mpsc::Sender<usize>,
}

impl Gateway {
    /// Starts the hub of the calling thread. Its sessions end when the process drains.
    pub fn start_hub<S: ByteStream>(&self, worker: WorkerId) -> Rc<Hub<S>> {
        let (node, identity) = (self.node.clone(), self.identity.clone());
        let hub = Hub::start(worker, node, identity, Arc::clone(&self.admission), self.bounds.clone());
        let (draining, drained) = (self.draining.clone(), self.drained.clone());
        actix_rt::spawn(end_sessions(Rc::clone(&hub), draining, drained));
        hub
    }
}

async fn end_sessions<S: ByteStream>(
    hub: Rc<Hub<S>>,
    mut draining: watch::Receiver<Option<Drain>>,
    drained: mpsc::Sender<usize>,
) {
    let how = match draining.wait_for(Option::is_some).await {
        Ok(how) => *how,
        Err(_) => None,
    };
    let sessions = hub.drain(how.unwrap_or(Drain::HandOver { window_ms: 0 })).await;
    // Nobody waits any more once the time is over.
    let _ = drained.send(sessions).await;
}

/// A process that is ready to serve.
pub struct Process {
    settings: Settings,
    gateway: Gateway,
    proxies: Arc<TrustedProxies>,
    requests: Arc<Requests>,
    fleet: Fleet,
    drain: watch::Sender<Option<Drain>>,
    all_drained: mpsc::Receiver<usize>,
}

impl Process {
    /// The parts that every worker thread needs for its sessions.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// What every handler of REST calls needs. Call once.
    pub fn api_state(&self, readiness: Arc<Readiness>) -> ApiState {
        ApiState {
            node: self.gateway.node.clone(),
            identity: self.gateway.identity.clone(),
            readiness,
            requests: Arc::clone(&self.requests),
            exports: Exports::new(
                self.settings.limits.exports_per_user,
                Arc::clone(self.gateway.node.meters()),
            ),
            proxies: Arc::clone(&self.proxies),
            allowed_origins: Arc::new(options::allowed_origins(&self.settings)),
            https: self.settings.server.is_https(),
            name: self.settings.server.name.trim().to_owned(),
            directory: self.settings.server.directory,
            default_conversation: Arc::new(DefaultConversation::new(options::default_conversation(
                &self.settings,
            ))),
            serves_rest: self.settings.server.has_role(Role::Api),
        }
    }

    /// Ends the sessions of all threads, waits for requests where nobody else would answer them, and hands
    /// over leases. Returns how many sessions there were.
    pub async fn drain(mut self, plan: &StopPlan) -> usize {
        let mut sessions = 0;
        if self.drain.send(Some(plan.drain)).is_ok() {
            let threads = self.settings.server.worker_threads();
            sessions = plan.sessions_gone(&mut self.all_drained, threads).await;
            tracing::info!(sessions, "told clients to come back and closed their connections");
        }
        if plan.is_alone() {
            plan.requests_answered(&self.requests, self.gateway.node.writer()).await;
        }
        self.fleet.stop().await;
        self.gateway.identity.audit().close().await;
        sessions
    }
}
