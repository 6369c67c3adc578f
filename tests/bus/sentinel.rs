//! The bus behind Sentinels follows the primary.

use tidings::bus::Bus;
use tidings::bus::redis::{RedisOptions, RedisServers, server};

use crate::recording_listener::{DEADLINE, RecordingListener, listener};
use crate::servers::Redis;
use crate::servers::sentinel::{MASTER, Watched};
use crate::world::{AGAIN_AFTER, connected, numbered, settle, topic};

fn options(watched: &Watched) -> RedisOptions {
    let sentinels = vec![
        // One that is away, too: the next is asked.
        server("redis://127.0.0.1:1").unwrap(),
        server(&watched.url()).unwrap(),
    ];
    let server = server("redis://127.0.0.1:1").unwrap();
    RedisOptions::new(RedisServers::Sentinel { sentinels, master: MASTER.to_owned(), server })
}

/// Publishes from one node to the other until it hears by the server that is the primary now. What a
/// publisher tells a server that was just demoted is lost; it notices with its next look.
async fn delivers_over(primary: &Redis, nodes: &[&dyn Bus; 2], received: &RecordingListener, first: u64) {
    settle(primary, topic(1), 1).await;
    let delivered = async {
        for number in first.. {
            nodes[1].publish(vec![numbered(&[topic(1)], number)]);
            if tokio::time::timeout(AGAIN_AFTER, received.number(number)).await.is_ok() {
                break;
            }
        }
    };
    assert!(tokio::time::timeout(DEADLINE, delivered).await.is_ok(), "nothing arrives any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_dies_is_replaced_by_whom_the_sentinels_name() {
    let mut watched = Watched::start().await;
    let (received, other) = (listener(), listener());
    let one = connected(options(&watched), &received).await;
    let sender = connected(options(&watched), &other).await;
    one.subscribe(topic(1));
    delivers_over(&watched.primary, &[&*one, &*sender], &received, 1).await;
    watched.primary.kill9();
    delivers_over(&watched.replica, &[&*one, &*sender], &received, 1_000).await;
    assert_eq!(received.gaps(), 1);
    // It comes back believing to be a primary, until the Sentinel tells it otherwise.
    watched.primary.restart().await;
    delivers_over(&watched.replica, &[&*one, &*sender], &received, 2_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_was_replaced_is_left_though_it_lives() {
    let watched = Watched::start().await;
    let (received, other) = (listener(), listener());
    let one = connected(options(&watched), &received).await;
    let sender = connected(options(&watched), &other).await;
    one.subscribe(topic(1));
    delivers_over(&watched.primary, &[&*one, &*sender], &received, 1).await;
    watched.fail_over().await;
    delivers_over(&watched.replica, &[&*one, &*sender], &received, 1_000).await;
    settle(&watched.primary, topic(1), 0).await;
}
