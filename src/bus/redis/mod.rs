//! The bus of many processes: Redis pub/sub, from a single server, behind Sentinels, or a Cluster.
//!
//! ```text
//! publish ──▶ Outgoing (bounded) ──▶ publisher: one pipelined connection ──▶ Redis
//!                                                                              │
//! Listener ◀── dispatcher ◀── Incoming (bounded) ◀── subscriber: one connection ◀─┘
//! ```
//!
//! - *Owns*: the wanted topics, the queues, one publisher and one subscriber per primary server ([`link`]).
//! - *Receives*: messages to publish, topics to subscribe to; envelopes from Redis.
//! - *Emits*: batches of messages and gaps to the listener; the health of the bus.
//! - *Limits*: [`RedisOptions`]; every command has a timeout.
//! - *On restart*: a new node id; sessions subscribe again when they reconnect.
//! - *On full*: outgoing drops the oldest messages; incoming drops new ones and reports a gap. The log has
//!   what was lost.
//!
//! Redis may be unavailable at the start and at any time: connections are retried without end.

mod carrier;
mod channels;
mod cluster;
mod connect;
mod dispatcher;
mod health_check;
mod incoming;
mod link;
mod observed;
mod options;
mod outgoing;
mod presence_registry;
mod publisher;
mod status;
mod subscriber;
mod topology;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use redis::Value;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use self::channels::Channels;
use self::incoming::IncomingQueue;
use self::link::Link;
use self::outgoing::{Outbound, Outgoing};
use self::status::{PartId, Status};
use self::topology::Topology;
use crate::bus::envelope::{BusMessageId, NodeId, encode};
use crate::bus::health::BusHealth;
use crate::bus::{Bus, BusMessage, Listener, Settled};
use crate::domain::Topic;
use crate::environment::{Backoff, SharedEnvironment};
use crate::panics::lock;
use crate::telemetry::Meters;
use crate::telemetry::meters::BusMeters;

pub use carrier::{Carried, Carrier};
pub use options::{RedisOptions, RedisServers, server, server_of_ca};
pub use presence_registry::RedisPresenceRegistry;

/// How long the connections' tasks wait before they connect again: 50 ms, doubling to 1 s.
fn reconnect_backoff() -> Backoff {
    Backoff::new(50, 1_000)
}

/// The state that the connections' tasks share.
struct Shared {
    options: RedisOptions,
    channels: Channels,
    node: NodeId,
    published: AtomicU64,
    wanted: Mutex<HashSet<Topic>>,
    topology: ArcSwap<Topology>,
    /// Something failed that a change of the Cluster's topology may explain.
    topology_suspect: Notify,
    incoming: IncomingQueue,
    status: Arc<Status>,
    listener: Arc<dyn Listener>,
    environment: SharedEnvironment,
    meters: BusMeters,
}

/// A node's connection to Redis. Dropping it ends its connections.
pub struct RedisBus {
    shared: Arc<Shared>,
    tasks: Vec<AbortHandle>,
}

impl RedisBus {
    /// Begins to connect in the background, and retries without end. Call inside a tokio runtime, on which
    /// the connections run.
    pub fn start(
        options: RedisOptions,
        listener: Arc<dyn Listener>,
        meters: &Meters,
        environment: SharedEnvironment,
    ) -> Arc<Self> {
        let mut bytes = [0_u8; 8];
        environment.fill_random(&mut bytes);
        let meters = meters.bus.clone();
        let shared = Arc::new(Shared {
            channels: Channels::new(&options.redis.prefix),
            node: NodeId(u64::from_be_bytes(bytes)),
            published: AtomicU64::new(0),
            wanted: Mutex::default(),
            topology: ArcSwap::default(),
            topology_suspect: Notify::new(),
            incoming: IncomingQueue::new(options.incoming_bytes, Arc::clone(&environment)),
            status: Status::new(Arc::clone(&environment), meters.clone()),
            listener,
            environment,
            meters,
            options,
        });
        let mut tasks = vec![shared.options.spawn(dispatcher::run(Arc::clone(&shared)))];
        match &shared.options.servers {
            RedisServers::Single(_) | RedisServers::Sentinel { .. } => {
                let link = shared.start_link(shared.options.servers.clone(), "");
                shared.topology.store(Arc::new(Topology::whole(link)));
            }
            RedisServers::Cluster(seed) => {
                let keeper = cluster::run(Arc::clone(&shared), seed.clone());
                tasks.push(shared.options.spawn(keeper));
            }
        }
        Arc::new(Self { shared, tasks })
    }

    /// The health of the bus, now and on every change.
    pub fn healthy(&self) -> watch::Receiver<BusHealth> {
        self.shared.status.health()
    }

    /// Ends all connections, as dropping it does.
    pub fn end(&self) {
        self.tasks.iter().for_each(AbortHandle::abort);
        self.shared.topology.load().links().iter().for_each(|link| link.end());
    }

    /// The health of the bus now.
    pub fn health(&self) -> BusHealth {
        self.healthy().borrow().clone()
    }
}

impl Drop for RedisBus {
    fn drop(&mut self) {
        self.end();
    }
}

impl Bus for RedisBus {
    fn publish(&self, messages: Vec<BusMessage>) {
        self.shared.publish(&messages);
    }

