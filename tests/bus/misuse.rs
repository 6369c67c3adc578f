//! Messages of other programs on our channels, and the Redis permissions of our user.

use std::sync::Arc;

use tidings::bus::envelope::{BusMessageId, MacKeys, NodeId, SIGNED_VERSION, Unsigned, VERSION, encode};

use std::time::Duration;

use tidings::bus::Bus;
use tidings::bus::Presence::Online;
use tidings::bus::presence_registry::PresenceRegistry;
use tidings::bus::redis::{RedisOptions, RedisServers, server};
use tidings::domain::Topic;

use crate::recording_listener::listener;
use crate::servers::Redis;
use crate::world::{begun, channel, connected, counted, numbered, options, settle, topic, up, user};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_and_later_versions_are_counted_and_ignored() {
    let redis = Redis::start().await;
    let listener = listener();
    let bus = connected(options(&redis), &listener).await;
    bus.subscribe(topic(1));
    settle(&redis, topic(1), 1).await;
    let sound = encode(BusMessageId { node: NodeId(1), number: 1 }, &numbered(&[topic(1)], 1)).unwrap();
    let mut later = sound.clone();
    later[0] = SIGNED_VERSION + 1;
    let cut = sound[..sound.len() - 1].to_vec();
    let dropped = |reason: &str| counted(&format!("tidings_bus_dropped_total{{reason=\"{reason}\"}}"));
    let before = (dropped("unreadable"), dropped("unknown_version"));
    let mut connection = redis.connection().await;
    let empty = Vec::new();
    for bytes in [b"\xFFgarbage".to_vec(), empty, later, [VERSION].to_vec(), cut, sound] {
        let _: u64 = redis::cmd("PUBLISH")
            .arg(channel(topic(1)))
            .arg(bytes)
            .query_async(&mut connection)
            .await
            .unwrap();
    }
    // All goes on.
    let fresh = encode(BusMessageId { node: NodeId(1), number: 2 }, &numbered(&[topic(1)], 2)).unwrap();
    let _: u64 =
        redis::cmd("PUBLISH").arg(channel(topic(1))).arg(fresh).query_async(&mut connection).await.unwrap();
    listener.number(2).await;
    assert!(dropped("unknown_version") >= before.1 + 2.0, "0xFF and the later version");
    assert!(dropped("unreadable") >= before.0 + 3.0, "nothing, a head alone, a cut one");
    assert!(bus.health().up);
}

/// Who can publish on Redis and has none of the installation's secrets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_messages_are_counted_and_ignored() {
    let redis = Redis::start().await;
    let listener = listener();
    let keys = |secret: &str, unsigned| Arc::new(MacKeys::derive(&[secret], unsigned).unwrap());
    let ours = keys("the secret of the installation", Unsigned::Dropped);
    let listening = RedisOptions { mac: Some(Arc::clone(&ours)), ..options(&redis) };
    let bus = connected(listening, &listener).await;
    bus.subscribe(topic(1));
    settle(&redis, topic(1), 1).await;
    let (id, message) = (BusMessageId { node: NodeId(1), number: 1 }, numbered(&[topic(1)], 1));
    let signed = ours.encode(id, &message).unwrap();
    let unsigned = encode(id, &message).unwrap();
    let theirs = keys("a guess", Unsigned::Dropped).encode(id, &message).unwrap();
    let mut forged = signed.clone();
    *forged.last_mut().unwrap() ^= 1;
    let dropped = |reason: &str| counted(&format!("tidings_bus_dropped_total{{reason=\"{reason}\"}}"));
    let reasons = ["unsigned", "unknown_key", "forged"];
    let before = reasons.map(dropped);
    let mut connection = redis.connection().await;
    for bytes in [unsigned, theirs, forged, signed] {
        let _: u64 = redis::cmd("PUBLISH")
            .arg(channel(topic(1)))
            .arg(bytes)
            .query_async(&mut connection)
            .await
            .unwrap();
    }
    // The true one arrives, though forged ones bore its id before it; and it arrives once.
    listener.number(1).await;
    for (reason, before) in reasons.into_iter().zip(before) {
        assert!(dropped(reason) >= before + 1.0, "{reason}");
    }
    assert!(bus.health().up);
}

/// A user with rights and the options to connect as them.
async fn as_user(redis: &Redis, rights: &str) -> RedisOptions {
    redis.order(&format!("ACL SETUSER chat on >secret {rights}")).await;
    let url = format!("redis://chat:secret@127.0.0.1:{}", redis.port());
    RedisOptions::new(RedisServers::Single(server(&url).unwrap()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rights_that_the_operations_page_names_are_enough() {
    let page = include_str!("../../docs/OPERATIONS.md").replace("\n", " ");
    let (_, rest) = page.split_once("`~tidings:*").expect("the page names rights");
    let rights = format!("~tidings:*{}", rest.split_once('`').unwrap().0);
    let rights = rights.split_whitespace().collect::<Vec<_>>().join(" ");
    let redis = Redis::start().await;
    let options = as_user(&redis, &rights).await;
    let listener = listener();
    let one = connected(options.clone(), &listener).await;
    let other = connected(options, &crate::recording_listener::listener()).await;
    let crowd: Vec<Topic> = (1..=9).map(topic).collect();
    one.subscribe(topic(1));
    one.subscribe(topic(2));
    settle(&redis, topic(2), 1).await;
    one.unsubscribe(topic(2));
    settle(&redis, topic(2), 0).await;
    other.publish(vec![numbered(&crowd, 1), numbered(&crowd[..1], 2)]);
    listener.number(2).await;
    assert_eq!(listener.numbers(), [1, 2]);
    let (writer, reader) =
        (one.presence_registry(Duration::from_secs(2)), other.presence_registry(Duration::from_secs(2)));
    writer.put(user(1), Some(Online));
    crate::presence_registry::until(&*reader, user(1), Some(Online)).await;
    writer.put(user(1), None);
    crate::presence_registry::until(&*reader, user(1), None).await;
    writer.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_that_lacks_is_named() {
    let redis = Redis::start().await;
    let bus = begun(as_user(&redis, "~tidings:* +hello +role +publish").await, &listener());
    bus.subscribe(topic(1));
    let told = bus.healthy().wait_for(|health| health.reason.contains("subscribe")).await.is_ok();
    assert!(told && !bus.health().up);
    redis.order("ACL SETUSER chat &tidings:* +subscribe").await;
    up(&bus, true).await;
}
