//! Admission: how often one address may connect, and how many hellos may be in progress at once.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::json;
use tokio::net::TcpListener;

use crate::support::client::{Incoming, Ws};
use crate::support::rest::{Answer, Rest};
use crate::support::server::Server;
use crate::support::{Encoding, now};

/// An upgrade by an HTTP client, which shows what a refusal says.
async fn connect_from(rest: &Rest, address: &str) -> Answer {
    let request = rest.request(Method::GET, "/v1/ws");
    let headers = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("x-forwarded-for", address),
    ];
    rest.finish(headers.into_iter().fold(request, |request, (name, value)| request.header(name, value))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_connects_only_so_often() {
    let server = Server::start(&[
        ("TIDINGS__GATEWAY__HELLOS_PER_IP_PER_SECOND", "1"),
        ("TIDINGS__GATEWAY__HELLO_BURST_PER_IP", "2"),
        ("TIDINGS__SERVER__TRUSTED_PROXIES", "127.0.0.1"),
    ])
    .await;
    let rest = Rest::new(&server);
    let ada = rest.guest("Ada").await;
    for _ in 0..2 {
        let headers = [("x-forwarded-for", "203.0.113.9")];
        Ws::open_with(&server, Encoding::Json, &headers).await.expect("within the burst");
    }
    let refused = connect_from(&rest, "203.0.113.9").await;
    assert_eq!(refused.status, 429, "{}", refused.text);
    assert_eq!(refused.content_type, "application/problem+json");
    assert_eq!(refused.body["code"], "rate_limited");
    let wait_ms = refused.body["retry_after_ms"].as_u64().expect("a wait");
    assert!(
        (1..=1_000).contains(&wait_ms) && refused.retry_after.as_deref() == Some("1"),
        "{}",
        refused.text
    );
    assert_eq!(rest.metric("tidings_upgrades_refused_total{reason=\"rate_limited\"}").await, 1.0);
    assert_eq!(rest.metric("tidings_rate_limited_total{what=\"hello\"}").await, 1.0);
    // Others are not concerned, and the wait that was told is enough.
    let other = [("x-forwarded-for", "203.0.113.10")];
    Ws::open_with(&server, Encoding::Json, &other).await.expect("another address");
    tokio::time::sleep(Duration::from_millis(wait_ms + 50)).await;
    let again = [("x-forwarded-for", "203.0.113.9")];
    let mut ws = Ws::open_with(&server, Encoding::Json, &again).await.expect("after the wait");
    ws.send(&json!({ "type": "hello", "token": ada.access })).await;
    ws.expect("welcome").await;
}

/// Sign-ups with these values of a header, one after the other: whether each passes the limit.
async fn pass(rest: &Rest, name: &str, values: &[&str]) -> Vec<bool> {
    let mut passed = Vec::new();
    for value in values {
        let request = rest.request(Method::POST, "/v1/accounts/guest").header(name, *value).json(&json!({}));
        let status = rest.finish(request).await.status;
        assert!(matches!(status.as_u16(), 201 | 429), "{status}");
        passed.push(status == 201);
    }
    passed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_is_whom_the_last_listed_proxy_names() {
    let one_each = ("TIDINGS__AUTH__SIGN_UPS_PER_IP_PER_MINUTE", "1");
    let listed = ("TIDINGS__SERVER__TRUSTED_PROXIES", "127.0.0.0/8,10.0.0.0/8");
    let chain = [
        "6.6.6.1, 203.0.113.9, 10.0.0.2",
        "6.6.6.2, 203.0.113.9, 10.0.0.2",
        "6.6.6.1, 203.0.113.8, 10.0.0.2",
    ];

    // Whoever is behind one proxy cannot name another address, a client inside the listed networks neither.
    let server = Server::start(&[one_each, listed]).await;
    let rest = Rest::new(&server);
    assert_eq!(pass(&rest, "x-forwarded-for", &chain).await, [true, false, false]);
    let own = ["6.6.6.1, 203.0.113.9", "6.6.6.2, 203.0.113.9", "6.6.6.2"];
    assert_eq!(pass(&rest, "x-forwarded-for", &own).await, [true, false, true]);
    let v6 = [
        "2001:db8::1",
        "2001:db8::2",
        "2001:db8:0:1::1",
        "2001:db8:0:2::1",
        "2001:db8:0:3::1",
        "2001:db8:0:4::1",
    ];
    assert_eq!(pass(&rest, "x-forwarded-for", &v6).await, [true, false, true, true, true, false]);
    let log = server.log();
    assert!(log.contains("server.proxy_hops"), "{log}");

    let server = Server::start(&[one_each, listed, ("TIDINGS__SERVER__PROXY_HOPS", "2")]).await;
    assert_eq!(pass(&Rest::new(&server), "x-forwarded-for", &chain).await, [true, false, true]);

    let server = Server::start(&[one_each, listed, ("TIDINGS__SERVER__PROXY_HEADER", "forwarded")]).await;
    let rest = Rest::new(&server);
    let elements = ["for=6.6.6.1, for=203.0.113.9", "for=6.6.6.2, for=203.0.113.9", "for=203.0.113.8"];
    assert_eq!(pass(&rest, "forwarded", &elements).await, [true, false, true]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn this_machine_has_the_limits_unless_it_is_exempt() {
    let one_each = ("TIDINGS__AUTH__SIGN_UPS_PER_IP_PER_MINUTE", "1");
    let server = Server::start(&[one_each, ("TIDINGS__SERVER__LOOPBACK_EXEMPT", "false")]).await;
    // Nobody is listed, so what the header says is worth nothing.
    assert_eq!(pass(&Rest::new(&server), "x-forwarded-for", &["6.6.6.1", "6.6.6.2"]).await, [true, false]);
    let server = Server::start(&[one_each, ("TIDINGS__SERVER__LOOPBACK_EXEMPT", "true")]).await;
    assert_eq!(pass(&Rest::new(&server), "x-forwarded-for", &["6.6.6.1", "6.6.6.2"]).await, [true, true]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_that_is_refused_says_what_browsers_may_do_with_the_answer() {
    let server = Server::start(&[("TIDINGS__SERVER__PUBLIC_URL", "https://chat.example")]).await;
    let rest = Rest::new(&server);
    let elsewhere = rest.request(Method::GET, "/v1/ws").header("origin", "https://evil.example");
    let upgrade = [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13")];
    let elsewhere = upgrade.into_iter().fold(elsewhere, |request, (name, value)| request.header(name, value));
    let elsewhere = elsewhere.header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    for (request, status) in [(elsewhere, 403), (rest.request(Method::GET, "/v1/ws"), 426)] {
        let refused = rest.finish(request).await;
        assert_eq!(refused.status, status, "{}", refused.text);
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("cross-origin-resource-policy", "same-origin"),
            ("strict-transport-security", "max-age=31536000"),
        ] {
            assert_eq!(refused.header(name), Some(value), "{status}: {name}");
        }
    }
}

/// A token of another issuer, whose keys cannot be had: checking it takes as long as they are waited for.
fn slow_token() -> String {
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{}", part(json!({ "alg": "ES256", "kid": "k" })), part(json!({})), "AAAA")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_so_many_hellos_are_under_way() {
    // It accepts and never answers, until it is dropped.
    let keys = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", keys.local_addr().unwrap());
    let server = Server::start(&[
        ("TIDINGS__GATEWAY__HELLOS_IN_FLIGHT", "1"),
        ("TIDINGS__AUTH__EXTERNAL__ISSUER", "https://issuer.example"),
        ("TIDINGS__AUTH__EXTERNAL__AUDIENCE", "tidings"),
        ("TIDINGS__AUTH__EXTERNAL__JWKS_URL", &url),
    ])
    .await;
    let rest = Rest::new(&server);
    let ada = rest.guest("Ada").await;
    let hello = json!({ "type": "hello", "token": ada.access });
    let (mut slow, mut waiting, mut third) = (
        Ws::open(&server, Encoding::Json).await,
        Ws::open(&server, Encoding::Json).await,
        Ws::open(&server, Encoding::Json).await,
    );
    slow.send(&json!({ "type": "hello", "token": slow_token() })).await;
    let (held, _) = keys.accept().await.expect("the keys are asked for");
    waiting.send(&hello).await;
    // The second waits for the one place, so the third is one too many and the door is shut; until it is,
    // connecting works.
    let began = now();
    while connect_from(&rest, "203.0.113.9").await.status != 503 {
        assert!(began.elapsed() < Duration::from_secs(3), "the door stays open");
    }
    let shut = connect_from(&rest, "203.0.113.9").await;
    assert_eq!(shut.body["code"], "overloaded", "{}", shut.text);
    assert!(shut.body["retry_after_ms"].as_u64().is_some_and(|wait_ms| (1_000..3_000).contains(&wait_ms)));
    assert!(shut.retry_after.is_some());
    third.send(&hello).await;
    let Incoming::Frame(error) = third.incoming().await else { panic!("an error comes before the close") };
    assert_eq!((&error["code"], &error["definite"]), (&json!("overloaded"), &json!(true)), "{error}");
    assert!(error["retry_after_ms"].as_u64().is_some_and(|wait_ms| wait_ms >= 1_000), "{error}");
    assert_eq!(third.closed().await, Some(1013));
    assert!(rest.metric("tidings_sheds_total{reason=\"hellos\"}").await >= 2.0);

    // The place is given on: the first fails, the second is welcome.
    drop((held, keys));
    assert!(matches!(slow.closed().await, Some(4401 | 1011)));
    waiting.expect("welcome").await;
    let (_, welcome) = Ws::signed_in(&server, Encoding::Msgpack, &ada).await;
    assert_eq!(welcome["user"], ada.id.as_str());
}