    fn subscribe(&self, topic: Topic) {
        self.shared.want(topic, true);
    }

    fn unsubscribe(&self, topic: Topic) {
        self.shared.want(topic, false);
    }

    fn settled(&self) -> Settled {
        if !self.shared.status.health().borrow().up {
            return Box::pin(std::future::ready(()));
        }
        let (topology, patience) = (self.shared.topology.load_full(), self.shared.options.timeout());
        Box::pin(async move {
            let all = async {
                for link in topology.links() {
                    link.settled().await;
                }
            };
            // A bus that takes longer is about to count as down.
            let _ = tokio::time::timeout(patience, all).await;
        })
    }
}

impl Shared {
    /// Starts a link's publisher and subscriber. `name` distinguishes it in the status.
    fn start_link(self: &Arc<Self>, servers: RedisServers, name: &str) -> Arc<Link> {
        let label = |what: &str| format!("{what} {name}").trim_end().to_owned();
        let publisher = self.status.add(label("publisher"));
        let subscriber = self.status.add(label("subscriber"));
        let (bytes, messages) = (self.options.redis.outgoing_bytes, self.options.redis.outgoing_messages);
        let outgoing = Outgoing::new(bytes, messages, Arc::clone(&self.environment));
        let link = Link::new(servers, outgoing, publisher, subscriber);
        link.own(self.options.spawn(publisher::run(Arc::clone(self), Arc::clone(&link))));
        link.own(self.options.spawn(subscriber::run(Arc::clone(self), Arc::clone(&link))));
        link
    }

    /// Ends a link that is no longer used. Its waiting messages go to the links that they belong to now.
    fn retire(&self, link: &Link) {
        link.end();
        let topology = self.topology.load();
        for Outbound { channels, envelope, tried } in link.outgoing.take(usize::MAX, usize::MAX) {
            for (link, channels) in publisher::by_link(&topology, channels.into_iter()) {
                let dropped = link.outgoing.put([Outbound { channels, envelope: envelope.clone(), tried }]);
                self.meters.dropped.of("queue_full").increment(dropped);
            }
        }
        self.status.remove(link.publisher);
        self.status.remove(link.subscriber);
    }

    fn publish(&self, messages: &[BusMessage]) {
        let topology = self.topology.load();
        for message in messages {
            let id = BusMessageId { node: self.node, number: self.published.fetch_add(1, Ordering::Relaxed) };
            let envelope = match &self.options.mac {
                Some(keys) => keys.encode(id, message),
                None => encode(id, message),
            };
            let Ok(envelope) = envelope else {
                self.meters.dropped.of("unreadable").increment(1);
                continue;
            };
            let channels = message.topics.iter().map(|topic| self.channels.of(*topic));
            let parts = publisher::by_link(&topology, channels);
            if parts.is_empty() {
                self.meters.dropped.of("failed").increment(1);
            }
            for (link, channels) in parts {
                let dropped =
                    link.outgoing.put([Outbound { channels, envelope: envelope.clone(), tried: false }]);
                self.meters.dropped.of("queue_full").increment(dropped);
            }
        }
    }

    fn want(&self, topic: Topic, wanted: bool) {
        let mut topics = lock(&self.wanted);
        let changed = if wanted { topics.insert(topic) } else { topics.remove(&topic) };
        self.meters.subscriptions.set(topics.len() as f64);
        drop(topics);
        if changed && let Some(link) = self.topology.load().owner(&self.channels.of(topic)) {
            link.mark_stale([topic]);
        }
    }

    fn wanted(&self) -> Vec<Topic> {
        lock(&self.wanted).iter().copied().collect()
    }

    fn is_wanted(&self, topic: Topic, link: &Link) -> bool {
        let owned = || {
            let topology = self.topology.load();
            topology.owner(&self.channels.of(topic)).is_some_and(|owner| std::ptr::eq(&**owner, link))
        };
        lock(&self.wanted).contains(&topic) && owned()
    }

    /// Whether a channel's name is one of a wanted topic that belongs to `link`. Rarely called, so a search
    /// is good enough.
    fn is_wanted_channel(&self, name: Option<&Value>, link: &Link) -> bool {
        let Some(Value::BulkString(name)) = name else { return true };
        let wanted =
            lock(&self.wanted).iter().copied().find(|topic| self.channels.of(*topic).as_bytes() == name);
        wanted.is_some_and(|topic| self.is_wanted(topic, link))
    }

    /// An envelope arrived. Called by the connection, which must not wait.
    fn arrived(&self, envelope: Vec<u8>) {
        self.meters.received_bytes.increment(envelope.len() as u64);
        if !self.incoming.put(envelope) {
            self.meters.dropped.of("queue_full").increment(1);
        }
    }

    /// Envelopes may have been lost.
    fn gap(&self) {
        self.meters.gaps.increment(1);
        self.listener.on_gap();
    }

    fn alive(&self, part: PartId, alive: bool) {
        if alive {
            self.status.up(part);
        } else {
            self.status.down(part, "no answer");
        }
    }

    fn sharded(&self) -> bool {
        matches!(self.options.servers, RedisServers::Cluster(_))
    }

    /// Asks for a read of the Cluster's topology. Without a Cluster it does nothing.
    fn suspect_topology(&self) {
        self.topology_suspect.notify_one();
    }
}
