//! Faults while users talk, one at a time, on a real cluster: three gateways, Postgres with a replica, Redis.
//!
//! Each test replays a chat log through haproxy, causes one fault in the meantime, and checks what the
//! clients received: whether the ledger is clean (nothing lost, doubled, reordered, leaked), whether delivery
//! continued within its bound, and whether the cluster recovered by itself. Pauses here are the duration of
//! the fault, not waits for something to happen.

#![expect(clippy::disallowed_methods, reason = "real processes in real time, with keys of their own")]

mod caller;
mod cluster;
mod replay;
mod script;

use std::time::Duration;

use caller::Caller;
use cluster::Cluster;
use replay::{Replay, Verdict};
use serde_json::Value;

/// Within which delivery goes on without the bus (SEMANTICS, P8), and what a busy machine adds.
const WITHOUT_BUS_MS: f64 = 3_000.0;

/// Whatever the database does (`store.timeout_ms`, and what a busy machine adds).
const ANSWERED_WITHIN: Duration = Duration::from_millis(3_500);

/// What people say between two faults.
const SOME_LINES: u32 = 20;

/// How long a fault lasts, or how fast somebody asks; never a wait for something that can be seen.
async fn pause(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

/// Prints what a run showed, for `--no-capture` and for the log of a failure.
fn show(fault: &str, verdict: &Verdict) {
    println!(
        "{fault}: ledger clean, ack at most {:.0} ms, delivery at most {:.0} ms\n{}",
        verdict.max_ms("ack"),
        verdict.max_ms("delivery"),
        verdict.text
    );
}

fn within(verdict: &Verdict, latency: &str, bound_ms: f64) {
    let worst = verdict.max_ms(latency);
    assert!(worst <= bound_ms, "{latency} took {worst:.0} ms, allowed are {bound_ms} ms:\n{}", verdict.text);
}

#[tokio::test]
async fn nothing_breaks() {
    let cluster = Cluster::start(&[]).await;
    let replay = Replay::start(&cluster).await;
    let verdict = replay.end(&cluster);
    show("nothing broke", &verdict);
    within(&verdict, "delivery", WITHOUT_BUS_MS);
    assert!(
        cluster.metric("GATEWAY_METRICS_URLS", "tidings_bus_received_total").await > 0.0,
        "the bus carried it"
    );
}

#[tokio::test]
async fn the_same_send_on_two_nodes_at_once_is_one_event() {
    const SENDS: u64 = 10_000;
    const AT_ONCE: u64 = 50;
    let cluster =
        Cluster::start(&[("limits.sends_per_second", "1000000"), ("limits.send_burst", "1000000")]).await;
    let gateways: Vec<&str> = cluster.address("GATEWAY_URLS").split(' ').collect();
    let mut callers = Caller::connect_to(&cluster, &gateways[..2]).await;
    let (mut one, mut two) = (callers.remove(0), callers.remove(0));
    let mut seqs = Vec::new();
    for _ in 0..SENDS / AT_ONCE {
        let keys: Vec<uuid::Uuid> = (0..AT_ONCE).map(|_| uuid::Uuid::new_v4()).collect();
        let (here, there) = tokio::join!(one.say_all(&keys), two.say_all(&keys));
        for (here, there) in here.into_iter().zip(there) {
            for field in ["conversation", "seq", "message_id", "sent_at"] {
                assert_eq!(here[field], there[field], "{here} {there}");
            }
            assert_ne!(here["duplicate"], there["duplicate"], "one of them is the first: {here} {there}");
            seqs.push(here["seq"].as_u64().expect("a seq"));
        }
    }
    seqs.sort_unstable();
    // The first is the channel's creation.
    assert_eq!(seqs, (2..=SENDS + 1).collect::<Vec<_>>(), "no hole, none twice");
}

#[tokio::test]
async fn a_gateway_dies() {
    let cluster = Cluster::start(&[]).await;
    let mut replay = Replay::start_slowly(&cluster).await;
    replay.until_said(&cluster, SOME_LINES).await;
    cluster.signal("gateway-1", "KILL").await;
    // The others have its clients, and these say something there.
    replay.until_said(&cluster, SOME_LINES).await;
    cluster.restart("gateway-1");
    cluster.until_shown("GATEWAY_METRICS_URLS", "bus", 3, "gateway-1 is back", bus_is_up).await;
    cluster.signal("gateway-2", "KILL").await;
    replay.until_said(&cluster, SOME_LINES).await;
    cluster.restart("gateway-2");
    let verdict = replay.end(&cluster);
    show("two gateways died", &verdict);
    // Clients notice, wait out their backoff and resume: 5 s from the crash to the repeated send's ack.
    within(&verdict, "ack", 5_000.0);
}

#[tokio::test]
async fn redis_dies_and_comes_back_empty() {
    let cluster = Cluster::start(&[]).await;
    let mut replay = Replay::start(&cluster).await;
    replay.until_said(&cluster, SOME_LINES).await;
    cluster.signal("redis", "KILL").await;
    pause(5_000).await;
    let tailed = cluster.metric("GATEWAY_METRICS_URLS", "tidings_bus_tailed_total").await;
    assert!(tailed > 0.0, "gateways read the log meanwhile");
    cluster.restart("redis");
    let verdict = replay.end(&cluster);
    show("Redis died for 5 s", &verdict);
    within(&verdict, "delivery", WITHOUT_BUS_MS);
    returns_to_the_bus(&cluster).await;
}

#[tokio::test]
async fn redis_freezes() {
    let cluster = Cluster::start(&[]).await;
    let mut replay = Replay::start(&cluster).await;
    replay.until_said(&cluster, SOME_LINES).await;
    cluster.signal("redis", "STOP").await;
    pause(5_000).await;
    cluster.signal("redis", "CONT").await;
    let verdict = replay.end(&cluster);
    show("Redis froze for 5 s", &verdict);
    within(&verdict, "delivery", WITHOUT_BUS_MS);
    returns_to_the_bus(&cluster).await;
}

#[tokio::test]
async fn redis_is_emptied_and_its_subscribers_are_cut_again_and_again() {
    let cluster = Cluster::start(&[]).await;
    let mut replay = Replay::start_slowly(&cluster).await;
    for _ in 0..5 {
        replay.until_said(&cluster, SOME_LINES).await;
        cluster.redis(&["FLUSHALL"]);
        cluster.redis(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        returns_to_the_bus(&cluster).await;
    }
    let verdict = replay.end(&cluster);
    show("Redis was emptied and its subscribers cut five times", &verdict);
    within(&verdict, "delivery", WITHOUT_BUS_MS);
    returns_to_the_bus(&cluster).await;
}

#[tokio::test]
async fn the_primary_dies_and_restarts() {
    let cluster = Cluster::start(&[]).await;
    let mut replay = Replay::start(&cluster).await;
    replay.until_said(&cluster, SOME_LINES).await;
    cluster.signal("primary", "KILL").await;
    pause(3_000).await;
    cluster.restart("primary");
    let verdict = replay.end(&cluster);
    show("the primary died for 3 s", &verdict);
    // Away for 3 s, then its recovery, and the longest pause between two tries of clients and breaker.
    within(&verdict, "ack", 15_000.0);
}

#[tokio::test]
async fn the_primary_freezes_and_every_send_is_answered_in_time() {
    let cluster = Cluster::start(&[]).await;
    let mut replay = Replay::start(&cluster).await;
    replay.until_said(&cluster, SOME_LINES).await;
    let mut caller = Caller::connect(&cluster).await;
    cluster.signal("primary", "STOP").await;
    let frozen = tokio::time::Instant::now();
    let (mut answers, mut slowest) = (Vec::new(), Duration::ZERO);
    // For longer than any deadline.
    for _ in 0..40 {
        let (answer, took) = caller.say(ANSWERED_WITHIN).await;
        slowest = slowest.max(took);
        answers.push(answer);
        pause(150).await;
    }
    println!("{} sends answered while the primary was frozen, the slowest after {slowest:?}", answers.len());
    for answer in &answers {
        assert_eq!(answer["type"], "error", "{answer}");
        let code = answer["code"].as_str().unwrap_or_default();
        assert!(
            ["unavailable", "overloaded"].contains(&code)
                && answer["retry_after_ms"].is_u64()
                && answer["definite"].is_boolean(),
            "{answer}"
        );
    }
    assert!(answers.iter().any(|answer| answer["definite"] == true), "the breaker answered the rest at once");
    let open = cluster.metric("GATEWAY_METRICS_URLS", "tidings_connections").await;
    assert!(open > 0.0, "sockets stay up while the database is away");
    cluster.signal("primary", "CONT").await;
    let frozen_ms = frozen.elapsed().as_secs_f64() * 1_000.0;
    let back = async {
        while caller.say(ANSWERED_WITHIN).await.0["type"] != "ack" {
            pause(100).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), back).await.expect("sends are taken again by themselves");
    let verdict = replay.end(&cluster);
    show("the primary froze", &verdict);
    // For as long as it was frozen, and the longest pause between two tries of clients and breaker.
    within(&verdict, "ack", frozen_ms + 5_000.0);
}

#[tokio::test]
async fn database_connections_are_cut() {
    let cluster = Cluster::start(&[]).await;
    let mut replay = Replay::start(&cluster).await;
    for _ in 0..5 {
        replay.until_said(&cluster, SOME_LINES).await;
        cluster.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'tidings' AND pid <> pg_backend_pid()",
        );
    }
    let verdict = replay.end(&cluster);
    show("database connections were cut", &verdict);
    within(&verdict, "ack", 5_000.0);
}

#[tokio::test]
async fn the_replica_pauses() {
    let cluster = Cluster::start(&[]).await;
    let replay = Replay::start(&cluster).await;
    cluster.signal("replica", "STOP").await;
    let verdict = replay.end(&cluster);
    cluster.signal("replica", "CONT").await;
    show("the replica paused throughout", &verdict);
    within(&verdict, "ack", 5_000.0);
}

#[tokio::test]
async fn the_relay_dies() {
    let cluster = Cluster::start(&[]).await;
    let replay = Replay::start(&cluster).await;
    let leader = if cluster.metric("RELAY_METRICS_URLS", "tidings_relay_leads").await > 0.0 {
        "relay-1"
    } else {
        "relay-2"
    };
    cluster.signal(leader, "KILL").await;
    let holds = |relay: &Value| relay["lease"]["is_holder"] == true;
    cluster.until_shown("RELAY_METRICS_URLS", "relay", 1, "the standby took over", holds).await;
    cluster.restart(leader);
    let verdict = replay.end(&cluster);
    show("the relay died", &verdict);
    within(&verdict, "delivery", WITHOUT_BUS_MS);
}

#[tokio::test]
async fn a_gateway_crashes_between_commit_and_publication() {
    let cluster = Cluster::start(&[]).await;
    cluster.signal("gateway-1", "KILL").await;
    cluster.export("gateway-1", "TIDINGS_CRASH_AFTER_COMMITS", "60");
    cluster.restart("gateway-1");
    let replay = Replay::start(&cluster).await;
    let mut waited_ms = 0;
    while cluster.runs("gateway-1") {
        assert!(waited_ms < 30_000, "the fail point was not reached");
        pause(50).await;
        waited_ms += 50;
    }
    cluster.unexport("gateway-1", "TIDINGS_CRASH_AFTER_COMMITS");
    cluster.restart("gateway-1");
    let verdict = replay.end(&cluster);
    show("a gateway crashed between commit and publication", &verdict);
    within(&verdict, "delivery", 5_000.0);
    let published = cluster.metric("RELAY_METRICS_URLS", "tidings_relay_published_total").await;
    assert!(published > 0.0, "the relay published what the gateway could not");
}

fn bus_is_up(bus: &Value) -> bool {
    bus["is_up"] == true
}

/// Every gateway trusts the bus again by itself.
async fn returns_to_the_bus(cluster: &Cluster) {
    let urls = "GATEWAY_METRICS_URLS";
    cluster.until_shown(urls, "bus", 3, "the gateways' buses are up", bus_is_up).await;
    let trusts = |follower: &Value| follower["is_tailing"] == false;
    cluster.until_shown(urls, "follower", 3, "the gateways trust the bus", trusts).await;
}
