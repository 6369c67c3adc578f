//! A process of the fleet: the product's own parts between models of their edges.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use actix_web::http::Method;
use actix_web::http::header::{AUTHORIZATION, CONTENT_TYPE};
use actix_web::test::{self, TestRequest};
use bytes::{Bytes, BytesMut};
use serde_json::Value;
use tidings::api::admin::{OPERATOR_HEADER, Operators};
use tidings::api::internal::{self, InternalState};
use tidings::api::{self, Readiness};
use tidings::app::process::{Gateway, Groundwork, Others, Process};
use tidings::app::stop::StopPlan;
use tidings::bus::SharedBus;
use tidings::bus::health::BusHealth;
use tidings::bus::presence_registry::SharedPresenceRegistry;
use tidings::config::Settings;
use tidings::domain::ClientAddress;
use tidings::environment::SharedEnvironment;
use tidings::gateway::hub::Hub;
use tidings::gateway::session::stream::Polled;
use tidings::protocol::Encoding;
use tidings::store::SharedStore;
use tidings::telemetry::Meters;
use tokio::sync::{mpsc, oneshot, watch};

use crate::edges::bus::SimBusLink;
use crate::edges::socket::SimSocket;
use crate::net::Call;
use crate::operator::NAME;
use crate::workers::{WorkerTasks, Workers};

/// Connections and requests on their way to a process that has not taken them yet.
const BACKLOG: usize = 4_096;

/// An upgraded connection on its way to a process.
pub struct Incoming {
    /// The process's end.
    pub stream: SimSocket,
    /// The encoding of frames.
    pub encoding: Encoding,
    /// The token that came with the upgrade.
    pub bearer: Option<String>,
    /// The device's address.
    pub address: IpAddr,
}

/// A REST request on its way to a process.
pub struct Request {
    /// The request.
    pub call: Call,
    /// The device's address.
    pub address: IpAddr,
    /// Where the answer goes.
    pub reply: oneshot::Sender<(u16, Value)>,
}

/// Something that has arrived at a process.
pub enum Arrival {
    /// A connection.
    Connection(Incoming),
    /// A request.
    Request(Request),
    /// A request of the operator, at the internal address.
    Operator(Request),
}

/// The input for the start of a process.
pub struct Edges {
    /// The settings in force.
    pub settings: Settings,
    /// The store, behind `Guarded`.
    pub store: SharedStore,
    /// The process's clock and randomness.
    pub environment: SharedEnvironment,
    /// The metrics.
    pub meters: Arc<Meters>,
    /// Its name.
    pub name: String,
    /// Its worker threads; `None` where nothing stops them apart from the process.
    pub workers: Option<Rc<Workers>>,
}

/// Connects a process's router to the bus.
pub struct BusEdge {
    /// The connection.
    pub bus: SharedBus,
    /// Presence.
    pub registry: SharedPresenceRegistry,
    /// Whether it carries messages.
    pub health: watch::Receiver<BusHealth>,
    /// The connection, to be left at the end.
    pub link: Arc<SimBusLink>,
}

/// A process that serves.
pub struct Running {
    /// Where connections and requests arrive.
    pub arrivals: mpsc::Sender<Arrival>,
    /// The node and who may come in.
    pub gateway: Gateway,
    process: Process,
    settings: Settings,
    link: Arc<SimBusLink>,
}

/// Starts a process inside its `LocalSet`. `connect`: connects a router to the bus.
///
/// # Errors
/// Why it could not start, as the operator would read it.
pub async fn start(
    edges: Edges,
    connect: impl FnOnce(&Arc<tidings::actors::router::Router>) -> BusEdge,
) -> Result<Running, String> {
    let Edges { settings, store, environment, meters, name, workers } = edges;
    let groundwork = Groundwork::lay(settings.clone(), store, environment, meters).await;
    let groundwork = groundwork.map_err(|error| error.to_string())?;
    let BusEdge { bus, registry, health, link } = connect(groundwork.router());
    groundwork.router().connect(bus);
    let process = groundwork.start(name, Some(Others { registry, bus: health })).await;
    let process = process.map_err(|error| error.to_string())?;
    let gateway = process.gateway().clone();
    let (arrivals, arriving) = mpsc::channel(BACKLOG);
    actix_rt::spawn(serve(
        arriving,
        gateway.clone(),
        process.api_state(readiness(&gateway)),
        settings.clone(),
        workers,
    ));
    Ok(Running { arrivals, gateway, process, settings, link })
}

fn readiness(gateway: &Gateway) -> Arc<Readiness> {
    Arc::new(Readiness::new(&gateway.node))
}

