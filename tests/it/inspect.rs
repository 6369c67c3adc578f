//! `tidings inspect`: the state of each part of a running server, as numbers.

use serde_json::{Value, json};

use crate::support::client::{Ws, chat_works};
use crate::support::inspect::Inspected;
use crate::support::rest::Rest;
use crate::support::server::{Server, run_on};
use crate::support::{DEADLINE, Encoding, until, uuid};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_part_shows_its_state_to_the_one_who_may_open_the_data_folder() {
    let server = Server::start(&[("TIDINGS__SERVER__WORKERS", "2")]).await;
    let rest = Rest::new(&server);
    let (ada, ben) = (rest.guest("Ada").await, rest.guest("Ben").await);
    let group = rest.conversation(&ada, "group", &[&ben]).await;
    let (mut ws, _) = Ws::signed_in(&server, Encoding::Json, &ada).await;
    let _silent = Ws::open(&server, Encoding::Json).await;
    let send =
        json!({ "type": "send", "id": 1, "conversation": group, "client_id": uuid(), "body": "hello" });
    assert_eq!(ws.ask(&send).await["type"], "ack");

    let quiet = Inspected::until(&rest, "one live and one without a hello", |all| {
        all.sum("hub ", "live") == 1 && all.sum("hub ", "greeting") == 1
    })
    .await;
    assert_eq!((quiet.sum("hub ", "sessions"), quiet.sum("hub ", "outbox_bytes")), (2, 0), "{quiet}");
    assert_eq!(quiet.sum("writer shard ", "waiting_jobs"), 0, "{quiet}");
    assert!(quiet.sum("router", "tracked_conversations") >= 1, "{quiet}");
    assert_eq!(quiet.of("router")["inboxes"].as_array().map(Vec::len), Some(2), "{quiet}");
    assert_eq!(quiet.of("router")["inboxes"][0]["oldest_ms"], 0, "{quiet}");
    assert_eq!(quiet.of("store")["readers"]["waiting_operations"], 0, "{quiet}");
    assert!(quiet.sum("connections", "open") >= 2, "{quiet}");
    for part in ["writer gate", "receipts", "presence", "typing", "healer", "admission", "jobs", "passwords"]
    {
        assert!(quiet.of(part).is_object(), "{part}: {quiet}");
    }
    assert!(quiet.silent().is_empty(), "{quiet}");

    let (status, table) = server.command(&["inspect"]).await;
    assert!(status.success(), "{table}");
    assert!(table.contains("writer shard 0\n") && table.contains("  waiting_jobs "), "{table}");
    let (status, text) = server.command(&["inspect", "--json"]).await;
    let parts: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert!(status.success() && parts.as_array().is_some_and(|parts| parts.len() > 10), "{text}");

    drop(ws);
    Inspected::until(&rest, "its session is gone", |all| all.sum("hub ", "live") == 0).await;
}

/// A thread that works without end, or waits for what never comes, serves none of its clients.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stuck_worker_thread_is_shown_with_the_age_of_what_waits_for_it() {
    let server = Server::start(&[("TIDINGS__SERVER__WORKERS", "2")]).await;
    let rest = Rest::new(&server);
    let (ada, ben) = (rest.guest("Ada").await, rest.guest("Ben").await);
    let (own, shared) =
        (rest.conversation(&ada, "group", &[]).await, rest.conversation(&ben, "group", &[&ada]).await);
    let (mut one, _) = Ws::signed_in(&server, Encoding::Json, &ada).await;
    let mut others = Vec::new();
    for _ in 0..6 {
        others.push(Ws::signed_in(&server, Encoding::Json, &ben).await.0);
    }
    let send = |to: &str| json!({ "type": "send", "id": 1, "conversation": to, "client_id": uuid(), "body": "hello" });

    let stopped = server.stop_at("hub");
    one.send(&send(&own)).await;
    let shown = Inspected::until(&rest, "a stuck hub", |all| !all.silent().is_empty()).await;
    stopped.let_others_pass();
    let [silent] = shown.silent()[..] else { panic!("one thread serves ada: {shown}") };
    assert!(silent["actor"].as_str().is_some_and(|actor| actor.starts_with("hub ")), "{shown}");
    assert_eq!(silent["error"], "no answer within 1000 ms", "{shown}");
    assert!(shown.of("writer shard 0").is_object() && shown.of("router").is_object(), "{shown}");
    // At least one of these is served by the other thread.
    for socket in &mut others {
        socket.send(&send(&shared)).await;
    }
    let oldest_ms = |all: &Inspected| {
        let inboxes = all.of("router")["inboxes"].as_array().cloned().unwrap_or_default();
        inboxes.iter().filter_map(|inbox| inbox["oldest_ms"].as_u64()).max().unwrap_or(0)
    };
    Inspected::until(&rest, "what waits grows old", |all| oldest_ms(all) >= 1_000).await;
    let not_ready = async || {
        let report = rest.internal("/readyz").await;
        (report.status == 503).then(|| report.body["stuck"].clone())
    };
    let stuck = until("it is not ready", 3 * DEADLINE, not_ready).await;
    assert!(stuck[0].as_str().is_some_and(|thread| thread.starts_with("worker ")), "{stuck}");

    drop(stopped);
    Inspected::until(&rest, "all parts answer", |all| all.silent().is_empty() && oldest_ms(all) == 0).await;
    chat_works(&server, &ada, &ben).await;
    let ready = async || (rest.internal("/readyz").await.status == 200).then_some(());
    until("it is ready again", DEADLINE, ready).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_server_runs_it_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (status, text) = run_on(folder.path(), &["inspect"]).await;
    assert!(!status.success() && text.contains("no server answers at unix:"), "{text}");
}
