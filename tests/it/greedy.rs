//! Clients that request more data than they read, or data of other users.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::client::{Incoming, Ws};
use crate::support::rest::{Account, Rest};
use crate::support::server::Server;
use crate::support::{Encoding, in_parallel, now, uuid};

/// A connection with as small a receive buffer as the system allows.
async fn narrow(addr: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.connect(addr).await.unwrap()
}

const UNLIMITED: [(&str, &str); 4] = [
    ("TIDINGS__LIMITS__SENDS_PER_SECOND", "100000"),
    ("TIDINGS__LIMITS__SEND_BURST", "100000"),
    ("TIDINGS__LIMITS__REQUESTS_PER_SECOND", "100000"),
    ("TIDINGS__LIMITS__REQUEST_BURST", "100000"),
];

/// A group of ada and ben with some 900 KB in it.
async fn full_room(server: &Server, rest: &Rest, ada: &Account, ben: &Account) -> String {
    let room = rest.conversation(ada, "group", &[ben]).await;
    let (mut sender, _) = Ws::signed_in(server, Encoding::Msgpack, ada).await;
    let body = "x".repeat(8_000);
    for id in 0..110 {
        let frame =
            json!({ "type": "send", "id": id, "conversation": room, "client_id": uuid(), "body": body });
        assert_eq!(sender.ask(&frame).await["type"], "ack");
    }
    room
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_asks_and_does_not_read_fills_nothing() {
    // Longer than the clients that read take for one answer on a busy machine.
    let settings = [&UNLIMITED[..], &[("TIDINGS__GATEWAY__WRITE_DEADLINE_MS", "10000")]].concat();
    let server = Server::start(&settings).await;
    let rest = Rest::new(&server);
    let (ada, ben) = (rest.guest("Ada").await, rest.guest("Ben").await);
    let room = full_room(&server, &rest, &ada, &ben).await;
    // What serving costs by itself: the same answers, read.
    // Each in a task of its own: in one task, the first that has something to read would hold up the others.
    let mut streams = Vec::new();
    for _ in 0..4 {
        let stream = TcpStream::connect(server.addr()).await.unwrap();
        streams.push(asking(stream, &server, &ben, &room).await);
    }
    in_parallel(4, streams, |mut ws| async move {
        for id in 0..60 {
            ws.until("an answer", |frame| frame["type"] == "synced" && frame["id"] == id).await;
        }
    })
    .await;
    let before = server.rss_bytes();
    let mut greedy = Vec::new();
    for _ in 0..4 {
        greedy.push(asking(narrow(server.addr()).await, &server, &ben, &room).await);
    }
    // Until the write deadline has ended all four.
    let (began, mut most) = (now(), 0);
    while rest.metric("tidings_connections ").await > 0.0 {
        most = most.max(server.rss_bytes());
        assert!(began.elapsed() < Duration::from_secs(40), "a client that reads nothing is cut off");
    }
    let grown_mib = most.saturating_sub(before) >> 20;
    // 240 answers of half a MiB were asked for: 120 MiB. A queue may hold 1 MiB and one range is read beside
    // it, and the allocator keeps what rows and encoding took for a while (12 to 24 MiB were seen).
    assert!(grown_mib < 40, "{grown_mib} MiB were held for clients that read nothing");
    drop(greedy);
}

/// A connection of an account that has asked for a room sixty times and read nothing of it.
async fn asking(stream: TcpStream, server: &Server, account: &Account, room: &str) -> Ws {
    let mut ws = Ws::over(stream, server, Encoding::Json).await;
    ws.send(&json!({ "type": "hello", "token": account.access })).await;
    ws.expect("welcome").await;
    for id in 0..60 {
        let ranges = json!([{ "conversation": room, "after": 0 }]);
        ws.send(&json!({ "type": "sync", "id": id, "ranges": ranges })).await;
    }
    ws
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_gets_everything_asked_for_however_small_the_queue() {
    let settings = [&UNLIMITED[..], &[("TIDINGS__GATEWAY__OUTBOX_BYTES", "131072")]].concat();
    let server = Server::start(&settings).await;
    let rest = Rest::new(&server);
    let (ada, ben) = (rest.guest("Ada").await, rest.guest("Ben").await);
    let room = full_room(&server, &rest, &ada, &ben).await;
    let mut ws = Ws::over(narrow(server.addr()).await, &server, Encoding::Json).await;
    ws.send(&json!({ "type": "hello", "token": ben.access })).await;
    let last = ws.expect("welcome").await["heads"][0]["last_seq"].as_u64().unwrap();
    let (mut held, mut asked) = (1, 0);
    while held < last {
        // Pipelined: each is answered in its turn.
        let after = held;
        for id in [0, 1] {
            let ranges = json!([{ "conversation": room, "after": after }]);
            ws.send(&json!({ "type": "sync", "id": id, "ranges": ranges })).await;
        }
        for id in [0, 1] {
            asked += 1;
            let mut end = after;
            loop {
                let frame = ws.until("an answer", |frame| frame["id"].is_number()).await;
                assert_eq!(frame["id"], id, "one at a time, in order");
                if frame["type"] == "synced" {
                    assert_eq!(frame["more"], json!(end < last), "{frame}");
                    break;
                }
                for event in frame["events"].as_array().unwrap() {
                    assert_eq!(event["seq"], end + 1);
                    end += 1;
                }
            }
            assert!(end > after, "each answer brings something");
            held = held.max(end);
        }
    }
    assert!(asked > 2, "an answer ends when the queue is full");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_events_come_behind_the_last_heads() {
    let server = Server::start(&UNLIMITED).await;
    let rest = Rest::new(&server);
    let (ada, ben) = (rest.guest("Ada").await, rest.guest("Ben").await);
    let (client, creator, member) = (rest.clone(), ada.clone(), ben.clone());
    in_parallel(8, (0..450).collect(), move |_: u32| {
        let (rest, ada, ben) = (client.clone(), creator.clone(), member.clone());
        async move { rest.conversation(&ada, "group", &[&ben]).await }
    })
    .await;
    let room = rest.conversation(&ada, "group", &[&ben]).await;
    let (mut sender, _) = Ws::signed_in(&server, Encoding::Msgpack, &ada).await;
    let mut ws = Ws::over(narrow(server.addr()).await, &server, Encoding::Json).await;
    ws.send(&json!({ "type": "hello", "token": ben.access })).await;
    let frame =
        json!({ "type": "send", "id": 1, "conversation": room, "client_id": uuid(), "body": "meanwhile" });
    let said = sender.ask(&frame).await["seq"].as_u64().unwrap();
    let welcome = ws.expect("welcome").await;
    assert!(welcome["more_heads"] == true && welcome.get("cursor").is_none(), "{welcome}");
    let mut told = welcome["heads"].as_array().unwrap().clone();
    loop {
        let frame = ws.expect("heads").await;
        told.extend(frame["heads"].as_array().unwrap().iter().cloned());
        if frame.get("cursor").is_some() {
            break;
        }
    }
    assert_eq!(told.len(), 451);
    let head: &Value = told.iter().find(|head| head["conversation"] == room.as_str()).unwrap();
    if head["last_seq"].as_u64() != Some(said) {
        assert_eq!(ws.expect("event").await["seq"], said);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_count_from_the_moment_they_are_asked_for() {
    let settings = [&UNLIMITED[..], &[("TIDINGS__LIMITS__WATCH_USERS", "5")]].concat();
    let server = Server::start(&settings).await;
    let rest = Rest::new(&server);
    let ada = rest.guest("Ada").await;
    let mut others = Vec::new();
    for _ in 0..15 {
        others.push(rest.guest("somebody").await);
    }
    rest.conversation(&ada, "group", &others.iter().collect::<Vec<_>>()).await;
    let (mut ws, _) = Ws::signed_in(&server, Encoding::Json, &ada).await;
    for (id, users) in others.chunks(5).enumerate() {
        let users: Vec<&str> = users.iter().map(|user| user.id.as_str()).collect();
        ws.send(&json!({ "type": "watch", "id": id, "users": users })).await;
    }
    let (mut told, mut refused, mut done) = (0, 0, 0);
    while refused + done < 3 {
        let frame = ws.until("an answer", |frame| frame["type"] != "event").await;
        match frame["type"].as_str() {
            Some("presence") => told += 1,
            Some("ok") => done += 1,
            _ => {
                assert_eq!(frame["code"], "too_large", "{frame}");
                refused += 1;
            }
        }
    }
    assert_eq!((told, done, refused), (5, 1, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_has_so_many_connections_over_all_worker_threads() {
    let server =
        Server::start(&[("TIDINGS__GATEWAY__CONNECTIONS_PER_USER", "2"), ("TIDINGS__SERVER__WORKERS", "4")])
            .await;
    let rest = Rest::new(&server);
    let ada = rest.guest("Ada").await;
    let mut entered = Vec::new();
    for _ in 0..8 {
        let mut ws = Ws::open(&server, Encoding::Json).await;
        ws.send(&json!({ "type": "hello", "token": ada.access })).await;
        match ws.incoming().await {
            Incoming::Frame(frame) => {
                assert_eq!(frame["type"], "welcome", "{frame}");
                entered.push(ws);
            }
            Incoming::Closed(code) => assert_eq!(code, Some(4429)),
        }
    }
    assert_eq!(entered.len(), 2);
}
