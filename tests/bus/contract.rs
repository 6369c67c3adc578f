//! The contract of every bus for its nodes.

use std::sync::Arc;

use tidings::bus::{BusMessage, Digest, Moved, Payload, Presence, Signal};
use tidings::domain::{ConversationId, ConversationKind, Position, Seq, Topic};
use uuid::Uuid;

use crate::world::{World, numbered, topic, user};

/// Runs each case over each bus.
macro_rules! over_every_bus {
    ($($case:ident),+ $(,)?) => {
        mod local {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    super::$case(crate::world::World::local().await).await;
                }
            )+
        }
        mod redis {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    super::$case(crate::world::World::redis().await).await;
                }
            )+
        }
        mod cluster {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    super::$case(crate::world::World::cluster().await).await;
                }
            )+
        }
    };
}

over_every_bus!(
    subscribers_hear_others_do_not,
    a_node_does_not_hear_itself,
    whoever_unsubscribed_hears_nothing,
    subscribing_again_at_once_ends_subscribed,
    a_message_for_several_topics_is_received_once,
    a_burst_arrives_in_order,
    order_holds_per_topic_whatever_the_number_of_topics,
    every_kind_of_payload_arrives_unchanged,
);

async fn subscribers_hear_others_do_not(world: World) {
    let (one, other, sender) = (world.node().await, world.node().await, world.node().await);
    one.bus.subscribe(topic(1));
    other.bus.subscribe(topic(2));
    world.settle(topic(1), 1).await;
    world.settle(topic(2), 1).await;
    sender.bus.publish(vec![numbered(&[topic(1)], 1), numbered(&[topic(3)], 2), numbered(&[topic(2)], 3)]);
    one.listener.number(1).await;
    other.listener.number(3).await;
    sender.bus.publish(vec![numbered(&[topic(1), topic(2)], 4)]);
    one.listener.number(4).await;
    other.listener.number(4).await;
    assert_eq!(one.listener.numbers(), [1, 4]);
    assert_eq!(other.listener.numbers(), [3, 4]);
}

async fn a_node_does_not_hear_itself(world: World) {
    let (one, other) = (world.node().await, world.node().await);
    one.bus.subscribe(topic(1));
    other.bus.subscribe(topic(1));
    world.settle(topic(1), 2).await;
    one.bus.publish(vec![numbered(&[topic(1)], 1)]);
    other.listener.number(1).await;
    other.bus.publish(vec![numbered(&[topic(1)], 2)]);
    one.listener.number(2).await;
    assert_eq!(one.listener.numbers(), [2]);
    assert_eq!(other.listener.numbers(), [1]);
}

async fn whoever_unsubscribed_hears_nothing(world: World) {
    let (one, sender) = (world.node().await, world.node().await);
    one.bus.subscribe(topic(1));
    one.bus.subscribe(topic(2));
    world.settle(topic(1), 1).await;
    world.settle(topic(2), 1).await;
    one.bus.unsubscribe(topic(1));
    world.settle(topic(1), 0).await;
    sender.bus.publish(vec![numbered(&[topic(1)], 1), numbered(&[topic(2)], 2)]);
    one.listener.number(2).await;
    assert_eq!(one.listener.numbers(), [2]);
    one.bus.unsubscribe(topic(9));
}

async fn subscribing_again_at_once_ends_subscribed(world: World) {
    let (one, sender) = (world.node().await, world.node().await);
    for _ in 0..50 {
        one.bus.subscribe(topic(1));
        one.bus.unsubscribe(topic(1));
        one.bus.subscribe(topic(1));
    }
    one.bus.subscribe(topic(2));
    one.bus.unsubscribe(topic(2));
    world.settle(topic(1), 1).await;
    world.settle(topic(2), 0).await;
    sender.bus.publish(vec![numbered(&[topic(2)], 1), numbered(&[topic(1)], 2)]);
    one.listener.number(2).await;
    assert_eq!(one.listener.numbers(), [2]);
}

async fn a_message_for_several_topics_is_received_once(world: World) {
    let (one, sender) = (world.node().await, world.node().await);
    let members: Vec<Topic> = (1..=100).map(topic).collect();
    for member in &members {
        one.bus.subscribe(*member);
    }
    for member in &members {
        world.settle(*member, 1).await;
    }
    sender.bus.publish(vec![numbered(&members, 1), numbered(&members[..2], 2), numbered(&members[..3], 3)]);
    one.listener.number(3).await;
    assert_eq!(one.listener.numbers(), [1, 2, 3]);
    assert_eq!(one.listener.received()[0].topics.len(), 100, "with all its topics");
}

async fn a_burst_arrives_in_order(world: World) {
    let (one, sender) = (world.node().await, world.node().await);
    one.bus.subscribe(topic(1));
    world.settle(topic(1), 1).await;
    const MANY: u64 = 10_000;
    for first in (1..=MANY).step_by(100) {
        sender.bus.publish((first..first + 100).map(|number| numbered(&[topic(1)], number)).collect());
    }
    one.listener.until("the burst", |listener| listener.numbers().len() as u64 >= MANY).await;
    assert_eq!(one.listener.numbers(), (1..=MANY).collect::<Vec<_>>());
    assert!(one.listener.largest_batch() > 1, "what is ready comes together");
}

async fn order_holds_per_topic_whatever_the_number_of_topics(world: World) {
    let (one, sender) = (world.node().await, world.node().await);
    let crowd: Vec<Topic> = (1..=20).map(topic).collect();
    one.bus.subscribe(topic(1));
    world.settle(topic(1), 1).await;
    for number in 1..=300 {
        let topics = if number % 3 == 0 { crowd.as_slice() } else { &crowd[..1] };
        sender.bus.publish(vec![numbered(topics, number)]);
    }
    one.listener.number(300).await;
    assert_eq!(one.listener.numbers(), (1..=300).collect::<Vec<_>>());
}

async fn every_kind_of_payload_arrives_unchanged(world: World) {
    let (one, sender) = (world.node().await, world.node().await);
    let conversation = ConversationId::from_random(ConversationKind::Channel, Uuid::from_u128(3));
    let topics = [Topic::Channel(conversation), Topic::Presence(user(1)), Topic::Digest, Topic::Published];
    for topic in topics {
        one.bus.subscribe(topic);
        world.settle(topic, 1).await;
    }
    let seq = Seq::new(4).unwrap();
    let moved = Moved { conversation, first: seq, last: seq, users: Arc::new([user(1)]) };
    let digest =
        Digest { epoch: 1, from: Position(1), to: Position(2), held_back: false, moved: vec![moved] };
    let message = |topic: Topic, payload: Payload| BusMessage {
        topics: [topic].as_slice().into(),
        epoch: None,
        payload,
    };
    let sent = vec![
        message(topics[0], Payload::Signal(Signal::Typing { conversation, user: user(1), on: true })),
        message(topics[1], Payload::Signal(Signal::Presence { user: user(1), presence: Presence::Away })),
        message(topics[2], Payload::Digest(Arc::new(digest))),
        message(topics[3], Payload::Published(vec![(conversation, seq)])),
    ];
    sender.bus.publish(sent.clone());
    one.listener.until("all kinds", |listener| listener.received().len() >= sent.len()).await;
    assert_eq!(one.listener.received(), sent);
}
