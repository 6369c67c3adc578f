//! A client that reads slowly is switched to pulling, not disconnected, and misses nothing.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;

use crate::support::client::Ws;
use crate::support::inspect::Inspected;
use crate::support::rest::Rest;
use crate::support::server::Server;
use crate::support::{Encoding, uuid};

/// Messages of 8 KB: far more than the queue below and the kernel's buffers hold.
const MESSAGES: u64 = 1_500;

/// A connection with as small a receive buffer as the system allows.
async fn narrow(addr: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.connect(addr).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_is_told_and_pulls_what_it_missed() {
    let server = Server::start(&[
        ("TIDINGS__GATEWAY__OUTBOX_BYTES", "131072"),
        // Longer than all the sends take on a busy machine.
        ("TIDINGS__GATEWAY__HEARTBEAT_MS", "60000"),
        ("TIDINGS__GATEWAY__WRITE_DEADLINE_MS", "100000"),
        ("TIDINGS__LIMITS__SENDS_PER_SECOND", "100000"),
        ("TIDINGS__LIMITS__SEND_BURST", "100000"),
    ])
    .await;
    let rest = Rest::new(&server);
    let (ada, ben) = (rest.guest("Ada").await, rest.guest("Ben").await);
    let room = rest.conversation(&ada, "group", &[&ben]).await;
    let mut slow = Ws::over(narrow(server.addr()).await, &server, Encoding::Json).await;
    slow.send(&json!({ "type": "hello", "token": ben.access })).await;
    let welcome = slow.expect("welcome").await;
    let mut held = welcome["heads"][0]["last_seq"].as_u64().unwrap();

    // Nothing is read meanwhile; the sender is not slowed by that.
    let (mut sender, _) = Ws::signed_in(&server, Encoding::Msgpack, &ada).await;
    let body = "x".repeat(8_000);
    let mut last = 0;
    for id in 0..MESSAGES {
        let frame =
            json!({ "type": "send", "id": id, "conversation": room, "client_id": uuid(), "body": body });
        last = sender.ask(&frame).await["seq"].as_u64().expect("an ack");
    }

    Inspected::until(&rest, "lagging", |all| all.sum("hub ", "lagging") == 1).await;
    let page = rest.internal("/metrics").await.text;
    let gauge = |name: &str| {
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
        value.unwrap_or_else(|| panic!("no {name} in {page}"))
    };
    assert_eq!(gauge("tidings_lagging_connections "), 1.0);
    assert!((1.0..=131_072.0 + 1_024.0).contains(&gauge("tidings_queued_bytes{kind=\"live\"} ")), "{page}");

    let mut lagged = 0;
    while held < last {
        let frame = slow.until("an event, a lag or heads", |frame| frame["type"] != "receipt").await;
        match frame["type"].as_str() {
            Some("event") => {
                assert_eq!(frame["seq"], held + 1, "pushed in order, none left out");
                held += 1;
            }
            Some("lagging") => lagged += 1,
            Some("heads") => held = pull(&mut slow, &room, held, head_of(&frame, &room, held)).await,
            _ => panic!("{frame}"),
        }
    }
    assert!(lagged > 0, "{MESSAGES} messages of 8 KB found room somewhere");
    slow.send_message(Message::Close(None)).await;
}

fn head_of(heads: &Value, room: &str, held: u64) -> u64 {
    let heads = heads["heads"].as_array().unwrap();
    heads
        .iter()
        .find(|head| head["conversation"] == room)
        .map_or(held, |head| head["last_seq"].as_u64().unwrap())
}

/// Pulls everything up to `last`; answers what is held then.
async fn pull(slow: &mut Ws, room: &str, mut held: u64, last: u64) -> u64 {
    while held < last {
        let range = json!({ "conversation": room, "after": held, "limit": last - held });
        slow.send(&json!({ "type": "sync", "id": "pull", "ranges": [range] })).await;
        loop {
            let frame = slow.until("a part of the answer", |frame| frame["id"] == "pull").await;
            if frame["type"] == "synced" {
                break;
            }
            for event in frame["events"].as_array().unwrap() {
                assert_eq!(event["seq"], held + 1);
                held += 1;
            }
        }
    }
    held
}
