//! The bus over Redis when the server fails.

use std::sync::Arc;
use std::time::Duration;

use tidings::bus::Bus;
use tidings::bus::redis::{RedisBus, RedisOptions, RedisServers, server};
use tokio::time::timeout;

use crate::recording_listener::{RecordingListener, listener};
use crate::servers::{Redis, free_port};
use crate::world::{
    AGAIN_AFTER, all_sent, begun, connected, counted, heavy, numbered, options, settle, topic, up,
};

/// A node that follows topic 1, and one that publishes.
async fn pair(redis: &Redis) -> (Arc<RedisBus>, Arc<RecordingListener>, Arc<RedisBus>) {
    let listener = listener();
    let bus = connected(options(redis), &listener).await;
    bus.subscribe(topic(1));
    settle(redis, topic(1), 1).await;
    let sender = connected(options(redis), &crate::recording_listener::listener()).await;
    (bus, listener, sender)
}

#[expect(clippy::disallowed_methods, reason = "how long a real server's failure goes unnoticed is measured")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_later_is_found() {
    let port = free_port();
    let listener = listener();
    let place = RedisServers::Single(server(&format!("redis://127.0.0.1:{port}")).unwrap());
    let bus = begun(RedisOptions::new(place), &listener);
    bus.subscribe(topic(1));
    let refused = bus.healthy().wait_for(|health| health.reason.contains("refused")).await.is_ok();
    assert!(refused && !bus.health().up);
    let redis = Redis::start_at(port, &[]).await;
    up(&bus, true).await;
    settle(&redis, topic(1), 1).await;
    assert_eq!(listener.gaps(), 1, "what was published before is in the log only");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_kill_everything_is_subscribed_anew_before_the_gap_is_told() {
    let mut redis = Redis::start().await;
    let (bus, listener, sender) = pair(&redis).await;
    for number in 2..=3_000 {
        bus.subscribe(topic(number));
    }
    settle(&redis, topic(3_000), 1).await;
    assert_eq!(listener.gaps(), 0);
    let reconnects = counted("tidings_bus_reconnects_total");
    redis.kill9();
    up(&bus, false).await;
    bus.subscribe(topic(4_000));
    bus.unsubscribe(topic(2));
    redis.restart().await;
    listener.until("the gap", |listener| listener.gaps() == 1).await;
    // No waiting here: the gap was told, so the subscriptions stand.
    for (wanted, subscribers) in [(1, 1), (2, 0), (1_500, 1), (3_000, 1), (4_000, 1)] {
        let answer = redis.order(&format!("PUBSUB NUMSUB {}", crate::world::channel(topic(wanted)))).await;
        let (_, count): (String, u64) = redis::from_redis_value(answer).unwrap();
        assert_eq!(count, subscribers, "topic {wanted}");
    }
    up(&bus, true).await;
    // The sender may not have noticed yet: what it publishes into its dead connection is not lost.
    sender.publish(vec![numbered(&[topic(1)], 1), numbered(&[topic(4_000)], 2)]);
    listener.number(2).await;
    assert_eq!(listener.numbers(), [1, 2]);
    assert!(counted("tidings_bus_reconnects_total") > reconnects);
}

