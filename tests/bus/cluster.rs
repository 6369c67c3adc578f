//! The bus over a Redis Cluster follows the slots.

use std::sync::Arc;

use tidings::bus::Bus;
use tidings::bus::Presence::Online;
use tidings::bus::presence_registry::PresenceRegistry;
use tidings::bus::redis::RedisBus;
use tidings::domain::UserId;

use crate::presence_registry::{LEASE, until};
use crate::recording_listener::{RecordingListener, listener};
use crate::servers::cluster::Cluster;
use crate::world::{
    AGAIN_AFTER, channel, cluster_options, connected, numbered, settle_in_cluster, topic, up, user,
};

const TOPICS: u64 = 60;

/// A node that follows many topics, and one that publishes.
async fn pair(cluster: &Cluster) -> (Arc<RedisBus>, Arc<RecordingListener>, Arc<RedisBus>) {
    let listener = listener();
    let bus = connected(cluster_options(cluster), &listener).await;
    for number in 0..TOPICS {
        bus.subscribe(topic(number));
    }
    for number in 0..TOPICS {
        settle_in_cluster(cluster, topic(number), 1).await;
    }
    let sender = connected(cluster_options(cluster), &crate::recording_listener::listener()).await;
    (bus, listener, sender)
}

/// Publishes a number to every topic again and again until the follower has received a round in full.
async fn delivers_everywhere(sender: &RedisBus, received: &RecordingListener, first: u64) {
    let delivered = async {
        for round in 0.. {
            received.clear();
            let base = first + round * TOPICS;
            sender.publish((0..TOPICS).map(|at| numbered(&[topic(at)], base + at)).collect());
            let all = received.until("the whole round", |received| {
                let mut numbers = received.numbers();
                numbers.sort_unstable();
                numbers.retain(|number| *number >= base);
                numbers == (base..base + TOPICS).collect::<Vec<_>>()
            });
            if tokio::time::timeout(AGAIN_AFTER, all).await.is_ok() {
                return;
            }
        }
    };
    let done = tokio::time::timeout(crate::recording_listener::DEADLINE, delivered).await;
    assert!(done.is_ok(), "not everything arrives any more: {:?}", sender.health());
}

async fn slot_of(cluster: &Cluster, number: u64) -> u16 {
    let answer = cluster.nodes[0].order(&format!("CLUSTER KEYSLOT {}", channel(topic(number)))).await;
    redis::from_redis_value(answer).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_are_spread_over_the_primaries() {
    let cluster = Cluster::start(3, 0).await;
    let (_bus, received, sender) = pair(&cluster).await;
    delivers_everywhere(&sender, &received, 1).await;
    for node in &cluster.nodes {
        let clients: String = redis::from_redis_value(node.order("CLIENT LIST TYPE pubsub").await).unwrap();
        assert_eq!(clients.lines().count(), 1, "one subscriber connection per primary: {clients}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_is_followed() {
    let cluster = Cluster::start(3, 0).await;
    let (bus, received, sender) = pair(&cluster).await;
    delivers_everywhere(&sender, &received, 1).await;
    let gaps = received.gaps();
    for number in 0..5 {
        let slot = slot_of(&cluster, number).await;
        let owner = usize::from(slot) * 3 / 16_384;
        cluster.move_slot(slot, owner, (owner + 1) % 3).await;
    }
    received.until("the gap", |listener| listener.gaps() > gaps).await;
    for number in 0..TOPICS {
        settle_in_cluster(&cluster, topic(number), 1).await;
    }
    up(&bus, true).await;
    delivers_everywhere(&sender, &received, 100_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_dies_is_followed_to_its_replica() {
    let mut cluster = Cluster::start(3, 3).await;
    let (bus, received, sender) = pair(&cluster).await;
    delivers_everywhere(&sender, &received, 1).await;
    cluster.nodes[0].kill9();
    up(&bus, false).await;
    up(&bus, true).await;
    up(&sender, true).await;
    assert!(received.gaps() >= 1);
    delivers_everywhere(&sender, &received, 100_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_presence_registry_is_spread_too() {
    let cluster = Cluster::start(3, 0).await;
    let one = connected(cluster_options(&cluster), &listener()).await;
    let other = connected(cluster_options(&cluster), &listener()).await;
    let (writer, reader) = (one.presence_registry(LEASE), other.presence_registry(LEASE));
    let users: Vec<UserId> = (0..100).map(user).collect();
    users.iter().for_each(|user| writer.put(*user, Some(Online)));
    writer.others(&[]).await.unwrap();
    until(&*reader, users[0], Some(Online)).await;
    assert_eq!(reader.others(&users).await, Ok(vec![Some(Online); 100]));
}
