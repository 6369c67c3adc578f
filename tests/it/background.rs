//! Settings of what works in the background, each changed so that something else happens. `tests/tidy/settings.rs` names them.

use std::fs;
use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;

use crate::support::Encoding;
use crate::support::client::Ws;
use crate::support::rest::Rest;
use crate::support::server::Server;

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
