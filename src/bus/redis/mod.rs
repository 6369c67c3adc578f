//! The bus of many processes: Redis pub/sub, from a single server, behind Sentinels, or a Cluster.
//!
//! ```text
//! publish ──▶ Outgoing (bounded) ──▶ publisher: one pipelined connection ──▶ Redis
//!                                                                              │
//! Listener ◀── courier ◀── Incoming (bounded) ◀── subscriber: one connection ◀─┘
//! ```
//!
//! - *Owns*: the wanted topics, the queues, one publisher and one subscriber per primary server ([`link`]).
//! - *Receives*: parcels to publish, topics to follow; envelopes from Redis.
//! - *Emits*: batches of parcels and gaps to the listener; health to whoever watches.
//! - *Limits*: [`RedisOptions`]; every command ends in time.
//! - *On restart*: a new node id; subscriptions come with the sessions.
//! - *On full*: outgoing drops the oldest, incoming drops and tells a gap. The log has what was lost.
//!
//! Redis may be away at the start, and for any time: connections are tried for ever.

mod book;
mod channels;
mod cluster;
mod connect;
mod courier;
mod incoming;
mod layout;
mod link;
mod options;
mod outgoing;
mod publisher;
mod pulse;
mod status;
mod subscriber;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use redis::Value;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use self::channels::Channels;
use self::incoming::Incoming;
use self::layout::Layout;
use self::link::Link;
use self::outgoing::{Outbound, Outgoing};
use self::status::{PartId, Status};
use crate::bus::envelope::{NodeId, Stamp, encode};
use crate::bus::health::BusHealth;
use crate::bus::{Bus, Listener, Parcel, Settled};
use crate::domain::Topic;
use crate::environment::{Backoff, SharedEnvironment};
use crate::panics::lock;
use crate::telemetry::Meters;
use crate::telemetry::meters::BusMeters;

pub use book::RedisBook;
pub use options::{Place, RedisOptions, server};

/// How long the connections' tasks wait before they connect again: 50 ms, doubling to 1 s.
fn reconnect_backoff() -> Backoff {
    Backoff::new(50, 1_000)
}

/// What the connections' tasks share.
struct Shared {
    options: RedisOptions,
    channels: Channels,
    node: NodeId,
    published: AtomicU64,
    wanted: Mutex<HashSet<Topic>>,
    layout: ArcSwap<Layout>,
    /// Something failed that a look at the Cluster's layout may explain.
    astray: Notify,
    incoming: Incoming,
    status: Arc<Status>,
    listener: Arc<dyn Listener>,
    environment: SharedEnvironment,
    meters: BusMeters,
}

/// A node's connection to Redis; see the module's documentation. Dropping it ends its connections.
pub struct RedisBus {
    shared: Arc<Shared>,
    tasks: Vec<AbortHandle>,
}

impl RedisBus {
    /// Begins to connect, in the background and for ever. Call inside a tokio runtime; it carries the connections.
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
            channels: Channels::new(&options.prefix),
            node: NodeId(u64::from_be_bytes(bytes)),
            published: AtomicU64::new(0),
            wanted: Mutex::default(),
            layout: ArcSwap::default(),
            astray: Notify::new(),
            incoming: Incoming::new(options.incoming_bytes),
            status: Status::new(Arc::clone(&environment), meters.clone()),
            listener,
            environment,
            meters,
            options,
        });
        let mut tasks = vec![tokio::spawn(courier::run(Arc::clone(&shared))).abort_handle()];
        match &shared.options.place {
            Place::Single(_) | Place::Sentinel { .. } => {
                let link = shared.start_link(shared.options.place.clone(), "");
                shared.layout.store(Arc::new(Layout::whole(link)));
            }
            Place::Cluster(seed) => {
                let keeper = cluster::run(Arc::clone(&shared), seed.clone());
                tasks.push(tokio::spawn(keeper).abort_handle());
            }
        }
        Arc::new(Self { shared, tasks })
    }

    /// How the bus is, now and from now on.
    pub fn healthy(&self) -> watch::Receiver<BusHealth> {
        self.shared.status.health()
    }

    /// Ends all connections for good, as dropping it does.
    pub fn end(&self) {
        self.tasks.iter().for_each(AbortHandle::abort);
        self.shared.layout.load().links().iter().for_each(|link| link.end());
    }

    /// How the bus is now.
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
    fn publish(&self, parcels: Vec<Parcel>) {
        self.shared.publish(&parcels);
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
        let (layout, patience) = (self.shared.layout.load_full(), self.shared.options.timeout);
        Box::pin(async move {
            let all = async {
                for link in layout.links() {
                    link.settled().await;
                }
            };
            // A bus that takes longer is about to be found down.
            let _ = tokio::time::timeout(patience, all).await;
        })
    }
}

