//! More connections than there are places for, of one address or in all, and who is let in nevertheless.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::support::client::Ws;
use crate::support::inspect::Inspected;
use crate::support::rest::{Account, Rest};
use crate::support::server::Server;
use crate::support::{DEADLINE, Encoding, until};

/// A connection from an address of this machine.
async fn connect(server: &Server, from: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
    socket.connect(server.addr()).await.unwrap()
}

/// The answer to one request on a connection of its own, and whether the server closed it.
async fn ask(server: &Server, from: &str, path: &str, who: Option<&Account>) -> (String, bool) {
    let mut stream = connect(server, from).await;
    let token = who.map(|who| format!("authorization: Bearer {}\r\n", who.access)).unwrap_or_default();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{token}\r\n");
    // It may be closed before it has read anything.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut text = vec![0; 65_536];
    let mut length = 0;
    loop {
        match timeout(Duration::from_secs(1), stream.read(&mut text[length..])).await {
            Ok(Ok(0) | Err(_)) => return (String::from_utf8_lossy(&text[..length]).into_owned(), true),
            Ok(Ok(read)) => length += read,
            Err(_) if length > 0 => return (String::from_utf8_lossy(&text[..length]).into_owned(), false),
            Err(_) => panic!("{path} is not answered"),
        }
    }
}

/// Connections that ask for nothing, all taken by the server.
async fn idle(server: &Server, rest: &Rest, count: usize) -> Vec<TcpStream> {
    let mut taken = Vec::new();
    for _ in 0..count {
        taken.push(connect(server, "127.0.0.1").await);
    }
    let open = |state: &Inspected| state.sum("connections", "open") >= count as u64;
    Inspected::until(rest, "taken", open).await;
    taken
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_takes_its_places_and_only_health_checks_and_those_who_are_signed_in_get_more() {
    let server = Server::start(&[
        ("TIDINGS__SERVER__CONNECTIONS_PER_IP", "40"),
        ("TIDINGS__SERVER__LOOPBACK_EXEMPT", "false"),
    ])
    .await;
    let rest = Rest::new(&server);
    let ada = rest.guest("Ada").await;
    // 36 for anybody; the client of `rest` keeps one.
    let taken = idle(&server, &rest, 35).await;
    let (refused, closed) = ask(&server, "127.0.0.1", "/v1/server", None).await;
    assert!(refused.starts_with("HTTP/1.1 429") && refused.contains("rate_limited") && closed, "{refused}");
    assert!(refused.to_lowercase().contains("retry-after: "), "{refused}");
    let wrong = Account { access: "nobody's".to_owned(), ..ada.clone() };
    let (refused, _) = ask(&server, "127.0.0.1", "/v1/me", Some(&wrong)).await;
    assert!(refused.starts_with("HTTP/1.1 429"), "{refused}");
    let (healthy, closed) = ask(&server, "127.0.0.1", "/healthz", None).await;
    assert!(healthy.starts_with("HTTP/1.1 200") && closed, "{healthy}");
    let (me, closed) = ask(&server, "127.0.0.1", "/v1/me", Some(&ada)).await;
    assert!(me.starts_with("HTTP/1.1 200") && !closed, "{me}");
    let (_ws, welcome) = Ws::signed_in(&server, Encoding::Json, &ada).await;
    assert_eq!(welcome["user"], ada.id.as_str());
    // Another address is not concerned.
    let (served, closed) = ask(&server, "127.0.0.2", "/v1/server", None).await;
    assert!(served.starts_with("HTTP/1.1 200") && !closed, "{served}");

    // The reserve is full too. Who says nothing there leaves it soon.
    let mut silent = idle(&server, &rest, 8).await;
    assert!(rest.metric("tidings_connections_turned_away_total{full=\"address\"}").await >= 3.0);
    for stream in &mut silent {
        let read = timeout(DEADLINE, stream.read(&mut [0; 256])).await.expect("it is not kept");
        drop(read);
    }
    drop(taken);
    until("places are free again", DEADLINE, async || {
        let (served, _) = ask(&server, "127.0.0.1", "/v1/server", None).await;
        served.starts_with("HTTP/1.1 200").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_places_of_a_node_are_for_health_checks_and_those_who_are_signed_in() {
    let server =
        Server::start(&[("TIDINGS__SERVER__MAX_CONNECTIONS", "40"), ("TIDINGS__SERVER__WORKERS", "1")]).await;
    let rest = Rest::new(&server);
    let ada = rest.guest("Ada").await;
    let _taken = idle(&server, &rest, 35).await;
    let (refused, closed) = ask(&server, "127.0.0.1", "/v1/server", None).await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("overloaded") && closed, "{refused}");
    let (healthy, _) = ask(&server, "127.0.0.1", "/healthz", None).await;
    assert!(healthy.starts_with("HTTP/1.1 200"), "{healthy}");
    let (_ws, welcome) = Ws::signed_in(&server, Encoding::Json, &ada).await;
    assert_eq!(welcome["user"], ada.id.as_str());
    assert!(rest.metric("tidings_connections_turned_away_total{full=\"node\"}").await >= 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_proxy_sockets_count_for_the_client_that_it_names() {
    let server = Server::start(&[
        ("TIDINGS__SERVER__CONNECTIONS_PER_IP", "4"),
        ("TIDINGS__SERVER__TRUSTED_PROXIES", "127.0.0.1"),
    ])
    .await;
    let rest = Rest::new(&server);
    let ada = rest.guest("Ada").await;
    let headers = [("x-forwarded-for", "203.0.113.9")];
    let mut open = Vec::new();
    for _ in 0..4 {
        let mut ws = Ws::open_with(&server, Encoding::Json, &headers).await.expect("a place");
        ws.send(&json!({ "type": "hello", "token": ada.access })).await;
        ws.expect("welcome").await;
        open.push(ws);
    }
    assert!(Ws::open_with(&server, Encoding::Json, &headers).await.is_err(), "it has all its places");
    let other = [("x-forwarded-for", "203.0.113.8")];
    Ws::open_with(&server, Encoding::Json, &other).await.expect("another address has its own");
    drop(open.pop());
    let again = async {
        while Ws::open_with(&server, Encoding::Json, &headers).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(DEADLINE, again).await.expect("the place is free again");
}
