//! A panic ends either the work for one client or the whole process. So no server runs without one of its
//! parts.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::client::{Incoming, Ws, chat_works};
use crate::support::rest::{Account, Rest};
use crate::support::server::Server;
use crate::support::{Encoding, uuid};

fn send(conversation: &str, body: &str) -> Value {
    json!({ "type": "send", "id": 1, "conversation": conversation, "client_id": uuid(), "body": body })
}

async fn metric(rest: &Rest, line: &str) -> String {
    let page = rest.internal("/metrics").await.text;
    let found = page.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no {line} in\n{page}")).to_owned()
}

/// What one session's work touches: its frames, its requests that wait, what others have for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_a_sessions_work_ends_that_session_alone() {
    let mut server = Server::start(&[("TIDINGS__PRESENCE__OFFLINE_AFTER_MS", "100")]).await;
    let rest = Rest::new(&server);
    let (ada, ben) = (rest.guest("Ada").await, rest.guest("Ben").await);
    let group = rest.conversation(&ada, "group", &[&ben]).await;
    let (mut watcher, _) = Ws::signed_in(&server, Encoding::Json, &ben).await;
    watcher.ask(&json!({ "type": "watch", "id": 1, "users": [ada.id] })).await;
    let range = json!([{ "conversation": group, "after": 0 }]);
    let frames = [
        ("frame", json!({ "type": "ping", "id": 2 })),
        ("sync", json!({ "type": "sync", "id": 2, "ranges": range })),
    ];
    for (times, (point, frame)) in frames.iter().enumerate() {
        let (mut ws, _) = Ws::signed_in(&server, Encoding::Json, &ada).await;
        ws.ask(&json!({ "type": "watch", "id": 1, "users": [ben.id] })).await;
        assert_eq!(metric(&rest, "tidings_presence_watches").await, "2");
        server.panic_at(point);
        ws.send(frame).await;
        assert_eq!(ws.closed().await, Some(1011), "{point}");
        // Everything that knew of the session has forgotten it.
        watcher.until("ada to be gone", |frame| frame["state"] == "offline").await;
        assert_eq!(metric(&rest, "tidings_presence_watches").await, "1", "{point}");
        assert_eq!(metric(&rest, "tidings_connections").await, "1", "{point}");
        let counted = metric(&rest, "tidings_panics_total{work=\"session\"}").await;
        assert_eq!(counted, (times + 1).to_string(), "{point}");
    }
    assert!(server.is_running());
    let log = server.log();
    assert!(log.contains("a panic ended the work for one client") && log.contains("src/panics.rs"), "{log}");
    chat_works(&server, &ada, &ben).await;
}