impl Running {
    /// Ends it as a stop does. Resolves when it would exit.
    pub async fn drain(self) {
        let plan = StopPlan::of(&self.settings);
        self.process.drain(&plan).await;
        self.link.leave().await;
    }
}

/// A worker's hub, with its tasks where the worker can be stopped.
type ApartHub = (Rc<Hub<Polled<SimSocket>>>, Option<WorkerTasks>);

async fn serve(
    mut arriving: mpsc::Receiver<Arrival>,
    gateway: Gateway,
    state: api::ApiState,
    settings: Settings,
    apart: Option<Rc<Workers>>,
) {
    let workers = u8::try_from(settings.server.worker_threads()).unwrap_or(1);
    let hubs = (0..workers).map(|worker| {
        let tasks = apart.clone().map(WorkerTasks::start);
        let _entered = tasks.as_ref().map(WorkerTasks::enter);
        (gateway.start_hub(worker), tasks)
    });
    let hubs: Vec<ApartHub> = hubs.collect();
    let app = actix_web::App::new().configure(move |config| api::configure(config, state));
    let service = Rc::new(test::init_service(app).await);
    let internal = InternalState::new(None, None);
    internal.started(
        readiness(&gateway),
        Operators { node: gateway.node.clone(), identity: gateway.identity.clone() },
    );
    let app = actix_web::App::new().configure(move |config| internal::configure(config, internal));
    let internal = Rc::new(test::init_service(app).await);
    let mut next = 0;
    while let Some(arrival) = arriving.recv().await {
        match arrival {
            Arrival::Connection(Incoming { stream, encoding, bearer, address }) => {
                let (hub, tasks) = &hubs[next % hubs.len()];
                let _entered = tasks.as_ref().map(WorkerTasks::enter);
                next += 1;
                // A draining hub refuses the upgrade: the connection ends.
                if !hub.is_draining() {
                    let place = gateway.node.connections().count(ClientAddress::Counted(address));
                    hub.open(Polled::new(stream), encoding, bearer, BytesMut::new(), place);
                }
            }
            Arrival::Request(asked) => {
                let service = Rc::clone(&service);
                answer(asked, None, async move |request| {
                    let response = test::call_service(&*service, request.to_request()).await;
                    (response.status().as_u16(), test::read_body(response).await)
                });
            }
            Arrival::Operator(asked) => {
                let service = Rc::clone(&internal);
                answer(asked, Some(NAME), async move |request| {
                    let response = test::call_service(&*service, request.to_request()).await;
                    (response.status().as_u16(), test::read_body(response).await)
                });
            }
        }
    }
}

/// Answers a request beside everything else. `serve`: asks the service.
fn answer<A: Future<Output = (u16, Bytes)> + 'static>(
    asked: Request,
    operator: Option<&str>,
    serve: impl FnOnce(TestRequest) -> A + 'static,
) {
    let Request { call, address, mut reply } = asked;
    let request = request(call, address);
    let request = match operator {
        Some(name) => request.insert_header((OPERATOR_HEADER, name)),
        None => request,
    };
    actix_rt::spawn(async move {
        let answer = async {
            let (status, body) = serve(request).await;
            (status, shown(&body))
        };
        // As the HTTP server does: a request whose connection has ended is dropped.
        tokio::select! {
            biased;
            () = reply.closed() => {}
            answer = answer => drop(reply.send(answer)),
        }
    });
}

fn request(call: Call, address: IpAddr) -> TestRequest {
    let method = Method::from_bytes(call.method.as_bytes()).unwrap_or(Method::GET);
    let mut request = TestRequest::with_uri(&call.path).method(method).peer_addr((address, 40_000).into());
    if let Some(token) = call.token {
        request = request.insert_header((AUTHORIZATION, format!("Bearer {token}")));
    }
    if let Some(key) = call.key {
        request = request.insert_header(("idempotency-key", key));
    }
    match call.body {
        Some(body) => request.insert_header((CONTENT_TYPE, "application/json")).set_payload(body.to_string()),
        None => request,
    }
}

/// A body as JSON; JSON lines as a list; anything else as a text.
fn shown(body: &[u8]) -> Value {
    if body.is_empty() {
        return Value::Null;
    }
    if let Ok(value) = serde_json::from_slice(body) {
        return value;
    }
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let values: Result<Vec<Value>, _> = lines.map(serde_json::from_slice).collect();
    values.map_or_else(|_| Value::String(String::from_utf8_lossy(body).into_owned()), Value::Array)
}
