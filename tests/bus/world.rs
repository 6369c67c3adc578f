//! Nodes on any of the bus implementations.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use smallvec::smallvec;
use tidings::bus::local::LocalExchange;
use tidings::bus::redis::{RedisBus, RedisOptions, RedisServers, server};
use tidings::bus::{Bus, BusMessage, Payload};
use tidings::domain::{ConversationId, ConversationKind, Seq, Topic, UserId};
use tidings::environment::SystemEnvironment;
use tidings::telemetry::{Exporter, Meters};
use uuid::Uuid;

use crate::recording_listener::{RecordingListener, listener};
use crate::servers::Redis;
use crate::servers::cluster::Cluster;

/// A bus for any number of nodes.
pub enum World {
    /// Within this process.
    Local(Arc<LocalExchange>),
    /// Over a real server.
    Redis(Redis),
    /// Over a real Cluster.
    Cluster(Cluster),
}

/// One node on it.
pub struct Node {
    pub bus: Arc<dyn Bus>,
    pub listener: Arc<RecordingListener>,
}

impl World {
    /// The bus within the process.
    pub async fn local() -> Self {
        Self::Local(Arc::default())
    }

    /// The bus over Redis.
    pub async fn redis() -> Self {
        Self::Redis(Redis::start().await)
    }

    /// The bus over a Redis Cluster.
    pub async fn cluster() -> Self {
        Self::Cluster(Cluster::start(3, 0).await)
    }

    /// A new node, connected.
    pub async fn node(&self) -> Node {
        let listener = listener();
        match self {
            Self::Local(exchange) => Node { bus: Arc::new(exchange.attach(listener.clone())), listener },
            Self::Redis(redis) => {
                let bus = connected(options(redis), &listener).await;
                Node { bus, listener }
            }
            Self::Cluster(cluster) => {
                let bus = connected(cluster_options(cluster), &listener).await;
                Node { bus, listener }
            }
        }
    }

    /// Waits until so many nodes are subscribed to `topic`.
    pub async fn settle(&self, topic: Topic, nodes: u64) {
        match self {
            Self::Local(_) => {}
            Self::Redis(redis) => settle(redis, topic, nodes).await,
            Self::Cluster(cluster) => settle_in_cluster(cluster, topic, nodes).await,
        }
    }
}

/// Options for a server, with patience as in production.
pub fn options(redis: &Redis) -> RedisOptions {
    RedisOptions::new(RedisServers::Single(server(&redis.url()).unwrap()))
}

/// Options for a Cluster.
pub fn cluster_options(cluster: &Cluster) -> RedisOptions {
    RedisOptions::new(RedisServers::Cluster(server(&cluster.url()).unwrap()))
}

/// A bus that has begun to connect.
pub fn begun(options: RedisOptions, listener: &Arc<RecordingListener>) -> Arc<RedisBus> {
    RedisBus::start(options, listener.clone(), &meters(), SystemEnvironment::shared())
}

/// A bus that is up.
pub async fn connected(options: RedisOptions, listener: &Arc<RecordingListener>) -> Arc<RedisBus> {
    let bus = begun(options, listener);
    up(&bus, true).await;
    bus
}

/// How long a message that may be lost is waited for before another one is published.
pub const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// Waits until nothing waits to be published.
pub async fn all_sent(bus: &RedisBus) {
    let sent = async {
        while bus.observed().links.iter().any(|link| link.outgoing_bytes > 0) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    if tokio::time::timeout(crate::recording_listener::DEADLINE, sent).await.is_err() {
        panic!("messages go on waiting: {:?}", bus.observed());
    }
}

/// Waits until a bus is up, or down.
pub async fn up(bus: &RedisBus, up: bool) {
    let mut health = bus.healthy();
    let turned = health.wait_for(|health| health.up == up);
    if tokio::time::timeout(crate::recording_listener::DEADLINE, turned).await.is_err() {
        panic!("the bus is not {}: {:?}", if up { "up" } else { "down" }, bus.health());
    }
}

/// Waits until so many connections are subscribed to a topic's channel.
pub async fn settle(redis: &Redis, topic: Topic, subscribers: u64) {
    let question = format!("PUBSUB NUMSUB {}", channel(topic));
    let counted = async {
        loop {
            // A server that changes its role ends connections.
            let answer = redis.try_order(&question).await.unwrap_or(redis::Value::Nil);
            let count = redis::from_redis_value::<(String, u64)>(answer).map(|(_, count)| count);
            if count.is_ok_and(|count| count == subscribers) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if tokio::time::timeout(crate::recording_listener::DEADLINE, counted).await.is_err() {
        panic!("{topic:?} never had {subscribers} subscribers");
    }
}

/// The same, over all nodes of a Cluster.
pub async fn settle_in_cluster(cluster: &Cluster, topic: Topic, subscribers: u64) {
    let channel = channel(topic);
    let counted = async {
        while cluster.subscribers(&channel).await != subscribers {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    if tokio::time::timeout(crate::recording_listener::DEADLINE, counted).await.is_err() {
        let now = cluster.subscribers(&channel).await;
        panic!("{topic:?} never had {subscribers} subscribers but {now}");
    }
}

/// A topic's channel, as other installations' tools would name it.
pub fn channel(topic: Topic) -> String {
    match topic {
        Topic::User(user) => format!("tidings:u:{}", user.as_uuid().simple()),
        Topic::Channel(conversation) => format!("tidings:c:{}", conversation.as_uuid().simple()),
        Topic::Presence(user) => format!("tidings:p:{}", user.as_uuid().simple()),
        Topic::Digest => "tidings:digest".to_owned(),
        Topic::Published => "tidings:published".to_owned(),
    }
}

pub fn user(number: u64) -> UserId {
    UserId::from_uuid(Uuid::from_u128(u128::from(number)))
}

pub fn topic(number: u64) -> Topic {
    Topic::User(user(number))
}

/// A message that bears a number.
pub fn numbered(topics: &[Topic], number: u64) -> BusMessage {
    let conversation = ConversationId::from_random(ConversationKind::Group, Uuid::from_u128(7));
    let payload = Payload::Published(vec![(conversation, Seq::new(number).unwrap())]);
    BusMessage { topics: topics.into(), epoch: Some(1), payload }
}

/// The same, heavier by about `bytes`.
pub fn heavy(topic: Topic, number: u64, bytes: usize) -> BusMessage {
    let mut message = numbered(&[topic], number);
    if let Payload::Published(places) = &mut message.payload {
        let more = places[0];
        places.extend(std::iter::repeat_n(more, bytes / 20));
    }
    message.topics = smallvec![topic];
    message
}

static EXPORTER: LazyLock<Exporter> = LazyLock::new(|| Exporter::install().unwrap());

/// Handles that [`counted`] reads.
pub fn meters() -> Meters {
    LazyLock::force(&EXPORTER);
    Meters::new()
}

/// A series' value, as in `tidings_bus_dropped_total{reason="failed"}`. Tests of one process share it:
/// compare with before.
pub fn counted(series: &str) -> f64 {
    let text = EXPORTER.render();
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}
