//! The web client, cross-origin requests, and the calls of monitors.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{Answer, Server, World};

/// What the page names: the values of `href` and `src`, and the map of its modules.
fn named(page: &str) -> (Vec<String>, BTreeMap<String, String>, String) {
    let of = |attribute: &str| -> Vec<String> {
        let begin = format!("{attribute}=\"/");
        let ends = page.split(&begin).skip(1).filter_map(|rest| rest.split('"').next());
        ends.map(|path| format!("/{path}")).collect()
    };
    let map = within(page, "<script type=\"importmap\">", "</script>");
    let modules: Value = serde_json::from_str(&map).expect("JSON");
    let modules = serde_json::from_value(modules["imports"].clone()).expect("names");
    ([of("href"), of("src")].concat(), modules, map)
}

fn within(page: &str, begin: &str, end: &str) -> String {
    let text = page.split(begin).nth(1).and_then(|rest| rest.split(end).next());
    text.unwrap_or_else(|| panic!("there is no {begin}")).to_owned()
}

async fn get(server: &Server, path: &str, accept: &str) -> (u16, HeaderMap, Vec<u8>) {
    // This client decodes nothing by itself.
    let answer =
        server.request("GET", path).header("accept-encoding", accept).send().await.expect("an answer");
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    (status, headers, answer.bytes().await.expect("a body").to_vec())
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).map(|value| value.to_str().expect("text")).unwrap_or_default()
}

