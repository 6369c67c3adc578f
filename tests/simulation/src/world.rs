//! A run: the fleet, its edges and the devices, from the start to the verdict.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tidings::environment::SharedEnvironment;
use tidings::store::model::{ModelOptions, ModelServer, ModelStore};
use tidings::store::{Guarded, SharedStore};
use tidings::telemetry::Meters;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::balancer::Balancer;
use crate::checker::{self, FinalLog};
use crate::clients::copy::Copy;
use crate::clients::{self, Handle};
use crate::dice::Dice;
use crate::edges::bus::SimBus;
use crate::edges::clock::SimEnvironment;
use crate::edges::log::LogWeather;
use crate::faults::Counted;
use crate::fleet::{self, Fleet, Incarnation, Phase};
use crate::history::{Entry, History};
use crate::net::SharedNetwork;
use crate::outcome::{Broken, Outcome};
use crate::plan::{Act, Command, Plan, Step};
use crate::process::{self, BusEdge, Edges};
use crate::{entropy, inspect, operator, settings, story};

/// The stack of the thread of a run. Futures of an unoptimised build are large.
const STACK_BYTES: usize = 64 << 20;

/// The result of a run.
#[derive(Debug, Default)]
pub struct Ran {
    /// Everything that happened.
    pub entries: Vec<Entry>,
    /// Its hash.
    pub hash: u64,
    /// Faults by kind.
    pub faults: BTreeMap<String, u64>,
    /// Rare paths by name.
    pub rare: BTreeMap<String, u64>,
    /// Virtual milliseconds.
    pub virtual_ms: u64,
    /// The log at the end.
    pub log: FinalLog,
    /// The copy of each correct device at the end.
    pub copies: BTreeMap<usize, Copy>,
}

impl Ran {
    /// The verdict. `tell`: with the story of the first violation.
    pub fn outcome(&self, plan: &Plan, tell: bool) -> Outcome {
        let verdict = checker::check(plan, &self.entries, &self.log, &self.copies);
        let told = verdict.violations.first().filter(|_| tell);
        let story = told.map(|violation| story::tell(plan, &self.entries, violation));
        Outcome {
            seed: plan.seed,
            hash: self.hash,
            violations: verdict
                .violations
                .iter()
                .map(|one| Broken { promise: one.promise.to_string(), text: one.text.clone() })
                .collect(),
            unknown: verdict.unknown,
            faults: self.faults.clone(),
            rare: self.rare.clone(),
            traffic: verdict.traffic,
            virtual_ms: self.virtual_ms,
            story,
        }
    }
}

/// Runs a plan on a thread of its own.
///
/// # Panics
/// When the run panics.
pub fn run(plan: &Plan) -> Ran {
    let plan = plan.clone();
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || run_here(plan));
    let ran = thread.map(std::thread::JoinHandle::join);
    ran.expect("a thread starts").expect("the run ends")
}

fn run_here(plan: Plan) -> Ran {
    entropy::follow(plan.seed);
    let _ = tidings::rare::take();
    tidings::bounds::lower(settings::bounds(&plan));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let mut ran = runtime.expect("a runtime needs nothing").block_on(async move {
        let fleet = Rc::new(Fleet::default());
        let dice = Dice::new(plan.seed, "steps");
        let world = World::new(plan, Rc::clone(&fleet));
        fleet::run(fleet, dice, world.live()).await
    });
    let taken = tidings::rare::take();
    let taken = taken.iter().filter(|(_, count)| *count > 0);
    ran.rare = taken.map(|(path, count)| (path.name().to_owned(), count)).collect();
    ran
}

/// Everything of a run.
pub struct World {
    pub(crate) plan: Rc<Plan>,
    pub(crate) fleet: Rc<Fleet>,
    pub(crate) history: History,
    pub(crate) faults: Counted,
    pub(crate) server: Arc<ModelServer>,
    pub(crate) log_weather: Arc<LogWeather>,
    pub(crate) bus: Rc<SimBus>,
    pub(crate) balancer: Rc<Balancer>,
    pub(crate) is_calm: Cell<bool>,
    /// When the supervisor starts a process.
    pub(crate) due: RefCell<BTreeMap<usize, Instant>>,
    /// How long a process that dies of itself stays down, in milliseconds.
    pub(crate) down_ms: RefCell<BTreeMap<usize, u64>>,
    dice: RefCell<Dice>,
    clock: SharedEnvironment,
    keys: Vec<PathBuf>,
}

impl World {
    fn new(plan: Plan, fleet: Rc<Fleet>) -> Rc<Self> {
        let plan = Rc::new(plan);
        let history = History::begin();
        let dice = |name: &str| Dice::new(plan.seed, name);
        let clock = SimEnvironment::new(history.began(), 0, dice("log clock"));
        let server = ModelServer::new(dice("epoch").next_u64() >> 1, Arc::clone(&clock) as SharedEnvironment);
        let server = server.expect("tables in memory");
        for replica in 0..plan.replicas {
            server.add_replica().expect("a copy in memory");
            let lag = Duration::from_millis(plan.weather.replica_lag_ms);
            server.set_replica(replica, lag, false).expect("it was just added");
        }
        let log_weather = LogWeather::new(plan.weather.clone(), dice("log"), history.trace());
        let bus = SimBus::new(&plan.weather, dice("bus"), history.trace());
        if plan.processes.iter().any(|process| process.envelope == 1) {
            bus.take_unsigned();
        }
        let balancer = Balancer::new(Rc::clone(&fleet), Rc::clone(&plan), history.clone());
        Rc::new(Self {
            fleet,
            faults: Counted::default(),
            server,
            log_weather,
            bus,
            balancer,
            is_calm: Cell::new(false),
            due: RefCell::default(),
            down_ms: RefCell::default(),
            dice: RefCell::new(dice("faults")),
            clock,
            keys: vec![concat!(env!("CARGO_MANIFEST_DIR"), "/keys/signing.pem").into()],
            history,
            plan,
        })
    }

