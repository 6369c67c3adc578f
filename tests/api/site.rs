//! The web client, cross-origin requests, and the calls of monitors.

use serde_json::{Value, json};

use crate::support::{Answer, World};

#[actix_web::test]
async fn the_web_client_is_served_with_a_policy_and_revalidated() {
    let world = World::new().await;
    let server = world.serve().await;
    let page = server.call(None, "GET", "/", Value::Null).await;
    assert_eq!(page.status, 200, "{}", page.text);
    assert!(page.headers["content-type"].to_str().is_ok_and(|kind| kind.starts_with("text/html")));
    assert!(
        page.headers["content-security-policy"]
            .to_str()
            .is_ok_and(|policy| policy.contains("default-src 'self'"))
    );
    assert_eq!(page.headers["x-content-type-options"], "nosniff");
    assert_eq!(page.headers["cache-control"], "no-cache");
    let etag = page.headers["etag"].to_str().expect("text").to_owned();
    for (given, status) in [(etag.clone(), 304), (format!("\"x\", W/{etag}"), 304), ("\"x\"".to_owned(), 200)]
    {
        let again = Answer::of(server.request("GET", "/").header("if-none-match", given)).await;
        assert_eq!(again.status, status);
        assert_eq!(again.text.is_empty(), status == 304);
    }
    let script = server.call(None, "GET", "/app.js", Value::Null).await;
    assert!(
        script.headers["content-type"].to_str().is_ok_and(|kind| kind.contains("javascript")),
        "{:?}",
        script.headers
    );
    server.call(None, "DELETE", "/app.js", Value::Null).await.refused(405, "bad_frame");
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
    for path in
        ["/docs", "/docs/", "/docs/protocol", "/docs/clients/js", "/docs/config/default.toml", "/docs/adr"]
    {
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