#[actix_web::test]
async fn the_page_is_asked_for_each_time_and_what_it_names_is_kept_for_good() {
    let world = World::new().await;
    let server = world.serve().await;
    let (status, headers, page) = get(&server, "/", "identity").await;
    assert_eq!((status, text(&headers, "cache-control")), (200, "no-cache"));
    assert!(text(&headers, "content-type").starts_with("text/html"));
    assert_eq!(text(&headers, "x-content-type-options"), "nosniff");
    let page = std::str::from_utf8(&page).expect("UTF-8");
    let (paths, modules, map) = named(page);
    let styles = within(page, "<style>", "</style>");
    // The only script and the only styles that stand in the page are named by their hashes.
    let policy = text(&headers, "content-security-policy");
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
    assert!(policy.contains(&format!("script-src 'self' 'sha256-{}';", hash(&map))), "{policy}");
    assert!(policy.contains(&format!("style-src 'sha256-{}';", hash(&styles))), "{policy}");
    for part in [
        "default-src 'none';",
        "connect-src 'self';",
        "form-action 'none'",
        "base-uri 'none'",
        "object-src 'none'",
        "frame-ancestors 'none'",
        "trusted-types 'none'",
    ] {
        assert!(policy.contains(part), "{part} is not in {policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains("ws") && !policy.contains('*'), "{policy}");

    assert!(modules.len() > 10 && modules["/tidings.js"].starts_with("/tidings-"), "{modules:?}");
    // What the first screen needs is named: the browser need not find it in one module after the other.
    for (name, path) in &modules {
        let first = ["/app.js", "/tidings.js", "/ui/auth.js", "/ui/dom.js"].contains(&name.as_str());
        let later = ["/ui/shell.js", "/ui/thread.js", "/vendor/lean-qr.js"].contains(&name.as_str());
        assert!(paths.contains(path) || !first, "{path} is not loaded at once");
        assert!(!paths.contains(path) || !later, "{path} is loaded before it is needed");
    }
    assert!(paths.iter().any(|path| path.starts_with("/icon-")), "{paths:?}");
    let all: BTreeSet<_> = paths.into_iter().chain(modules.into_values()).collect();
    for path in all {
        let (status, headers, plain) = get(&server, &path, "").await;
        assert_eq!(
            (status, text(&headers, "cache-control")),
            (200, "public, max-age=31536000, immutable"),
            "{path}"
        );
        assert_eq!(text(&headers, "vary"), "accept-encoding");
        assert!(!headers.contains_key("content-encoding"));
        let (_, packed_headers, packed) = get(&server, &path, "br, gzip;q=0.5").await;
        if text(&packed_headers, "content-encoding") == "gzip" {
            let mut unpacked = Vec::new();
            GzDecoder::new(&packed[..]).read_to_end(&mut unpacked).expect("gzip");
            assert!(unpacked == plain && packed.len() < plain.len(), "{path}");
            assert_ne!(text(&headers, "etag"), text(&packed_headers, "etag"), "{path}");
        } else {
            assert!(plain.len() < 1_000, "{path} is worth packing");
        }
        let (_, refused, _) = get(&server, &path, "gzip;q=0, *").await;
        assert!(!refused.contains_key("content-encoding"), "{path}");
        let etag = text(&packed_headers, "etag").to_owned();
        let again =
            server.request("GET", &path).header("accept-encoding", "gzip").header("if-none-match", etag);
        assert_eq!(Answer::of(again).await.status, 304, "{path}");
    }
}

#[actix_web::test]
async fn names_without_a_hash_or_with_anothers_are_answered_and_asked_for_again() {
    let world = World::new().await;
    let server = world.serve().await;
    let (_, _, page) = get(&server, "/index.html", "identity").await;
    let (_, modules, _) = named(std::str::from_utf8(&page).expect("UTF-8"));
    let (_, _, kept) = get(&server, &modules["/ui/dom.js"], "").await;
    // Of another release that runs beside this one, during an update.
    for path in ["/ui/dom.js", "/ui/dom-0123456789abcdef.js"] {
        let (status, headers, plain) = get(&server, path, "").await;
        assert_eq!((status, text(&headers, "cache-control")), (200, "no-cache"), "{path}");
        assert!(text(&headers, "content-type").contains("javascript") && plain == kept, "{path}");
    }
    for nothing in [
        "/ui/none-0123456789abcdef.js",
        "/ui/dom-0123456789ABCDEF.js",
        "/ui",
        "/ui/",
        "/../Cargo.toml",
        "/%2e%2e/Cargo.toml",
        "/.gitignore",
        "/clients/js/tidings.js",
    ] {
        server.call(None, "GET", nothing, Value::Null).await.refused(404, "not_found");
    }
    server.call(None, "DELETE", "/app.js", Value::Null).await.refused(405, "bad_frame");
    let etag =
        server.call(None, "GET", "/", Value::Null).await.headers["etag"].to_str().expect("text").to_owned();
    for (given, status) in [(etag.clone(), 304), (format!("\"x\", W/{etag}"), 304), ("\"x\"".to_owned(), 200)]
    {
        let again = Answer::of(server.request("GET", "/").header("if-none-match", given)).await;
        assert_eq!((again.status.as_u16(), again.text.is_empty()), (status, status == 304));
    }
}

#[actix_web::test]
async fn every_answer_says_what_browsers_may_do_with_it() {
    let mut world = World::new().await;
    for https in [false, true] {
        world.https = https;
        let server = world.serve().await;
        for (method, path, status) in [
            ("GET", "/", 200),
            ("GET", "/docs", 200),
            ("GET", "/tidings.js", 200),
            ("GET", "/openapi.json", 200),
            ("GET", "/healthz", 200),
            ("GET", "/v1/server", 200),
            ("GET", "/v1/me", 401),
            ("GET", "/nowhere", 404),
            ("DELETE", "/app.js", 405),
            ("POST", "/v1/tokens", 400),
        ] {
            let answer = server.call(None, method, path, json!([1])).await;
            assert_eq!(answer.status, status, "{path}");
            for (name, wanted) in [
                ("x-content-type-options", "nosniff"),
                ("referrer-policy", "no-referrer"),
                ("x-frame-options", "DENY"),
                ("cross-origin-opener-policy", "same-origin"),
                ("cross-origin-resource-policy", "same-origin"),
            ] {
                assert_eq!(text(&answer.headers, name), wanted, "{name} of {path}");
            }
            assert!(text(&answer.headers, "permissions-policy").contains("camera=(), "), "{path}");
            let policy = text(&answer.headers, "content-security-policy");
            for part in
                ["default-src 'none'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"]
            {
                assert!(policy.contains(part), "{path}: {policy}");
            }
            let strict = text(&answer.headers, "strict-transport-security");
            assert_eq!(strict, if https { "max-age=31536000" } else { "" }, "{path}");
        }
    }
}

#[actix_web::test]
async fn only_listed_origins_get_cors_headers() {
    let world = World::new().await;
    let server = world.serve().await;
    let from = async |origin: &str, method: &str| {
        let request = server.request(method, "/v1/accounts/guest").header("origin", origin);
        Answer::of(request.header("access-control-request-method", "POST").json(&json!({}))).await
    };
    let preflight = from("https://game.example", "OPTIONS").await;
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.headers["access-control-allow-origin"], "https://game.example");
    assert!(
        preflight.headers["access-control-allow-headers"]
            .to_str()
            .is_ok_and(|all| all.contains("idempotency-key"))
    );
    let made = from("https://game.example", "POST").await;
    assert_eq!(made.headers["access-control-allow-origin"], "https://game.example");
    made.wants(201);
    for (method, status) in [("OPTIONS", 405), ("POST", 201)] {
        let other = from("https://evil.example", method).await;
        assert_eq!(other.status, status);
        assert!(!other.headers.contains_key("access-control-allow-origin"));
    }
}

#[actix_web::test]
async fn monitors_are_answered_without_a_token() {
    let world = World::new().await;
    let server = world.serve().await;
    assert_eq!(server.call(None, "GET", "/healthz", Value::Null).await.status, 200);
    let ready = server.call(None, "GET", "/readyz", Value::Null).await;
    assert_eq!((ready.status.as_u16(), ready.text.as_str()), (200, "ready\n"));
    // Details are for operators, at the internal address.
    assert_eq!(server.call(None, "GET", "/metrics", Value::Null).await.status, 404);
    server.readiness.drain();
    let draining = server.call(None, "GET", "/readyz", Value::Null).await;
    assert!(draining.headers.contains_key("retry-after"));
    assert_eq!((draining.status.as_u16(), draining.text.as_str()), (503, "unready\n"));
    assert_eq!(server.call(None, "GET", "/healthz", Value::Null).await.status, 200, "alive while draining");
}

#[actix_web::test]
async fn the_documentation_is_served_with_a_policy_of_its_own() {
    let world = World::new().await;
    let server = world.serve().await;
    for path in [
        "/docs",
        "/docs/",
        "/docs/protocol",
        "/docs/clients/js",
        "/docs/config/default.toml",
        "/docs/adr",
        "/docs/contributing",
        "/docs/changelog",
        "/docs/security",
        "/docs/loadtests",
    ] {
        let page = server.call(None, "GET", path, Value::Null).await;
        assert_eq!(page.status, 200, "{path}");
        assert_eq!(page.headers["content-type"], "text/html; charset=utf-8", "{path}");
        assert!(page.headers["content-security-policy"].to_str().is_ok_and(|policy| {
            policy.contains("default-src 'none'") && policy.contains("style-src 'self'")
        }));
        let etag = page.headers["etag"].to_str().expect("text").to_owned();
        let again = Answer::of(server.request("GET", path).header("if-none-match", etag)).await;
        assert_eq!(again.status, 304, "{path}");
    }
    let style = server.call(None, "GET", "/docs/style.css", Value::Null).await;
    assert_eq!(style.headers["content-type"], "text/css; charset=utf-8");
    let client = server.call(None, "GET", "/tidings.js", Value::Null).await;
    assert!(client.text.contains("export class TidingsClient"));
    for path in
        ["/docs/nowhere", "/docs/PROTOCOL.md", "/docsy", "/docs/clients/js/package.json", "/package.json"]
    {
        assert_eq!(server.call(None, "GET", path, Value::Null).await.status, 404, "{path}");
    }
    server.call(None, "POST", "/docs", Value::Null).await.refused(405, "bad_frame");
}
