//! What another process writes into the same store reaches a node's connections all the same.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::support::client::Ws;
use crate::support::rest::Rest;
use crate::support::server::Server;
use crate::support::{Encoding, now, uuid};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_of_another_process_closes_sockets_within_a_second() {
    let server = Server::start(&[]).await;
    let other = server.beside().await;
    let (rest, elsewhere) = (Rest::new(&server), Rest::new(&other));
    let (ada, ben) = (rest.guest("Ada").await, rest.guest("Ben").await);
    let (mut signed_out, _) = Ws::signed_in(&server, Encoding::Json, &ada).await;
    let (mut erased, _) = Ws::signed_in(&server, Encoding::Msgpack, &ben).await;
    for (account, path, ws, close) in
        [(&ada, "/v1/tokens", &mut signed_out, 4401), (&ben, "/v1/me", &mut erased, 4403)]
    {
        let answer = elsewhere.call(Method::DELETE, path, Some(&account.access), None).await;
        assert_eq!(answer.status, 204, "{}", answer.text);
        let ended = now();
        assert_eq!(ws.closed().await, Some(close), "{path}");
        assert!(ended.elapsed() < Duration::from_secs(1), "{path}: {:?}", ended.elapsed());
        assert_eq!(rest.call(Method::GET, "/v1/me", Some(&account.access), None).await.status, 401);
    }
}

/// Nothing carries an event from one of these processes to the other: only holding the log against what was passed on
/// finds it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_nobody_noticed_losing_is_found() {
    let server = Server::start(&[("TIDINGS__GATEWAY__ANTI_ENTROPY_MS", "1000")]).await;
    let other = server.beside().await;
    let rest = Rest::new(&server);
    let (ada, ben) = (rest.guest("Ada").await, rest.guest("Ben").await);
    let room = rest.conversation(&ada, "group", &[&ben]).await;
    let (mut ws, _) = Ws::signed_in(&server, Encoding::Json, &ben).await;
    let (mut elsewhere, _) = Ws::signed_in(&other, Encoding::Json, &ada).await;
    let send = |body: &str| json!({ "type": "send", "id": 1, "conversation": room, "client_id": uuid(), "body": body });
    let lost = elsewhere.ask(&send("lost on the way")).await;
    assert_eq!(lost["type"], "ack", "{lost}");
    let heads = ws.expect("heads").await;
    let head = heads["heads"].as_array().unwrap().iter().find(|head| head["conversation"] == room.as_str());
    assert_eq!(head.expect("the room moved")["last_seq"], lost["seq"], "{heads}");
    let range = json!({ "conversation": room, "after": lost["seq"].as_u64().unwrap() - 1 });
    ws.send(&json!({ "type": "sync", "id": 1, "ranges": [range] })).await;
    assert_eq!(ws.expect("events").await["events"][0]["body"], "lost on the way");
    let page = rest.call(Method::GET, "/metrics", None, None).await.text;
    assert!(page.contains("tidings_gaps_detected_total{sign=\"anti_entropy\"} 1"), "{page}");

    // What was passed on is no cause for heads: several periods later none has come, and live push goes on.
    let (mut here, _) = Ws::signed_in(&server, Encoding::Json, &ada).await;
    let live = here.ask(&send("passed on")).await;
    assert_eq!(ws.expect("event").await["seq"], live["seq"]);
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    ws.send(&json!({ "type": "ping", "id": "still" })).await;
    let next = ws.until("anything", |frame| frame["type"] != "receipt").await;
    assert_eq!(next["id"], "still", "{next}");
}
