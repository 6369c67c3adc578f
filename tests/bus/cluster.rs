//! Over a Redis Cluster: the bus follows the slots.

use std::sync::Arc;
use std::time::Duration;

use tidings::bus::Bus;
use tidings::bus::Presence::Online;
use tidings::bus::book::PresenceBook;
use tidings::bus::redis::RedisBus;
use tidings::domain::UserId;

use crate::book::{LEASE, until};
use crate::ear::{Ear, ear};
use crate::servers::cluster::Cluster;
use crate::world::{channel, cluster_options, connected, numbered, settle_in_cluster, topic, up, user};

const TOPICS: u64 = 60;

/// A node that follows many topics, and one that publishes.
async fn pair(cluster: &Cluster) -> (Arc<RedisBus>, Arc<Ear>, Arc<RedisBus>) {
    let ear = ear();
    let bus = connected(cluster_options(cluster), &ear).await;
    for number in 0..TOPICS {
        bus.subscribe(topic(number));
    }
    for number in 0..TOPICS {
        settle_in_cluster(cluster, topic(number), 1).await;
    }
    let sender = connected(cluster_options(cluster), &crate::ear::ear()).await;
    (bus, ear, sender)
}

/// Publishes a number to every topic again and again until the follower has heard a round in full.
async fn delivers_everywhere(sender: &RedisBus, heard: &Ear, first: u64) {
    let delivered = async {
        for round in 0.. {
            heard.clear();
            let base = first + round * TOPICS;
            sender.publish((0..TOPICS).map(|at| numbered(&[topic(at)], base + at)).collect());
            tokio::time::sleep(Duration::from_millis(200)).await;
            let mut numbers = heard.numbers();
            numbers.sort_unstable();
            numbers.retain(|number| *number >= base);
            if numbers == (base..base + TOPICS).collect::<Vec<_>>() {
                return;
            }
        }
    };
    let done = tokio::time::timeout(crate::ear::DEADLINE, delivered).await;
    assert!(done.is_ok(), "not everything arrives any more: {:?}", sender.health());
}

async fn slot_of(cluster: &Cluster, number: u64) -> u16 {
    let answer = cluster.nodes[0].order(&format!("CLUSTER KEYSLOT {}", channel(topic(number)))).await;
    redis::from_redis_value(answer).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_are_spread_over_the_primaries() {
    let cluster = Cluster::start(3, 0).await;
    let (_bus, heard, sender) = pair(&cluster).await;
    delivers_everywhere(&sender, &heard, 1).await;
    for node in &cluster.nodes {
        let clients: String = redis::from_redis_value(node.order("CLIENT LIST TYPE pubsub").await).unwrap();
        assert_eq!(clients.lines().count(), 1, "one subscriber connection per primary: {clients}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_is_followed() {
    let cluster = Cluster::start(3, 0).await;
    let (bus, heard, sender) = pair(&cluster).await;
    delivers_everywhere(&sender, &heard, 1).await;
    let gaps = heard.gaps();
    for number in 0..5 {
        let slot = slot_of(&cluster, number).await;
        let owner = usize::from(slot) * 3 / 16_384;
        cluster.move_slot(slot, owner, (owner + 1) % 3).await;
    }
    heard.until("the gap", |ear| ear.gaps() > gaps).await;
    for number in 0..TOPICS {
        settle_in_cluster(&cluster, topic(number), 1).await;
    }
    up(&bus, true).await;
    delivers_everywhere(&sender, &heard, 100_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_dies_is_followed_to_its_replica() {
    let mut cluster = Cluster::start(3, 3).await;
    let (bus, heard, sender) = pair(&cluster).await;
    delivers_everywhere(&sender, &heard, 1).await;
    cluster.nodes[0].kill9();
    up(&bus, false).await;
    up(&bus, true).await;
    up(&sender, true).await;
    assert!(heard.gaps() >= 1);
    delivers_everywhere(&sender, &heard, 100_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_presence_book_is_spread_too() {
    let cluster = Cluster::start(3, 0).await;
    let one = connected(cluster_options(&cluster), &ear()).await;
    let other = connected(cluster_options(&cluster), &ear()).await;
    let (writer, reader) = (one.book(LEASE), other.book(LEASE));
    let users: Vec<UserId> = (0..100).map(user).collect();
    users.iter().for_each(|user| writer.put(*user, Some(Online)));
    writer.others(&[]).await.unwrap();
    until(&*reader, users[0], Some(Online)).await;
    assert_eq!(reader.others(&users).await, Ok(vec![Some(Online); 100]));
}