    async fn live(self: Rc<Self>) -> Ran {
        for process in 0..self.plan.processes.len() {
            self.start(process);
        }
        tokio::task::spawn_local(Rc::clone(&self).supervise());
        let began = self.history.began();
        let at = |ms: u64| began + Duration::from_millis(ms);
        let shared = clients::World::new(&self.plan);
        let network = Rc::clone(&self.balancer) as SharedNetwork;
        let devices: Vec<Handle> = (0..self.plan.devices.len())
            .map(|device| {
                clients::start(device, &self.plan, Rc::clone(&network), self.history.clone(), shared.clone())
            })
            .collect();
        let operator = operator::start(Rc::clone(&self.balancer), shared);
        let (active, calm): (Vec<&Step>, Vec<&Step>) =
            self.plan.steps.iter().partition(|step| step.at_ms <= self.plan.active_ms);
        self.take_steps(&active, &devices, &operator).await;
        sleep_until(at(self.plan.active_ms)).await;
        self.calm();
        devices.iter().for_each(Handle::quiet);
        self.take_steps(&calm, &devices, &operator).await;
        sleep_until(at(self.plan.active_ms + self.plan.calm_ms)).await;
        let copies = devices.iter().enumerate().map(|(device, handle)| (device, handle.copy()));
        Ran {
            copies: copies.collect(),
            log: self.final_log().await,
            hash: self.history.hash(),
            virtual_ms: self.history.now_ms(),
            entries: self.history.take(),
            faults: self.faults.take(),
            rare: BTreeMap::new(),
        }
    }

    /// A number below `bound` for a fault.
    pub(crate) fn drawn(&self, bound: u64) -> u64 {
        self.dice.borrow_mut().below(bound)
    }

    async fn take_steps(
        self: &Rc<Self>,
        steps: &[&Step],
        devices: &[Handle],
        operator: &mpsc::Sender<Command>,
    ) {
        for step in steps {
            sleep_until(self.history.began() + Duration::from_millis(step.at_ms)).await;
            match &step.act {
                Act::Device { device, operation } => {
                    if let Some(handle) = devices.get(*device) {
                        handle.perform(operation.clone());
                    }
                }
                Act::Fault(fault) => self.carry_out(fault),
                Act::Operator(command) => {
                    // An operator with too much to do leaves it.
                    let _ = operator.try_send(*command);
                }
            }
        }
    }

    async fn final_log(&self) -> FinalLog {
        inspect::read(&self.server, Arc::clone(&self.clock))
            .await
            .expect("without faults the log can be read")
    }

    /// Starts a process, unless it runs.
    pub(crate) fn start(self: &Rc<Self>, process: usize) {
        if self.fleet.newest(process).is_some_and(|one| one.phase.get() != Phase::Draining) {
            return;
        }
        let plan = &self.plan.processes[process];
        let started = self.history.next_id();
        let dice = Dice::new(self.plan.seed, &format!("process {process} {started}"));
        let environment = SimEnvironment::new(self.history.began(), plan.clock_off_ms, dice);
        let world = Rc::clone(self);
        self.history.world(format!("process {process} starts"));
        self.fleet.add(process, environment, |one| world.boot(one));
    }

    /// The start of a process, inside its own tasks.
    async fn boot(self: Rc<Self>, one: Rc<Incarnation>) {
        match self.start_on(&one).await {
            Ok(running) => {
                self.history.world(format!("process {} serves", one.process));
                one.serves(running);
            }
            Err(error) => {
                self.history.world(format!("process {} could not start: {error}", one.process));
                // It exits, and its supervisor starts it again.
                self.fleet.kill(&one);
            }
        }
    }

    async fn start_on(&self, one: &Incarnation) -> Result<process::Running, String> {
        let plan = &self.plan.processes[one.process];
        let settings = settings::settings(&self.plan, plan, &self.keys)?;
        let environment = Arc::clone(&one.environment) as SharedEnvironment;
        let meters = Arc::new(Meters::new());
        let fates = self.log_weather.of_process(one.process, Arc::clone(&one.alive));
        let options = ModelOptions {
            timeout_ms: settings.store.timeout_ms,
            write_connections: settings.store.postgres.write_connections as usize,
            read_connections: settings.store.postgres.read_connections as usize,
            limits: settings.limits.to_domain(),
            read_replicas: (0..self.plan.replicas).collect(),
            tail_replica: self.plan.tail_from_replica.then_some(0),
            ..ModelOptions::new(one.number)
        };
        let store: Arc<ModelStore> = self.server.connect(options, Arc::clone(&environment), fates);
        let timeout = Duration::from_millis(settings.store.timeout_ms);
        let store = Guarded::shared(store as SharedStore, timeout, Arc::clone(&environment), &meters.store);
        let lease = Duration::from_millis(settings.presence.lease_ms);
        let name = format!("process {} start {}", one.process, one.number);
        let workers = self.plan.stops_workers().then(|| Rc::clone(&one.workers));
        let environment_too = Arc::clone(&environment);
        let edges = Edges { settings, store, environment: environment_too, meters, name, workers };
        process::start(edges, |router| {
            let alive = Arc::clone(&one.alive);
            let link =
                self.bus.connect(one.process, plan.envelope, alive, Arc::clone(router) as _, environment);
            BusEdge {
                registry: link.registry(lease),
                health: link.healthy(),
                bus: Arc::clone(&link) as _,
                link,
            }
        })
        .await
    }
}
