//! Settings of a real server, each changed so that something else happens. `tests/tidy/settings.rs` names the
//! test for every key.

use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use crate::support::client::Ws;
use crate::support::rest::{Account, Rest};
use crate::support::server::Server;
use crate::support::{DEADLINE, Encoding, now, until, uuid};

/// A server with these settings, written as `section.key`.
async fn serve(settings: &[(&str, &str)]) -> (Server, Rest) {
    let name = |key: &str| format!("TIDINGS__{}", key.replace('.', "__").to_uppercase());
    let named: Vec<_> = settings.iter().map(|(key, value)| (name(key), *value)).collect();
    let env: Vec<_> = named.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let server = Server::start(&env).await;
    let rest = Rest::new(&server);
    (server, rest)
}

fn send(conversation: &str, body: &str) -> Value {
    json!({ "type": "send", "id": uuid(), "conversation": conversation, "client_id": uuid(), "body": body })
}

fn with(mut frame: Value, field: &str, value: Value) -> Value {
    frame[field] = value;
    frame
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_request_may_hold_is_what_was_set() {
    let limits = [
        ("limits.body_bytes", "10"),
        ("limits.data_bytes", "24"),
        ("limits.frame_bytes", "4096"),
        ("limits.group_members", "2"),
        ("limits.history_page", "2"),
        ("limits.sync_events", "3"),
        ("limits.sync_ranges", "1"),
        ("limits.watch_users", "1"),
        ("limits.mentions", "1"),
        ("limits.attachments", "1"),
    ];
    let settings = [
        &limits[..],
        &[
            ("auth.password_min_bytes", "12"),
            ("gateway.outbox_bytes", "8192"),
            ("gateway.lag_resume_bytes", "0"),
        ],
    ]
    .concat();
    let (server, rest) = serve(&settings).await;
    let (ada, ben, cid) = (rest.guest("Ada").await, rest.guest("Ben").await, rest.guest("Cid").await);
    let room = rest.conversation(&ada, "group", &[&ben]).await;
    let (mut ws, welcome) = Ws::signed_in(&server, Encoding::Json, &ada).await;
    for (key, value) in limits {
        let name = key.trim_start_matches("limits.");
        assert_eq!(welcome["limits"][name].to_string(), value, "{key} is told");
    }
    let hi = || send(&room, "hi");
    let attachment = json!({ "u": 1 });
    let range = json!({ "conversation": room, "after": 0 });
    for (what, fits, too_much) in [
        ("body", hi(), send(&room, "12345678901")),
        (
            "data",
            with(hi(), "data", json!({ "k": "v" })),
            with(hi(), "data", json!({ "k": "vvvvvvvvvvvvvvvvvvvvvv" })),
        ),
        (
            "mentions",
            with(hi(), "mentions", json!([ben.id])),
            with(hi(), "mentions", json!([ben.id, cid.id])),
        ),
        (
            "attachments",
            with(hi(), "attachments", json!([attachment])),
            with(hi(), "attachments", json!([attachment, attachment])),
        ),
        (
            "ranges",
            json!({ "type": "sync", "id": "a", "ranges": [range] }),
            json!({ "type": "sync", "id": "b", "ranges": [range, range] }),
        ),
        (
            "watched users",
            json!({ "type": "watch", "id": "c", "users": [ben.id] }),
            json!({ "type": "watch", "id": "d", "users": [ben.id, cid.id] }),
        ),
    ] {
        let answer = ws.ask(&fits).await;
        assert_ne!(answer["type"], "error", "{what}: {answer}");
        let answer = ws.ask(&too_much).await;
        assert_eq!(answer["type"], "error", "{what}: {answer}");
        assert!(["too_large", "invalid"].iter().any(|code| answer["code"] == *code), "{what}: {answer}");
    }
    ws.send(&json!({ "type": "sync", "id": "e", "ranges": [range] })).await;
    let part = ws.expect("events").await;
    assert_eq!(part["events"].as_array().map(Vec::len), Some(3), "{part}");
    let path = format!("/v1/conversations/{room}/messages?limit=2");
    let page = rest.call(Method::GET, &path, Some(&ada.access), None).await.ok();
    assert_eq!(page["messages"].as_array().map(Vec::len), Some(2), "{page}");
    let path = format!("/v1/conversations/{room}/messages?limit=3");
    let page = rest.call(Method::GET, &path, Some(&ada.access), None).await;
    assert!(page.status == 422 || page.body["messages"].as_array().map(Vec::len) == Some(2), "{}", page.text);
    let group = json!({ "kind": "group", "name": "three", "client_id": uuid(), "members": [ben.id, cid.id] });
    let refused = rest.call(Method::POST, "/v1/conversations", Some(&ada.access), Some(&group)).await;
    assert!([413, 422].contains(&refused.status.as_u16()), "{}", refused.text);
    let weak = json!({ "username": "dora", "password": "12345678901" });
    assert_eq!(rest.call(Method::POST, "/v1/accounts", None, Some(&weak)).await.status, 422);
    let strong = json!({ "username": "dora", "password": "123456789012" });
    assert_eq!(rest.call(Method::POST, "/v1/accounts", None, Some(&strong)).await.status, 201);
    ws.send_message(Message::text("x".repeat(4_097))).await;
    assert_eq!(ws.closed().await, Some(1009));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_conversations_and_added_people_as_was_set() {
    let (_server, rest) = serve(&[("limits.conversations", "2"), ("limits.invitations_per_day", "2")]).await;
    let [ada, ben, cid] = [rest.guest("Ada").await, rest.guest("Ben").await, rest.guest("Cid").await];
    let room = rest.conversation(&ada, "group", &[&ben]).await;
    let (path, ada_s) = (format!("/v1/conversations/{room}/members/{}", cid.id), Some(ada.access.as_str()));
    assert_eq!(rest.call(Method::PUT, &path, ada_s, None).await.status, 201);
    let group = json!({ "kind": "group", "members": [ben.id] });
    let third = rest.call(Method::POST, "/v1/conversations", ada_s, Some(&group)).await;
    assert_eq!((third.status.as_u16(), &third.body["code"]), (413, &json!("too_large")), "{}", third.text);
    assert_eq!(third.body["definite"], true);
    rest.conversation(&ada, "channel", &[]).await;
    let channel = json!({ "kind": "channel" });
    let third = rest.call(Method::POST, "/v1/conversations", ada_s, Some(&channel)).await;
    assert_eq!((third.status.as_u16(), &third.body["code"]), (413, &json!("too_large")), "{}", third.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_as_fast_as_was_set() {
    let (server, rest) = serve(&[
        ("limits.sends_per_second", "1"),
        ("limits.send_burst", "3"),
        ("limits.requests_per_second", "1"),
        ("limits.request_burst", "5"),
        ("gateway.connections_per_user", "1"),
        ("gateway.malformed_per_minute", "1"),
        ("server.workers", "1"),
    ])
    .await;
    let (ada, ben) = (rest.guest("Ada").await, rest.guest("Ben").await);
    let room = rest.conversation(&ada, "group", &[&ben]).await;
    let (mut ws, _) = Ws::signed_in(&server, Encoding::Json, &ada).await;
    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.push(ws.ask(&send(&room, "hi")).await);
    }
    let acks = answers.iter().take_while(|answer| answer["type"] == "ack").count();
    assert!((3..5).contains(&acks), "{answers:?}");
    assert_eq!(answers[acks]["code"], "rate_limited", "{answers:?}");
    let (mut second, mut refused) = (ada.clone(), 0);
    second.access = ben.access.clone();
    for _ in 0..8 {
        let answer = rest.call(Method::GET, "/v1/me", Some(&second.access), None).await;
        refused += usize::from(answer.status == 429);
    }
    assert!((1..=3).contains(&refused), "{refused} of 8 were refused");

    // One connection of a user, on the one worker.
    let mut one_more = Ws::open(&server, Encoding::Json).await;
    one_more.send(&json!({ "type": "hello", "token": ada.access })).await;
    assert_eq!(one_more.closed().await, Some(4429));
    logged(&server, "starting 1 workers").await;

    for _ in 0..2 {
        ws.send_message(Message::text("no frame")).await;
    }
    assert_eq!(ws.closed().await, Some(4400));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_given_the_time_that_was_set() {
    let (server, rest) = serve(&[
        ("gateway.hello_timeout_ms", "300"),
        ("gateway.heartbeat_ms", "1000"),
        ("gateway.write_deadline_ms", "1500"),
        ("gateway.token_warning_ms", "8500"),
        ("auth.access_token_s", "10"),
    ])
    .await;
    let mut silent = Ws::open(&server, Encoding::Json).await;
    let began = now();
    assert_eq!(silent.closed().await, Some(4408), "no hello");
    assert!(began.elapsed() < Duration::from_secs(4), "the default is 5 s");

    let ada = rest.guest("Ada").await;
    let (mut ws, welcome) = Ws::signed_in(&server, Encoding::Json, &ada).await;
    assert_eq!(welcome["heartbeat_ms"], 1_000);
    let began = now();
    ws.expect("token_expiring").await;
    assert!(began.elapsed() < Duration::from_secs(6), "the default is a minute before the end");
    assert_eq!(ws.closed().await, Some(4401), "the token ended after ten seconds");

    // Nothing reads from this one, so nothing answers the pings.
    let ben = rest.guest("Ben").await;
    let (not_reading, _) = Ws::signed_in(&server, Encoding::Json, &ben).await;
    let ended = async || (rest.metric("tidings_closes_total{code=\"4408\"}").await >= 2.0).then_some(());
    until("the heartbeat ends it", DEADLINE, ended).await;
    drop(not_reading);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_takes_nothing_is_cut_off_after_the_time_that_was_set() {
    let (server, rest) = serve(&[
        ("gateway.write_deadline_ms", "300"),
        ("gateway.outbox_bytes", "4000000"),
        ("limits.body_bytes", "1000000"),
        ("limits.frame_bytes", "1100000"),
        ("limits.sends_per_second", "100000"),
        ("limits.send_burst", "100000"),
    ])
    .await;
    let (ada, ben) = (rest.guest("Ada").await, rest.guest("Ben").await);
    let room = rest.conversation(&ada, "group", &[&ben]).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let stream = socket.connect(server.addr()).await.unwrap();
    let mut stuck = Ws::over(stream, &server, Encoding::Json).await;
    stuck.send(&json!({ "type": "hello", "token": ben.access })).await;
    stuck.expect("welcome").await;
    let (mut sender, _) = Ws::signed_in(&server, Encoding::Json, &ada).await;
    let began = now();
    while rest.metric("tidings_closes_total{code=\"4408\"}").await < 1.0 {
        sender.ask(&send(&room, &"x".repeat(1_000_000))).await;
        assert!(began.elapsed() < DEADLINE, "the reader is still there");
    }
    drop(stuck);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_say_what_was_set() {
    let (server, rest) = serve(&[
        ("auth.issuer", "chat.example"),
        ("auth.audience", "game.example"),
        ("auth.sign_ups", "guests"),
    ])
    .await;
    let ada = rest.guest("Ada").await;
    let claims = claims(&ada);
    assert_eq!(
        (&claims["iss"], &claims["aud"]),
        (&json!("chat.example"), &json!("game.example")),
        "{claims}"
    );
    let account = json!({ "username": "ada", "password": "long enough" });
    assert_eq!(rest.call(Method::POST, "/v1/accounts", None, Some(&account)).await.status, 403);
    drop(server);
}

fn claims(account: &Account) -> Value {
    let payload = account.access.split('.').nth(1).expect("a JWT");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browsers_are_let_in_from_where_was_set() {
    let (server, rest) = serve(&[
        ("server.public_url", "https://chat.example"),
        ("gateway.allowed_origins", "https://game.example"),
    ])
    .await;
    for (origin, welcome) in
        [("https://chat.example", true), ("https://game.example", true), ("https://evil.example", false)]
    {
        let opened = Ws::open_with(&server, Encoding::Json, &[("origin", origin)]).await;
        assert_eq!(opened.is_ok(), welcome, "{origin}");
    }
    drop(rest);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_are_hashed_as_was_set() {
    let (server, rest) = serve(&[("auth.argon2_memory_kib", "24"), ("auth.argon2_iterations", "3")]).await;
    rest.account("ada", "long enough").await;
    let mut kept = Vec::new();
    for file in ["tidings.db", "tidings.db-wal"] {
        kept.extend(std::fs::read(server.data().join(file)).unwrap_or_default());
    }
    let wanted = b"$m=24,t=3,";
    assert!(kept.windows(wanted.len()).any(|bytes| bytes == wanted), "no hash with these parameters is kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_and_metrics_are_as_was_set() {
    let (server, rest) = serve(&[
        ("telemetry.log_format", "json"),
        ("telemetry.log_filter", "info"),
        ("telemetry.metrics", "false"),
        ("receipts.flush_ms", "1"),
    ])
    .await;
    let page = rest.internal("/metrics").await;
    assert_eq!((page.status.as_u16(), &page.body["code"]), (404, &json!("not_found")), "{}", page.text);
    logged(&server, "\"level\":\"INFO\"").await;
    let log = server.log();
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert!(!lines.is_empty(), "one object per line: {log}");
    assert!(lines.iter().all(|line| line["level"] != "DEBUG"), "{log}");
    let (chatty, _) = serve(&[("telemetry.log_filter", "trace")]).await;
    logged(&chatty, "TRACE").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_connections_are_served_as_was_set() {
    // A request that does not come to its end is answered, and its connection closed.
    let (server, _) = serve(&[("server.request_timeout_ms", "300")]).await;
    let mut slow = TcpStream::connect(server.addr()).await.unwrap();
    slow.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    let answer = ended(&mut slow).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");

    // One that idles is closed.
    let (server, _) = serve(&[("server.keep_alive_ms", "300")]).await;
    let mut idle = TcpStream::connect(server.addr()).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let answer = ended(&mut idle).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    // One connection takes the only place: a second waits until it goes.
    let (server, _) = serve(&[("server.max_connections", "1"), ("server.workers", "1")]).await;
    let mut first = asking(&server).await;
    first.read_exact(&mut [0; 12]).await.unwrap();
    let second = asking(&server).await;
    assert!(timeout(Duration::from_millis(500), second.readable()).await.is_err(), "it is served");
    drop(first);
    timeout(DEADLINE, second.readable()).await.expect("it is served now").unwrap();
}

/// A connection that has asked for something and stays open.
async fn asking(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(server.addr()).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    stream
}

/// All that comes until the server closes the connection.
async fn ended(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    timeout(DEADLINE, stream.read_to_end(&mut text)).await.expect("it is closed in time").unwrap();
    String::from_utf8_lossy(&text).into_owned()
}

/// Waits until the server has written this to its log.
async fn logged(server: &Server, text: &str) {
    until(text, DEADLINE, async || server.log().contains(text).then_some(())).await;
}

/// What `tidings serve` says when it does not start with this setting.
async fn refusal(setting: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_tidings"));
    command.args(["serve", "--set", "server.listen=127.0.0.1:0", "--set", setting]);
    command.arg("--data-dir").arg(folder.path());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = timeout(DEADLINE, command.output()).await.expect("it ends by itself").unwrap();
    assert!(!output.status.success(), "it started");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[tokio::test]
async fn a_role_that_does_nothing_stops_the_start() {
    for role in ["push", "webhooks", "gatewya"] {
        let said = refusal(&format!("server.roles={role}")).await;
        assert!(said.contains("server.roles") && said.contains("relay"), "{role}: {said}");
    }
    let said = refusal("server.roles=api").await;
    assert!(said.contains("one process's own"), "an embedded database is served whole: {said}");
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = taken.local_addr().unwrap();
    let said = refusal(&format!("server.listen={address}")).await;
    assert!(said.contains(&address.to_string()), "{said}");
}