/// A connection that is kept through a freeze loses nothing, so it tells no gap; one that was given up and
/// made anew does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_is_given_up_on_after_the_times_that_were_set() {
    const LONG_MS: u64 = 60_000;
    let redis = Redis::start().await;
    let (hasty_listener, patient_listener, seldom_listener) = (listener(), listener(), listener());
    let as_usual = connected(options(&redis), &hasty_listener).await;
    let (mut patience, mut rare_pings) = (options(&redis), options(&redis));
    patience.redis.timeout_ms = LONG_MS;
    rare_pings.redis.ping_ms = LONG_MS;
    let patient = connected(patience, &patient_listener).await;
    let seldom = connected(rare_pings, &seldom_listener).await;
    for bus in [&as_usual, &patient, &seldom] {
        bus.subscribe(topic(1));
    }
    settle(&redis, topic(1), 3).await;
    redis.freeze();
    // Both of its connections are given up: the text of a look that is late has no time in it.
    let mut health = as_usual.healthy();
    let given_up = health.wait_for(|health| health.reason.matches("no answer within").count() == 2);
    timeout(crate::recording_listener::DEADLINE, given_up)
        .await
        .expect("both are given up")
        .expect("the bus lives");
    up(&patient, false).await;
    assert!(seldom.health().up, "it has not asked yet");
    redis.thaw();
    up(&as_usual, true).await;
    up(&patient, true).await;
    hasty_listener.until("the gap of a new connection", |listener| listener.gaps() == 1).await;
    assert_eq!(patient_listener.gaps(), 0, "it waits longer, and keeps its connections");
    assert_eq!(seldom_listener.gaps(), 0, "it did not ask, and keeps its connections");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_is_noticed_within_a_second_and_delivery_resumes() {
    let redis = Redis::start().await;
    let (bus, listener, sender) = pair(&redis).await;
    let frozen = now();
    redis.freeze();
    up(&bus, false).await;
    let noticed = frozen.elapsed();
    up(&sender, false).await;
    assert!(noticed < Duration::from_millis(1_000), "noticed after {noticed:?}");
    assert!(bus.health().reason.contains("no answer"), "{:?}", bus.health());
    sender.publish(vec![numbered(&[topic(1)], 1)]);
    // As long as the story says; nothing could be awaited while nobody answers.
    tokio::time::sleep(Duration::from_secs(3).saturating_sub(frozen.elapsed())).await;
    redis.thaw();
    up(&bus, true).await;
    up(&sender, true).await;
    listener.until("the gap", |listener| listener.gaps() >= 1).await;
    sender.publish(vec![numbered(&[topic(1)], 2)]);
    listener.number(2).await;
    let numbers = listener.numbers();
    assert!(numbers.is_sorted(), "{numbers:?}");
    assert!(numbers.contains(&2));
}

