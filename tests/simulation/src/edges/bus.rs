//! The bus of the simulated fleet: the product's own client, connected to a model of Redis.
//!
//! Everything on the process's side is the product: queues, codec and MACs, health checks, reconnects,
//! subscriptions, gaps, the presence registry. The server and the connections to it are the model.

mod connection;
mod forged;
mod keys;
mod resp;
mod server;
#[cfg(test)]
mod tests;

use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidings::bus::envelope::{MacKeys, Unsigned};
use tidings::bus::health::BusHealth;
use tidings::bus::presence_registry::SharedPresenceRegistry;
use tidings::bus::redis::{RedisBus, RedisOptions, RedisPresenceRegistry, RedisServers, server as address};
use tidings::bus::{Bus, BusMessage, Listener, Settled};
use tidings::domain::Topic;
use tidings::environment::SharedEnvironment;
use tidings::panics::lock;
use tidings::telemetry::Meters;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use self::connection::SimCarrier;
use self::server::{Peer, Server};
use super::now;
use crate::dice::Dice;
use crate::history::Trace;
use crate::plan::Weather;

/// The secret that the MACs of the fleet are derived from.
const SECRET: &str = "the secret of every process of a simulated fleet";

fn mac(unsigned: Unsigned) -> Arc<MacKeys> {
    Arc::new(MacKeys::derive(&[SECRET], unsigned).expect("there is a secret"))
}

/// When a fault ends that lasts so long from now on, and not shorter than it does already.
fn later(already: Option<Instant>, duration: Duration) -> Instant {
    let until = now() + duration;
    already.map_or(until, |already| already.max(until))
}

/// The bus that all processes share.
pub struct SimBus {
    server: Arc<Server>,
    /// Envelopes without a MAC are accepted, as while a fleet begins to sign.
    takes_unsigned: AtomicBool,
}

impl SimBus {
    /// A bus that works. Call inside the runtime.
    pub fn new(weather: &Weather, dice: Dice, trace: Arc<Trace>) -> Rc<Self> {
        let server = Server::new(weather.clone(), dice, mac(Unsigned::Taken), trace);
        Rc::new(Self { server, takes_unsigned: AtomicBool::new(false) })
    }

    /// Processes that connect from now on accept envelopes without a MAC. Needed when any process writes
    /// version 1.
    pub fn take_unsigned(&self) {
        self.takes_unsigned.store(true, Ordering::Relaxed);
    }

    /// Connects a process. Call inside its `LocalSet`, in which all tasks of the connection run. `envelope`:
    /// the version that it writes.
    pub fn connect(
        &self,
        process: usize,
        envelope: u8,
        alive: Arc<AtomicBool>,
        listener: Arc<dyn Listener>,
        environment: SharedEnvironment,
    ) -> Arc<SimBusLink> {
        let peer = Peer { process, envelope, alive };
        let unsigned =
            if self.takes_unsigned.load(Ordering::Relaxed) { Unsigned::Taken } else { Unsigned::Dropped };
        let server = address("redis://simulated").expect("it is an address");
        let options = RedisOptions {
            mac: Some(mac(unsigned)),
            carrier: Some(Arc::new(SimCarrier { server: Arc::clone(&self.server), peer })),
            ..RedisOptions::new(RedisServers::Single(server))
        };
        let bus = RedisBus::start(options, listener, &Meters::new(), environment);
        Arc::new(SimBusLink { bus, registry: Mutex::default() })
    }

    /// Nobody can connect for a while. In one half of the cases processes are refused at once; in the other
    /// half nothing gets an answer.
    pub fn away(&self, duration: Duration) {
        let mut state = self.server.state();
        let until = later(state.away.map(|(until, _)| until), duration);
        let is_silent = state.dice.chance(500);
        state.away = Some((until, is_silent));
        self.server.note(if is_silent { "is silent" } else { "is away" });
        if !is_silent {
            state.cut(|_, _| true);
            return;
        }
        let silent = state.silence();
        let server = Arc::clone(&self.server);
        tokio::spawn(async move {
            sleep_until(until).await;
            // Bytes from a connection that the server does not know are answered with a reset.
            server.state().cut(|id, _| silent.contains(&id));
        });
    }

    /// The server executes and sends nothing for a while, and then goes on with everything that it got.
    pub fn freeze(&self, duration: Duration) {
        self.server.note("is frozen");
        let mut state = self.server.state();
        state.frozen_until = Some(later(state.frozen_until, duration));
    }

    /// The server is a replica for a while: it keeps its connections and carries nothing.
    pub fn demote(&self, duration: Duration) {
        self.server.note("is demoted");
        let mut state = self.server.state();
        state.demoted_until = Some(later(state.demoted_until, duration));
    }

    /// The server forgets everything and starts again.
    pub fn empty(&self) {
        self.server.note("is emptied");
        let mut state = self.server.state();
        state.forget();
        state.cut(|_, _| true);
    }

    /// The connections of a process break.
    pub fn cut(&self, process: usize) {
        self.server.note(("cuts", process));
        self.server.state().cut(|_, one| one.peer.process == process);
    }

    /// Something arrives that no process has sent. Forgeries without a MAC come only while MACs are required.
    pub fn forge(&self, kind: u8) {
        let is_required = !self.takes_unsigned.load(Ordering::Relaxed);
        let mut state = self.server.state();
        if let Some((channel, envelope)) = forged::forge(&self.server, &mut state, kind, is_required) {
            self.server.note(("carries a forgery", kind));
            self.server.deliver(&mut state, &channel, &envelope);
        }
    }

    /// Ends everything that goes wrong.
    pub fn calm(&self, weather: &Weather) {
        let mut state = self.server.state();
        state.weather = weather.clone();
        (state.away, state.frozen_until, state.demoted_until) = (None, None, None);
        state.cut(|_, one| one.is_silent);
        drop(state);
        self.server.changed.notify_waiters();
    }
}

/// The connection of a process. Dropping it ends it.
pub struct SimBusLink {
    bus: Arc<RedisBus>,
    registry: Mutex<Option<Arc<RedisPresenceRegistry>>>,
}

impl SimBusLink {
    /// Opens the process's handle to the presence registry. Call once, inside the process's `LocalSet`.
    pub fn registry(&self, lease: Duration) -> SharedPresenceRegistry {
        let registry = self.bus.presence_registry(lease);
        *lock(&self.registry) = Some(Arc::clone(&registry));
        registry
    }

    /// The health, now and on every change.
    pub fn healthy(&self) -> watch::Receiver<BusHealth> {
        self.bus.healthy()
    }

    /// Takes the process out of the registry, as a stop does.
    pub async fn leave(&self) {
        let registry = lock(&self.registry).clone();
        if let Some(registry) = registry {
            registry.leave().await;
        }
    }
}

impl Bus for SimBusLink {
    fn publish(&self, messages: Vec<BusMessage>) {
        self.bus.publish(messages);
    }

    fn subscribe(&self, topic: Topic) {
        self.bus.subscribe(topic);
    }

    fn unsubscribe(&self, topic: Topic) {
        self.bus.unsubscribe(topic);
    }

    fn settled(&self) -> Settled {
        self.bus.settled()
    }
}
