//! How a server ends: at once when it is alone, by handing over when others serve its clients, and always
//! soon.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::servers::postgres::{Options, Postgres};
use crate::support::client::{Incoming, Ws};
use crate::support::inspect::Inspected;
use crate::support::rest::{Account, Rest};
use crate::support::server::Server;
use crate::support::{DEADLINE, Encoding, now, unique, until, uuid};

/// As operators have it: the servers of other tests are given less.
const AS_SHIPPED: (&str, &str) = ("TIDINGS__SERVER__SHUTDOWN_MS", "10000");

/// Within which signals are one wish to stop.
const SAME_WISH: Duration = Duration::from_millis(250);

/// Waits until the server has written this.
async fn written(server: &Server, text: &str) {
    let began = now();
    while !server.log().contains(text) {
        assert!(began.elapsed() < DEADLINE, "no {text} in {}", server.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn less_than_a_second(began: Instant, server: &Server) {
    let took = began.elapsed();
    assert!(took < Duration::from_secs(1), "stopping took {took:?}: {}", server.log());
}

/// A page that is open: a WebSocket, and a connection over which it loaded its files.
async fn page(server: &Server, account: &Account) -> (Ws, TcpStream) {
    let (ws, _) = Ws::signed_in(server, Encoding::Json, account).await;
    let mut files = TcpStream::connect(server.addr()).await.unwrap();
    files.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    files.read_exact(&mut [0; 12]).await.unwrap();
    (ws, files)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_ends_an_embedded_server_within_a_second_though_pages_are_open() {
    for signal in ["INT", "TERM"] {
        let mut server = Server::start(&[AS_SHIPPED]).await;
        let rest = Rest::new(&server);
        let (ada, ben) = (rest.guest("Ada").await, rest.guest("Ben").await);
        let mut pages = [page(&server, &ada).await, page(&server, &ben).await];
        // One that says nothing, and does not answer a close.
        let _silent = TcpStream::connect(server.addr()).await.unwrap();
        let (_unanswering, _) = Ws::signed_in(&server, Encoding::Json, &ada).await;
        let began = now();
        server.signal(signal).await;
        let status = server.ended().await;
        less_than_a_second(began, &server);
        assert!(status.success(), "{signal}: {status}");
        for (ws, _) in &mut pages {
            let told = ws.expect("reconnect").await;
            assert!(told["after_ms"].as_u64() < Some(2_000) && told["deadline_ms"] == 0, "{told}");
            assert_eq!(ws.closed().await, Some(1012), "{signal}");
        }
        let log = server.log();
        assert!(log.contains(" connections, at most 9 s; a second signal stops at once"), "{log}");
        assert!(log.contains("sessions=3"), "the log says how many were sent away: {log}");
    }
}

/// Holds the database, so that what is sent waits for its commit.
fn hold(data: &Path) -> rusqlite::Connection {
    let database = rusqlite::Connection::open(data.join("tidings.db")).unwrap();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    database
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_is_finished_and_acked_before_the_end() {
    // What waits half of the store's time is refused: nothing here may wait so long.
    let patient = ("TIDINGS__STORE__TIMEOUT_MS", "8000");
    let mut server = Server::start(&[AS_SHIPPED, patient, ("TIDINGS__WRITER__SHARDS", "1")]).await;
    let rest = Rest::new(&server);
    let (ada, ben) = (rest.guest("Ada").await, rest.guest("Ben").await);
    let room = rest.conversation(&ada, "group", &[&ben]).await;
    let (mut ws, _) = Ws::signed_in(&server, Encoding::Json, &ada).await;
    let database = hold(server.data());
    let body = unique("accepted");
    let send = |id: u64| json!({ "type": "send", "id": id, "conversation": room, "client_id": uuid(), "body": body });
    let waiting_ms = |all: &Inspected| all.of("writer shard 0")["oldest_ms"].as_u64().unwrap_or(0);
    ws.send(&send(1)).await;
    Inspected::until(&rest, "the first send is with the database", |all| {
        all.of("writer shard 0")["is_working"] == true
    })
    .await;
    ws.send(&send(2)).await;
    Inspected::until(&rest, "the second one waits for it", |all| waiting_ms(all) > 0).await;
    server.signal("INT").await;
    written(&server, "stopping: ").await;
    // Longer than anything is waited for that writes nothing.
    let stopping_ms = waiting_ms(&Inspected::now(&rest).await);
    Inspected::until(&rest, "both are waited for", |all| waiting_ms(all) >= stopping_ms + 600).await;
    drop(database);
    let released = now();
    for id in [1, 2] {
        let ack = ws.until("the ack", |frame| frame["id"] == id).await;
        assert_eq!(ack["type"], "ack", "{ack}");
    }
    assert_eq!(ws.closed().await, Some(1012));
    let status = server.ended().await;
    assert!(status.success(), "{status}");
    less_than_a_second(released, &server);

    server.restart().await;
    let events = rest.events(&ben, &room).await;
    let stored = events.iter().filter(|event| event["body"] == body).count();
    assert_eq!(stored, 2, "{events:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_it_at_once() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let mut server = Server::start(&[AS_SHIPPED]).await;
        let rest = Rest::new(&server);
        let (ada, ben) = (rest.guest("Ada").await, rest.guest("Ben").await);
        let room = rest.conversation(&ada, "group", &[&ben]).await;
        let (mut ws, _) = Ws::signed_in(&server, Encoding::Json, &ada).await;
        let _database = hold(server.data());
        let frame =
            json!({ "type": "send", "id": 1, "conversation": room, "client_id": uuid(), "body": "never" });
        ws.send(&frame).await;
        ws.ask(&json!({ "type": "ping", "id": "after" })).await;
        let asked = now();
        server.signal(signal).await;
        written(&server, "stopping: ").await;
        // The same signal again within a moment is one wish: `timeout` sends it so.
        until("a later one ends it", DEADLINE, async || {
            if !server.is_running() {
                return Some(());
            }
            server.signal(signal).await;
            None
        })
        .await;
        assert!(asked.elapsed() >= SAME_WISH, "one wish to stop was taken for two: {}", server.log());
        less_than_a_second(asked + SAME_WISH, &server);
        let status = server.ended().await;
        assert_eq!(status.code(), Some(code), "{status}: {}", server.log());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_clients_are_sent_away_before_a_supervisor_kills() {
    const USERS: usize = 20;
    const EACH: usize = 50;
    let mut server = Server::start(&[AS_SHIPPED, ("TIDINGS__TELEMETRY__LOG_FILTER", "info")]).await;
    let rest = Rest::new(&server);
    let mut clients = Vec::new();
    for number in 0..USERS {
        let account = rest.guest(&format!("Guest {number}")).await;
        for _ in 0..EACH {
            clients.push(Ws::signed_in(&server, Encoding::Json, &account).await.0);
        }
    }
    let began = now();
    server.ask_to_stop().await;
    let mut closing = JoinSet::new();
    // Half of them answer the close, the others do nothing.
    let unanswering = clients.split_off(clients.len() / 2);
    for mut client in clients {
        closing.spawn(async move { client.closed().await });
    }
    let status = server.ended().await;
    let took = began.elapsed();
    assert!(status.success() && took < Duration::from_secs(9), "{status} after {took:?}: {}", server.log());
    for code in closing.join_all().await {
        assert_eq!(code, Some(1012));
    }
    for mut client in unanswering {
        assert_eq!(client.closed().await, Some(1012));
    }
    let log = server.log();
    assert!(log.contains("stopping: 100"), "{log}");
    assert!(log.contains(&format!("sessions={}", USERS * EACH)), "{log}");
    eprintln!("1,000 clients were sent away in {took:?}");
}

/// Where other processes serve its clients, it gives them the window to go there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_several_hands_its_clients_over_within_the_window() {
    let postgres = Postgres::start(Options::default()).await;
    let url = postgres.database("stopping").await;
    let keys = TempDir::new().unwrap();
    let key = keys.path().join("key.pem");
    std::fs::write(&key, crate::readiness::KEY).unwrap();
    let mut server = Server::start(&[
        ("TIDINGS__STORE__BACKEND", "postgres"),
        ("TIDINGS__STORE__POSTGRES__URL", &url),
        ("TIDINGS__AUTH__KEY_FILES", key.to_str().unwrap()),
        ("TIDINGS__STORE__TIMEOUT_MS", "1500"),
        ("TIDINGS__SERVER__SHUTDOWN_MS", "2500"),
    ])
    .await;
    let rest = Rest::new(&server);
    let ada = rest.guest("Ada").await;
    let (mut stays, _) = Ws::signed_in(&server, Encoding::Json, &ada).await;
    server.ask_to_stop().await;
    let told = stays.expect("reconnect").await;
    assert!(told["after_ms"].as_u64() < Some(1_250) && told["deadline_ms"] == 2_500, "{told}");
    let began = now();
    // It is served until it goes.
    let pong = stays.ask(&json!({ "type": "ping", "id": "here" })).await;
    assert_eq!(pong["type"], "pong");
    assert_eq!(stays.incoming().await, Incoming::Closed(Some(1012)));
    assert!(began.elapsed() > Duration::from_millis(1_500), "closed before the window was over");
    let status = server.ended().await;
    assert!(status.success(), "{status}");
}
