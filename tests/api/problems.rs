//! Every error is a problem document.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{Answer, World};

#[actix_web::test]
async fn unknown_routes_and_methods() {
    let world = World::new().await;
    let server = world.serve().await;
    let ada = server.guest().await;
    for path in [
        "/v1",
        "/v1/",
        "/v1/nope",
        "/v1/me/nope",
        "/v2/me",
        "/v1/ME",
        "/v1//me",
        "/nope.html",
        "/..%2f..%2fetc",
    ] {
        server.get(&ada, path).await.refused(404, "not_found");
        server.call(None, "POST", path, json!({})).await.refused(404, "not_found");
    }
    for (method, path, allow) in [
        ("PUT", "/v1/me", "GET, HEAD, PATCH, DELETE"),
        ("GET", "/v1/accounts", "POST"),
        ("OPTIONS", "/v1/accounts", "POST"),
        ("POST", "/healthz", "GET, HEAD"),
        ("POST", "/v1/blocks/x", "GET, HEAD, PUT, DELETE"),
    ] {
        let answer = server.call(None, method, path, Value::Null).await;
        assert_eq!(answer.headers["allow"], allow, "{method} {path}");
        answer.refused(405, "bad_frame");
    }
    for path in
        ["/v1/users/nobody", "/v1/conversations/c_1", "/v1/conversations/%00/members", "/v1/users/%ff"]
    {
        server.get(&ada, path).await.refused(404, "not_found");
    }
    let head = server.call(Some(&ada), "HEAD", "/v1/me", Value::Null).await;
    assert_eq!((head.status.as_u16(), head.text.as_str()), (200, ""));
}

#[actix_web::test]
async fn bodies_that_are_none() {
    let world = World::new().await;
    let server = world.serve().await;
    let post = async |kind: &str, body: Vec<u8>| {
        Answer::of(server.request("POST", "/v1/accounts/guest").header("content-type", kind).body(body)).await
    };
    let json_kind = "application/json";
    post("text/plain", b"{}".to_vec()).await.refused(415, "bad_frame");
    post("application/json; charset=latin1", b"{}".to_vec()).await.refused(415, "bad_frame");
    post("application/json; charset=UTF-8", b"{}".to_vec()).await.wants(201);
    Answer::of(server.request("POST", "/v1/accounts/guest")).await.refused(415, "bad_frame");
    let packed = server.request("POST", "/v1/accounts/guest").header("content-encoding", "gzip");
    Answer::of(packed.header("content-type", json_kind).body("{}")).await.refused(415, "bad_frame");
    for malformed in
        [&b"{"[..], b"[]", b"7", b"", b"{} {}", b"{\"a\":\"\xff\"}", "[".repeat(20_000).as_bytes()]
    {
        post(json_kind, malformed.to_vec()).await.refused(400, "bad_frame");
    }
    let large = format!("{{\"pad\":\"{}\"}}", "x".repeat(64 * 1024));
    post(json_kind, large.into_bytes()).await.refused(413, "too_large");
    let detail = post(json_kind, br#"{"device_id":7}"#.to_vec()).await.refused(422, "invalid");
    assert!(detail.starts_with("device_id: "), "{detail}");
    let ada = server.guest().await;
    let bad = json!({ "kind": "group", "members": [ada.id, "x"] });
    let detail = server.call(Some(&ada), "POST", "/v1/conversations", bad).await.refused(422, "invalid");
    assert!(detail.starts_with("members[1]: "), "{detail}");
}

#[actix_web::test]
async fn tokens_that_are_none() {
    let world = World::new().await;
    let server = world.serve().await;
    let ada = server.guest().await;
    for value in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer nonsense",
        "Basic YTpi",
        "Token x",
        &format!("Bearer {}x", ada.access),
    ] {
        let answer = Answer::of(server.request("GET", "/v1/me").header("authorization", value)).await;
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
        answer.refused(401, "unauthenticated");
    }
    let lower = server.request("GET", "/v1/me").header("authorization", format!("bearer {}", ada.access));
    Answer::of(lower).await.wants(200);
    // The token is judged before the body is.
    let broken = server.request("PATCH", "/v1/me").header("content-type", "application/json").body("{");
    Answer::of(broken).await.refused(401, "unauthenticated");
}

#[actix_web::test]
async fn pages_that_are_none() {
    let world = World::new().await;
    let server = world.serve().await;
    let ada = server.guest().await;
    let group = server.group(&ada, &[]).await;
    for list in ["conversations".to_owned(), format!("conversations/{group}/members")] {
        for query in ["limit=0", "limit=-1", "limit=x", "cursor=nonsense", "cursor=AAAA", "cursor="] {
            server.get(&ada, &format!("/v1/{list}?{query}")).await.refused(422, "invalid");
        }
        server.get(&ada, &format!("/v1/{list}?limit=1000000000&unknown=1")).await.wants(200);
    }
}

#[actix_web::test]
async fn request_ids_are_given_back_when_they_are_safe() {
    let world = World::new().await;
    let server = world.serve().await;
    let id = async |given: &str| {
        let answer = Answer::of(server.request("GET", "/healthz").header("x-request-id", given)).await;
        answer.headers["x-request-id"].to_str().expect("text").to_owned()
    };
    assert_eq!(id("edge-7.abc_D").await, "edge-7.abc_D");
    assert_ne!(id("not safe\tat all").await, "not safe\tat all");
    assert_eq!(id(&"x".repeat(65)).await.len(), 32);
}

#[actix_web::test]
async fn too_many_requests_and_too_many_sends_are_counted_apart() {
    let mut world = World::new().await;
    world.per_second = (1, 1);
    let server = world.serve().await;
    let (ada, bob) = (server.guest().await, server.guest().await);
    let group = server.group(&ada, &[&bob]).await;
    // As many at once that a slow machine cannot stretch them over the seconds they would need.
    let sends = (0..50).map(|_| async {
        server.send_with(&ada, &group, &crate::support::uuid(), json!({ "body": "hi" })).await
    });
    let (passed, mut refused): (Vec<_>, Vec<_>) =
        join_all(sends).await.into_iter().partition(|answer| answer.status == 201);
    assert!(!passed.is_empty() && !refused.is_empty(), "{} passed", passed.len());
    refused.remove(0).refused(429, "rate_limited");
    server.get(&bob, "/v1/me").await.wants(200);
    let reads = join_all((0..50).map(|_| server.get(&bob, "/v1/me"))).await;
    let refused = reads.into_iter().find(|answer| answer.status != 200).expect("too many");
    refused.refused(429, "rate_limited");
    server.say(&bob, &group, "sends have a limit of their own").await;
}
