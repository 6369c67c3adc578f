//! The server ends and starts again: all acked events are present, no matter how it ended.

use std::time::Duration;

use serde_json::json;

use crate::support::client::{Ws, chat_works};
use crate::support::rest::Rest;
use crate::support::server::Server;
use crate::support::{Encoding, now, unique, uuid};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acked_survives_kill_and_terminate() {
    let mut server = Server::start(&[]).await;
    let rest = Rest::new(&server);
    let (ada, ben) = (rest.account("ada", "correct horse battery").await, rest.guest("Ben").await);
    let conversation = rest.conversation(&ada, "direct", &[&ben]).await;
    for gently in [false, true] {
        let body = unique("body");
        let frame = json!({ "type": "send", "id": 1, "conversation": conversation, "client_id": uuid(), "body": body });
        let (mut ws, _) = Ws::signed_in(&server, Encoding::Msgpack, &ada).await;
        let ack = ws.ask(&frame).await;
        assert_eq!((&ack["type"], &ack["duplicate"]), (&json!("ack"), &json!(false)), "{ack}");
        if gently {
            let status = server.terminate().await;
            assert!(status.success(), "{status}");
            assert_eq!(ws.closed().await, Some(1012));
        } else {
            server.kill().await;
        }
        assert!(!server.is_running());
        server.restart().await;

        let events = rest.events(&ben, &conversation).await;
        let stored: Vec<_> = events.iter().filter(|event| event["body"] == body).collect();
        assert_eq!(stored.len(), 1, "{events:?}");
        assert_eq!(stored[0]["seq"], ack["seq"]);
        let (mut ws, _) = Ws::signed_in(&server, Encoding::Json, &ada).await;
        let again = ws.ask(&frame).await;
        assert_eq!((&again["seq"], &again["duplicate"]), (&ack["seq"], &json!(true)), "{again}");
    }
    chat_works(&server, &ada, &ben).await;
}

/// A terminal that closes is an orderly end; signals that mean nothing here do no harm.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hang_up_is_an_orderly_end_and_other_signals_are_none() {
    let mut server = Server::start(&[]).await;
    let rest = Rest::new(&server);
    let ada = rest.guest("Ada").await;
    let (mut ws, _) = Ws::signed_in(&server, Encoding::Json, &ada).await;
    for signal in ["USR1", "USR2"] {
        server.signal(signal).await;
        let pong = ws.ask(&json!({ "type": "ping", "id": signal })).await;
        assert_eq!(pong["type"], "pong", "{pong}");
    }
    server.signal("HUP").await;
    ws.expect("reconnect").await;
    assert_eq!(ws.closed().await, Some(1012));
    let status = server.ended().await;
    assert!(status.success(), "{status}");
}

/// With nobody to hand over there is nothing to wait for, however long a hand-over may take.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_clients_stops_at_once() {
    let mut server = Server::start(&[("TIDINGS__SERVER__SHUTDOWN_MS", "8000")]).await;
    let began = now();
    let status = server.terminate().await;
    assert!(status.success(), "{status}");
    assert!(began.elapsed() < Duration::from_secs(3), "stopping took {:?}", began.elapsed());
}
