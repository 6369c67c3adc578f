//! `tidings inspect`: the state of each part of a running server, as numbers.

use serde_json::{Value, json};

use crate::support::client::Ws;
use crate::support::inspect::Inspected;
use crate::support::rest::Rest;
use crate::support::server::{Server, run_on};
use crate::support::{Encoding, uuid};

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_server_runs_it_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (status, text) = run_on(folder.path(), &["inspect"]).await;
    assert!(!status.success() && text.contains("no server answers at unix:"), "{text}");
}