/// The publisher learns of a dead connection by using it; what it used it for is sent again on the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_under_way_when_the_connection_broke_arrives_once() {
    let redis = Redis::start().await;
    let (_bus, listener, sender) = pair(&redis).await;
    let mut number = 0;
    for _ in 0..20 {
        for _ in 0..50 {
            number += 1;
            sender.publish(vec![numbered(&[topic(1)], number)]);
        }
        // Everybody but the subscribers, and the one who asks.
        redis.order("CLIENT KILL TYPE normal").await;
    }
    listener.number(number).await;
    assert_eq!(listener.numbers(), (1..=number).collect::<Vec<_>>());
    assert_eq!(listener.gaps(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_stall_costs_neither_connection_nor_message() {
    let redis = Redis::start().await;
    let (bus, listener, sender) = pair(&redis).await;
    redis.freeze();
    sender.publish(vec![numbered(&[topic(1)], 1)]);
    up(&bus, false).await;
    redis.thaw();
    listener.number(1).await;
    up(&bus, true).await;
    assert_eq!(listener.gaps(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_cut_again_and_again_hear_everything_once_it_is_quiet() {
    let redis = Redis::start().await;
    let (bus, listener, sender) = pair(&redis).await;
    let mut number = 0;
    for cut in 1..=6 {
        redis.cut_pubsub_clients().await;
        while listener.gaps() < cut {
            number += 1;
            sender.publish(vec![numbered(&[topic(1)], number)]);
            all_sent(&sender).await;
            assert!(number < 100_000, "no gap for cut {cut}");
        }
    }
    settle(&redis, topic(1), 1).await;
    up(&bus, true).await;
    let numbers = listener.numbers();
    // What was sent around a cut may be lost; what came has its order.
    assert!(numbers.is_sorted(), "{numbers:?}");
    listener.clear();
    let later: Vec<u64> = (number + 1..=number + 500).collect();
    for number in &later {
        sender.publish(vec![numbered(&[topic(1)], *number)]);
    }
    listener.number(number + 500).await;
    let received = listener.numbers();
    let first = received.iter().position(|received| *received == later[0]).unwrap();
    assert_eq!(received[first..], later);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_drops_the_oldest_and_keeps_nobody_waiting() {
    let redis = Redis::start().await;
    let (_bus, listener, _) = pair(&redis).await;
    let mut small = options(&redis);
    small.redis.outgoing_messages = 100;
    let sender = connected(small, &crate::recording_listener::listener()).await;
    let queue_full = || counted("tidings_bus_dropped_total{reason=\"queue_full\"}");
    let before = queue_full();
    redis.freeze();
    let began = now();
    for number in 1..=5_000 {
        sender.publish(vec![numbered(&[topic(1)], number)]);
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(1), "publishing took {took:?}");
    // A pipeline is under way at most; the rest beyond the bound went.
    assert!(queue_full() >= before + 5_000.0 - 1_024.0 - 100.0, "dropped {}", queue_full() - before);
    redis.thaw();
    listener.number(5_000).await;
    let numbers = listener.numbers();
    assert!(numbers.is_sorted() && numbers.len() < 5_000);
    let last: Vec<u64> = (4_901..=5_000).collect();
    assert!(numbers.ends_with(&last), "the newest were kept: {:?}", numbers.last_chunk::<3>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_is_refused_until_it_is_promoted() {
    let primary = Redis::start().await;
    let replica = Redis::start_with(&["--replicaof", &format!("127.0.0.1 {}", primary.port())]).await;
    let bus = begun(options(&replica), &listener());
    let refused = bus.healthy().wait_for(|health| health.reason.contains("is a replica")).await.is_ok();
    assert!(refused && !bus.health().up);
    replica.order("REPLICAOF NO ONE").await;
    up(&bus, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demoted_primary_is_left() {
    let (redis, other) = (Redis::start().await, Redis::start().await);
    let bus = connected(options(&redis), &listener()).await;
    redis.order(&format!("REPLICAOF 127.0.0.1 {}", other.port())).await;
    up(&bus, false).await;
    let told = bus.healthy().wait_for(|health| health.reason.contains("is a replica")).await.is_ok();
    assert!(told);
    redis.order("REPLICAOF NO ONE").await;
    up(&bus, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_subscriber_that_the_server_cuts_is_told_of_a_gap() {
    let redis = Redis::start_with(&["--client-output-buffer-limit", "pubsub", "256kb", "64kb", "2"]).await;
    let listener = listener();
    // On a thread of its own, which the stopped listener keeps: so nobody reads the subscriber's connection.
    let (place, slow) = (options(&redis), Arc::clone(&listener));
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let bus = connected(place, &slow).await;
            bus.subscribe(topic(1));
            let _ = ended.await;
        });
    });
    settle(&redis, topic(1), 1).await;
    let sender = connected(options(&redis), &crate::recording_listener::listener()).await;
    listener.stop();
    for number in 1..=400 {
        sender.publish(vec![heavy(topic(1), number, 100_000)]);
        if number % 20 == 0 {
            all_sent(&sender).await;
        }
    }
    // The sender's own subscriber follows nothing, so it is not of the type.
    settle(&redis, topic(1), 0).await;
    listener.go_on();
    listener.until("the gap", |listener| listener.gaps() >= 1).await;
    settle(&redis, topic(1), 1).await;
    sender.publish(vec![numbered(&[topic(1)], 1_000)]);
    listener.number(1_000).await;
    let numbers = listener.numbers();
    assert!(numbers.is_sorted() && numbers.len() < 401, "{} of 401", numbers.len());
    end.send(()).unwrap();
    thread.join().unwrap();
}

/// On one thread: the connection reads many envelopes before the listener has its turn.
#[tokio::test]
async fn too_much_at_once_for_the_listener_becomes_a_gap() {
    let redis = Redis::start().await;
    let listener = listener();
    let mut small = options(&redis);
    small.incoming_bytes = 5_000;
    let bus = connected(small, &listener).await;
    bus.subscribe(topic(1));
    settle(&redis, topic(1), 1).await;
    let sender = connected(options(&redis), &crate::recording_listener::listener()).await;
    sender.publish((1..=1_000).map(|number| heavy(topic(1), number, 1_000)).collect());
    listener.until("the gap", |listener| listener.gaps() >= 1).await;
    sender.publish(vec![numbered(&[topic(1)], 2_000)]);
    // The last of the burst may still be on its way and take its place.
    let mut again = 2_000;
    while timeout(AGAIN_AFTER, listener.number(again)).await.is_err() {
        again += 1;
        sender.publish(vec![numbered(&[topic(1)], again)]);
        assert!(again < 2_100, "it never recovers");
    }
    let numbers = listener.numbers();
    assert!(numbers.is_sorted() && numbers.len() < 1_000, "{} of 1000", numbers.len());
}
