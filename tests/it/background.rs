//! Settings of background work, each changed so that something else happens. `tests/tidy/settings.rs` names
//! them.

use std::fs;
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::client::Ws;
use crate::support::rest::Rest;
use crate::support::server::Server;
use crate::support::{Encoding, now, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_threads_read_the_file_as_was_set() {
    for readers in ["1", "3"] {
        let server = Server::start(&[("TIDINGS__STORE__SQLITE__READERS", readers)]).await;
        let threads = fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
        let names = threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("comm")).unwrap());
        assert_eq!(names.filter(|name| name.trim() == "sqlite-read").count().to_string(), readers);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receipts_are_told_as_often_as_was_set() {
    for (flush_ms, patience_s, soon) in [("10", 10, true), ("60000", 1, false)] {
        let server = Server::start(&[("TIDINGS__RECEIPTS__FLUSH_MS", flush_ms)]).await;
        let rest = Rest::new(&server);
        let (ada, ben) = (rest.guest("Ada").await, rest.guest("Ben").await);
        let group = rest.conversation(&ada, "group", &[&ben]).await;
        let sent = rest.send(&ada, &group, "read this").await;
        let (mut reads, _) = Ws::signed_in(&server, Encoding::Json, &ben).await;
        let (mut hears, _) = Ws::signed_in(&server, Encoding::Json, &ada).await;
        reads.send(&json!({ "type": "read", "conversation": group, "seq": sent["seq"] })).await;
        let told = timeout(Duration::from_secs(patience_s), hears.expect("receipt")).await;
        assert_eq!(told.is_ok(), soon, "every {flush_ms} ms");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_connections_wait_for_a_server_that_stands_still_as_was_set() {
    const TRIED: usize = 8;
    for (backlog, all) in [("2", false), ("64", true)] {
        let server = Server::start(&[("TIDINGS__SERVER__BACKLOG", backlog)]).await;
        server.signal("STOP").await;
        let mut waiting = Vec::new();
        for _ in 0..TRIED {
            // A handshake that finds the queue full is tried again after a second.
            let connected = timeout(Duration::from_millis(300), TcpStream::connect(server.addr())).await;
            waiting.extend(connected.ok());
        }
        server.signal("CONT").await;
        assert_eq!(waiting.len() == TRIED, all, "{} of {TRIED} with {backlog}", waiting.len());
    }
}

/// How often a server has read which tokens were ended.
async fn revocation_reads(rest: &Rest) -> f64 {
    rest.metric("tidings_store_latency_seconds_count{operation=\"revocations\"}").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revocations_are_read_as_often_as_was_set() {
    for (poll_ms, often) in [("100", true), ("800", false)] {
        let server = Server::start(&[("TIDINGS__AUTH__REVOCATION_POLL_MS", poll_ms)]).await;
        let rest = Rest::new(&server);
        let (began, first) = (now(), revocation_reads(&rest).await);
        let eight_more = async || (revocation_reads(&rest).await >= first + 8.0).then_some(());
        until("they are read again and again", Duration::from_secs(60), eight_more).await;
        assert_eq!(began.elapsed() < Duration::from_secs(5), often, "every {poll_ms} ms");
    }
}