/// The hub hands one event to many sessions: one that breaks takes it from nobody else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_one_delivery_keeps_the_event_from_nobody_else() {
    let server = Server::start(&[("TIDINGS__SERVER__WORKERS", "1")]).await;
    let rest = Rest::new(&server);
    let members = [rest.guest("Ada").await, rest.guest("Ben").await, rest.guest("Cleo").await];
    let group = rest.conversation(&members[0], "group", &[&members[1], &members[2]]).await;
    let mut sockets = Vec::new();
    for member in &members {
        sockets.push(Ws::signed_in(&server, Encoding::Msgpack, member).await.0);
    }
    server.panic_at("delivery");
    rest.send(&members[0], &group, "for everybody").await;
    let (mut closed, mut told) = (0, 0);
    for socket in &mut sockets {
        loop {
            match socket.incoming().await {
                Incoming::Closed(code) => {
                    assert_eq!(code, Some(1011));
                    closed += 1;
                    break;
                }
                Incoming::Frame(frame) if frame["body"] == "for everybody" => {
                    told += 1;
                    break;
                }
                Incoming::Frame(_) => {}
            }
        }
    }
    assert_eq!((closed, told), (1, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_a_request_is_answered_500_and_its_body_is_cut() {
    let mut server = Server::start(&[]).await;
    let rest = Rest::new(&server);
    let ada = rest.guest("Ada").await;
    let me = async || rest.call(Method::GET, "/v1/me", Some(&ada.access), None).await;
    server.panic_at("request");
    let answer = me().await;
    assert_eq!(answer.status, 500, "{}", answer.text);
    assert_eq!(
        (answer.content_type.as_str(), &answer.body["code"]),
        ("application/problem+json", &json!("unavailable"))
    );
    assert!(answer.header("x-request-id").is_some() && answer.header("x-content-type-options").is_some());
    assert_eq!(me().await.status, 200);

    server.panic_at("body");
    let export = rest.request(Method::GET, "/v1/me/export").bearer_auth(&ada.access);
    let read_whole = async { export.send().await?.text().await };
    read_whole.await.expect_err("it breaks off");
    assert_eq!(me().await.status, 200);
    assert_eq!(metric(&rest, "tidings_panics_total{work=\"request\"}").await, "2");
    assert!(server.is_running());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_causes_panics_again_and_again_is_refused_for_a_while() {
    let server = Server::start(&[("TIDINGS__SERVER__TRUSTED_PROXIES", "127.0.0.1/32")]).await;
    let rest = Rest::new(&server);
    let ada = rest.guest("Ada").await;
    let from = async |address: &str| {
        let request = rest.request(Method::GET, "/v1/me").bearer_auth(&ada.access);
        rest.finish(request.header("x-forwarded-for", address)).await
    };
    for _ in 0..2 {
        server.panic_at("request");
        assert_eq!(from("203.0.113.9").await.status, 500);
    }
    let headers = [("x-forwarded-for", "203.0.113.9")];
    let mut ws = Ws::open_with(&server, Encoding::Json, &headers).await.expect("two are not enough");
    server.panic_at("frame");
    ws.send(&json!({ "type": "hello", "token": ada.access })).await;
    assert_eq!(ws.closed().await, Some(1011));
    let refused = from("203.0.113.9").await;
    assert_eq!((refused.status.as_u16(), &refused.body["code"]), (429, &json!("rate_limited")));
    assert!(refused.retry_after.is_some_and(|wait| wait.parse::<u32>().unwrap() > 100));
    assert!(Ws::open_with(&server, Encoding::Json, &headers).await.is_err());
    assert_eq!(from("203.0.113.8").await.status, 200, "everybody else is served");
}

/// Each part that everybody shares: the process ends, and says by its status that this was no orderly end.
async fn ends_the_process(point: &str, provoke: impl AsyncFn(&Server, &Rest, &Account, &str)) {
    let mut server = Server::start(&[]).await;
    let rest = Rest::new(&server);
    let (ada, ben) = (rest.guest("Ada").await, rest.guest("Ben").await);
    let group = rest.conversation(&ada, "group", &[&ben]).await;
    let (mut ws, _) = Ws::signed_in(&server, Encoding::Json, &ada).await;
    let ack = ws.ask(&send(&group, "acked before")).await;
    assert_eq!(ack["type"], "ack", "{ack}");
    server.panic_at(point);
    provoke(&server, &rest, &ada, &group).await;
    let status = server.ended().await;
    assert!(!status.success(), "{point}: {status}");
    let log = server.log();
    assert!(log.contains(&format!("as asked for at the point {point}")), "{point}:\n{log}");
    assert!(log.contains("the process ends") && log.contains("src/panics.rs"), "{point}:\n{log}");
    server.restart().await;
    let events = rest.events(&ben, &group).await;
    assert!(events.iter().any(|event| event["body"] == "acked before"), "{point}: {events:?}");
    chat_works(&server, &ada, &ben).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_on_the_way_of_a_message_ends_the_process() {
    for point in ["writer", "router", "hub"] {
        ends_the_process(point, async |server, _, ada, group| {
            let (mut ws, _) = Ws::signed_in(server, Encoding::Json, ada).await;
            ws.send(&send(group, "one more")).await;
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_a_part_that_works_by_itself_ends_the_process() {
    for point in ["receipts", "presence", "identity"] {
        ends_the_process(point, async |_, _, _, _| {}).await;
    }
}

/// One client's request brings it about, but what it was changing is everybody's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_what_clients_share_ends_the_process_whoever_caused_it() {
    ends_the_process("router", async |_, rest, ada, _| {
        let body = json!({ "kind": "group", "name": "one more" });
        // The answer does not come: the process is gone.
        let request = rest.request(Method::POST, "/v1/conversations").bearer_auth(&ada.access).json(&body);
        request.send().await.expect_err("the process is gone");
    })
    .await;
}