impl Shared {
    /// Starts a link's publisher and subscriber. `name` tells it from others in the status.
    fn start_link(self: &Arc<Self>, place: Place, name: &str) -> Arc<Link> {
        let label = |what: &str| format!("{what} {name}").trim_end().to_owned();
        let publisher = self.status.enroll(label("publisher"));
        let subscriber = self.status.enroll(label("subscriber"));
        let outgoing = Outgoing::new(self.options.outgoing_bytes, self.options.outgoing_parcels);
        let link = Link::new(place, outgoing, publisher, subscriber);
        link.own(tokio::spawn(publisher::run(Arc::clone(self), Arc::clone(&link))).abort_handle());
        link.own(tokio::spawn(subscriber::run(Arc::clone(self), Arc::clone(&link))).abort_handle());
        link
    }

    /// Ends a link that serves nothing any more; what waits there goes where it belongs now.
    fn retire(&self, link: &Link) {
        link.end();
        let layout = self.layout.load();
        for Outbound { channels, envelope, tried } in link.outgoing.take(usize::MAX, usize::MAX) {
            for (link, channels) in publisher::by_link(&layout, channels.into_iter()) {
                let dropped = link.outgoing.put([Outbound { channels, envelope: envelope.clone(), tried }]);
                self.meters.dropped.of("queue_full").increment(dropped);
            }
        }
        self.status.strike(link.publisher);
        self.status.strike(link.subscriber);
    }

    fn publish(&self, parcels: &[Parcel]) {
        let layout = self.layout.load();
        for parcel in parcels {
            let stamp = Stamp { node: self.node, number: self.published.fetch_add(1, Ordering::Relaxed) };
            let envelope = match &self.options.mac {
                Some(keys) => keys.encode(stamp, parcel),
                None => encode(stamp, parcel),
            };
            let Ok(envelope) = envelope else {
                self.meters.dropped.of("unreadable").increment(1);
                continue;
            };
            let channels = parcel.topics.iter().map(|topic| self.channels.of(*topic));
            let parts = publisher::by_link(&layout, channels);
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
        if changed && let Some(link) = self.layout.load().owner(&self.channels.of(topic)) {
            link.stir([topic]);
        }
    }

    fn wanted(&self) -> Vec<Topic> {
        lock(&self.wanted).iter().copied().collect()
    }

    fn is_wanted(&self, topic: Topic, link: &Link) -> bool {
        let owned = || {
            let layout = self.layout.load();
            layout.owner(&self.channels.of(topic)).is_some_and(|owner| std::ptr::eq(&**owner, link))
        };
        lock(&self.wanted).contains(&topic) && owned()
    }

    /// Whether a channel's name is one of a wanted topic that belongs to `link`. Rare, so a search will do.
    fn is_wanted_channel(&self, name: Option<&Value>, link: &Link) -> bool {
        let Some(Value::BulkString(name)) = name else { return true };
        let wanted =
            lock(&self.wanted).iter().copied().find(|topic| self.channels.of(*topic).as_bytes() == name);
        wanted.is_some_and(|topic| self.is_wanted(topic, link))
    }

    /// An envelope came in; called by the connection, which may not wait.
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
        matches!(self.options.place, Place::Cluster(_))
    }

    /// Asks for a look at the Cluster's layout; nothing otherwise.
    fn look_around(&self) {
        self.astray.notify_one();
    }
}
