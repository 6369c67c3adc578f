//! A revoked token stops working within a second, whatever its connection was doing at that moment.

use std::fs;
use std::time::Duration;

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::json;
use sqlx::Row;
use tokio_tungstenite::tungstenite::Message;

use crate::servers::postgres::{Options, Postgres};
use crate::servers::process::until;
use crate::support::client::{Incoming, Ws};
use crate::support::rest::{Account, Rest};
use crate::support::server::Server;
use crate::support::{Encoding, in_parallel, now, uuid};

/// A slow database: the hello has shown its token, and waits for what it has to read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_ended_during_its_hello_gets_no_session() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key.pem");
    let der = Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der));
    fs::write(&key, pem).unwrap();
    let postgres = Postgres::start(Options::default()).await;
    let url = postgres.database("revocation").await;
    let settings = [
        ("TIDINGS__STORE__BACKEND", "postgres"),
        ("TIDINGS__STORE__POSTGRES__URL", url.as_str()),
        ("TIDINGS__AUTH__KEY_FILES", key.to_str().unwrap()),
        ("TIDINGS__STORE__TIMEOUT_MS", "9000"),
        ("TIDINGS__SERVER__SHUTDOWN_MS", "9500"),
    ];
    let (here, there) = (Server::start(&settings).await, Server::start(&settings).await);
    let (rest, elsewhere) = (Rest::new(&here), Rest::new(&there));
    let ada = rest.guest("Ada").await;

    // The other node has not seen ada yet: it reads her row, and cannot.
    let mut lock = postgres.connect("revocation").await;
    sqlx::raw_sql("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE").execute(&mut lock).await.unwrap();
    let mut ws = Ws::open(&there, Encoding::Json).await;
    ws.send(&json!({ "type": "hello", "token": ada.access })).await;
    until("the hello waits", || async {
        let mut watch = postgres.connect("revocation").await;
        let waiting =
            sqlx::query("SELECT count(*) FROM pg_locks WHERE NOT granted").fetch_one(&mut watch).await;
        waiting.unwrap().get::<i64, _>(0) > 0
    })
    .await;
    assert_eq!(rest.call(Method::DELETE, "/v1/tokens", Some(&ada.access), None).await.status, 204);
    until("the other node knows", || async {
        let page = elsewhere.internal("/metrics").await.text;
        page.lines().any(|line| line == "tidings_revocations_total 1")
    })
    .await;
    sqlx::raw_sql("ROLLBACK").execute(&mut lock).await.unwrap();
    assert_eq!(ws.incoming().await, Incoming::Closed(Some(4401)), "and no welcome before it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ended_from_another_device_closes_its_own_sockets_alone() {
    let server = Server::start(&[]).await;
    let rest = Rest::new(&server);
    let phone = rest.account("ada", "correct horse battery").await;
    let body = json!({ "device_id": "c2d2b1d6-0b5e-4a54-9d5f-2f3f1c8f2b7a" });
    let guest = async || {
        let answer = rest.call(Method::POST, "/v1/accounts/guest", None, Some(&body)).await;
        Account::from_answer(&answer.ok())
    };
    let (one, other) = (guest().await, guest().await);
    let mut sockets = Vec::new();
    for account in [&one, &one, &other, &phone] {
        sockets.push(Ws::signed_in(&server, Encoding::Json, account).await.0);
    }
    let listed = rest.call(Method::GET, "/v1/me/sessions", Some(&one.access), None).await.ok();
    let sessions = listed["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 2, "{listed}");
    let own = sessions.iter().find(|session| session["current"] == true).unwrap();
    let path = format!("/v1/me/sessions/{}", own["session"].as_str().unwrap());
    assert_eq!(rest.call(Method::DELETE, &path, Some(&other.access), None).await.status, 204);
    let ended = now();
    for ws in &mut sockets[..2] {
        assert_eq!(ws.closed().await, Some(4401));
    }
    assert!(ended.elapsed() < Duration::from_secs(1), "{:?}", ended.elapsed());
    for ws in &mut sockets[2..] {
        assert_eq!(ws.ask(&json!({ "type": "ping", "id": 1 })).await["type"], "pong");
    }
}

/// The smallest inbox there may be, and far more coming in than it holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_does_not_drown_a_revocation() {
    const READERS: usize = 30;
    let server = Server::start(&[
        ("TIDINGS__SERVER__WORKERS", "1"),
        ("TIDINGS__GATEWAY__INBOX_BYTES", "131072"),
        ("TIDINGS__GATEWAY__OUTBOX_BYTES", "131072"),
        ("TIDINGS__GATEWAY__LAG_RESUME_BYTES", "16384"),
        ("TIDINGS__LIMITS__SENDS_PER_SECOND", "100000"),
        ("TIDINGS__LIMITS__SEND_BURST", "100000"),
    ])
    .await;
    let rest = Rest::new(&server);
    let ada = rest.guest("Ada").await;
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(rest.guest("Ben").await);
    }
    let room = rest.conversation(&ada, "group", &readers.iter().collect::<Vec<_>>()).await;
    let mut open = Vec::new();
    for reader in &readers {
        open.push(Ws::signed_in(&server, Encoding::Json, reader).await.0);
    }
    let (mut flooding, _) = Ws::signed_in(&server, Encoding::Msgpack, &ada).await;
    let body = "x".repeat(8_000);
    let flood = tokio::spawn(async move {
        for id in 0..600 {
            let frame =
                json!({ "type": "send", "id": id, "conversation": room, "client_id": uuid(), "body": body });
            flooding.send(&frame).await;
        }
        flooding
    });
    let ended = in_parallel(READERS, readers, |reader| {
        let rest = rest.clone();
        async move { rest.call(Method::DELETE, "/v1/tokens", Some(&reader.access), None).await.status }
    });
    assert!(ended.await.iter().all(|status| *status == 204));
    let answered = now();
    for ws in &mut open {
        assert_eq!(ws.closed().await, Some(4401));
    }
    println!("{READERS} sessions closed within {:?} of the last answer", answered.elapsed());
    let mut flooding = flood.await.unwrap();
    flooding.send_message(Message::Close(None)).await;
    let page = rest.internal("/metrics").await.text;
    let overflows = page.lines().find(|line| line.starts_with("tidings_inbox_overflows_total"));
    println!("{overflows:?}");
}
