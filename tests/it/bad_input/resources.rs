//! REST requests that name what does not exist or is not the caller's, set what they may not, or have wrong
//! fields.

use reqwest::Method;
use serde_json::{Value, json};

use super::rest::{Body, Request};
use super::world::World;

/// Things that are not there, or not one's own to see or change.
pub fn not_ones_own() -> Vec<Request> {
    let mut requests = Vec::new();
    let json = |text: &str| if text.is_empty() { Body::Empty } else { Body::Json(text.to_owned()) };
    let mut add = |method: &str, path: &str, body: &str, statuses, codes| {
        let request =
            Request::new(format!("{method} {path}"), method.parse().unwrap(), path, json(body), statuses);
        requests.push(request.header("Idempotency-Key", "$UUID").codes(codes));
    };
    for conversation in ["$FOREIGN", "$NOWHERE"] {
        let path = |rest: &str| format!("/v1/conversations/{conversation}{rest}");
        let gone: (&[u16], &[&str]) = (&[404], &["not_found"]);
        add("GET", &path(""), "", gone.0, gone.1);
        add("PATCH", &path(""), r#"{"name":"n"}"#, gone.0, gone.1);
        add("DELETE", &path(""), "", gone.0, gone.1);
        add("GET", &path("/members"), "", gone.0, gone.1);
        add("PUT", &path("/members/$ME"), "{}", gone.0, gone.1);
        add("PATCH", &path("/members/$ME"), r#"{"role":"owner"}"#, gone.0, gone.1);
        add("DELETE", &path("/members/$STRANGER"), "", gone.0, gone.1);
        add("GET", &path("/messages"), "", gone.0, gone.1);
        add("GET", &path("/events"), "", gone.0, gone.1);
        add("POST", &path("/messages"), r#"{"body":"b"}"#, gone.0, gone.1);
        add("PATCH", &path("/messages/$FOREIGN_SEQ"), r#"{"body":"b"}"#, gone.0, gone.1);
        add("DELETE", &path("/messages/$FOREIGN_SEQ"), "", gone.0, gone.1);
        add("PUT", &path("/messages/$FOREIGN_SEQ/reactions/x"), "", gone.0, gone.1);
        add("DELETE", &path("/messages/$FOREIGN_SEQ/reactions/x"), "", gone.0, gone.1);
        add("PUT", &path("/read"), r#"{"seq":1}"#, gone.0, gone.1);
    }
    let group = "/v1/conversations/$GROUP";
    for (method, rest, body) in [
        ("PATCH", "", r#"{"name":"mine now"}"#),
        ("DELETE", "", ""),
        ("PATCH", "/members/$ME", r#"{"role":"owner"}"#),
        ("PATCH", "/members/$OWNER", r#"{"role":"member"}"#),
        ("DELETE", "/members/$OWNER", ""),
        ("PUT", "/members/$STRANGER", "{}"),
        ("PATCH", "/messages/$THEIRS", r#"{"body":"mine now"}"#),
        ("DELETE", "/messages/$THEIRS", ""),
    ] {
        add(method, &format!("{group}{rest}"), body, &[403], &["forbidden"]);
    }
    for seq in ["0", "-1", "x", "1.5", "9007199254740993"] {
        add(
            "PATCH",
            &format!("{group}/messages/{seq}"),
            r#"{"body":"b"}"#,
            &[404, 422],
            &["not_found", "invalid"],
        );
        add("DELETE", &format!("{group}/messages/{seq}"), "", &[404, 422], &["not_found", "invalid"]);
        add("PUT", &format!("{group}/read"), &format!(r#"{{"seq":"{seq}"}}"#), &[422], &["invalid"]);
    }
    add("PATCH", &format!("{group}/messages/$FUTURE"), r#"{"body":"b"}"#, &[404], &["not_found"]);
    add("PATCH", &format!("{group}/messages/$ERASED"), r#"{"body":"b"}"#, &[404], &["not_found"]);
    for user in ["$NOBODY", "nobody", "$GROUP", "%00", "..%2f..%2fetc%2fpasswd", "u_'%20OR%201=1"] {
        add("GET", &format!("/v1/users/{user}"), "", &[404, 422], &["not_found", "invalid"]);
        add("PUT", &format!("/v1/blocks/{user}"), "", &[404, 422], &["not_found", "invalid"]);
    }
    for conversation in ["nowhere", "$ME", "%00", "..%2f..%2fetc%2fpasswd", "c_'%20OR%201=1"] {
        add("GET", &format!("/v1/conversations/{conversation}"), "", &[404, 422], &["not_found", "invalid"]);
    }
    for path in [
        "/v1",
        "/v1/",
        "/v1/nope",
        "/v1/me/nope",
        "/v2/me",
        "/v1/conversations/$GROUP/nope",
        "/v1/ME",
        "/v1//me",
    ] {
        add("GET", path, "", &[404], &["not_found"]);
    }
    requests
}

/// Bodies whose fields are wrong.
pub fn fields() -> Vec<Request> {
    let mut requests = Vec::new();
    let mut add = |method: Method, path: &str, body: &str, statuses, codes| {
        let name = format!("{method} {path} {body:.80}");
        let request = Request::new(name, method, path, Body::Json(body.to_owned()), statuses);
        requests.push(request.codes(codes).header("Idempotency-Key", "$UUID"));
    };
    let invalid: (&[u16], &[&str]) = (&[422], &["invalid"]);
    for (path, field, good) in [
        ("/v1/accounts", "username", r#""password":"canary password""#),
        ("/v1/me/claim", "username", r#""password":"canary password""#),
    ] {
        for value in ["null", "7", r#""""#, r#""a b""#, r#""a\u0000b""#, r#""<b>""#, r#"["a"]"#, r#"{}"#] {
            add(Method::POST, path, &format!(r#"{{"{field}":{value},{good}}}"#), invalid.0, invalid.1);
        }
        let long = format!(r#"{{"{field}":"{}",{good}}}"#, "n".repeat(1000));
        add(Method::POST, path, &long, &[413, 422], &["too_large", "invalid"]);
        add(Method::POST, path, &format!("{{{good}}}"), invalid.0, invalid.1);
        for password in ["null", "7", r#""""#, r#""short""#, r#"["a"]"#] {
            let body = format!(r#"{{"username":"somebody_new","password":{password}}}"#);
            add(Method::POST, path, &body, invalid.0, invalid.1);
        }
        add(Method::POST, path, r#"{"username":"somebody_new"}"#, invalid.0, invalid.1);
        let long = format!(r#"{{"username":"somebody_new","password":"{}"}}"#, "p".repeat(20_000));
        add(Method::POST, path, &long, &[413, 422], &["too_large", "invalid"]);
    }
    for value in ["7", r#""a\u0000b""#, "[]", r#"{"a":1}"#] {
        add(Method::PATCH, "/v1/me", &format!(r#"{{"display_name":{value}}}"#), invalid.0, invalid.1);
        add(
            Method::POST,
            "/v1/accounts/guest",
            &format!(r#"{{"display_name":{value}}}"#),
            invalid.0,
            invalid.1,
        );
        add(Method::POST, "/v1/accounts/guest", &format!(r#"{{"device_id":{value}}}"#), invalid.0, invalid.1);
    }
    for body in [
        "{}",
        r#"{"kind":null}"#,
        r#"{"kind":7}"#,
        r#"{"kind":"party"}"#,
        r#"{"kind":""}"#,
        r#"{"kind":"direct"}"#,
        r#"{"kind":"direct","members":["$OWNER","$STRANGER"]}"#,
        r#"{"kind":"group","members":"$OWNER"}"#,
        r#"{"kind":"group","members":[7]}"#,
        r#"{"kind":"group","name":7}"#,
        r#"{"kind":"group","name":"a\u0000b"}"#,
        r#"{"kind":"group","history":"some"}"#,
        r#"{"kind":"group","join":"maybe"}"#,
        r#"{"kind":"group","client_id":"no-uuid"}"#,
        r#"{"kind":"group","client_id":7}"#,
    ] {
        add(Method::POST, "/v1/conversations", body, invalid.0, invalid.1);
    }
    add(
        Method::POST,
        "/v1/conversations",
        r#"{"kind":"group","members":["$NOBODY"]}"#,
        &[404, 422],
        &["not_found", "invalid"],
    );
    for value in [
        r#"{"body":null}"#,
        r#"{"body":7}"#,
        r#"{"body":""}"#,
        r#"{"body":"a\u0000b"}"#,
        "{}",
        r#"{"data":[]}"#,
        r#"{"data":"x"}"#,
        r#"{"body":"b","reply_to":0}"#,
        r#"{"body":"b","reply_to":$FUTURE}"#,
        r#"{"body":"b","mentions":"$OWNER"}"#,
        r#"{"body":"b","mentions":[7]}"#,
        r#"{"body":"b","attachments":[7]}"#,
    ] {
        add(Method::POST, "/v1/conversations/$GROUP/messages", value, invalid.0, invalid.1);
    }
    for role in ["null", "7", r#""king""#, r#""""#] {
        let body = format!(r#"{{"role":{role}}}"#);
        add(
            Method::PATCH,
            "/v1/conversations/$GROUP/members/$OWNER",
            &body,
            &[403, 422],
            &["forbidden", "invalid"],
        );
    }
    add(Method::POST, "/v1/tokens/refresh", r#"{"refresh_token":"nonsense"}"#, &[401], &["unauthenticated"]);
    add(Method::POST, "/v1/tokens/refresh", r#"{"refresh_token":"$TOKEN"}"#, &[401], &["unauthenticated"]);
    add(Method::POST, "/v1/tokens/refresh", r#"{"refresh_token":7}"#, invalid.0, invalid.1);
    add(Method::POST, "/v1/tokens/refresh", "{}", invalid.0, invalid.1);
    requests
}

/// What a request that is let through must not have changed: fields that are not the caller's to set.
pub async fn mass_assignment(world: &World) -> u64 {
    let actor = &world.actors[0];
    let token = Some(actor.account.access.as_str());
    let call = |method: Method, path: &str, body: Value| {
        let path = path.to_owned();
        async move { world.rest.call(method, &path, token, Some(&body)).await.ok() }
    };
    let forged = json!({ "display_name": "Max", "id": world.owner.id, "guest": false, "role": "admin",
        "username": "root", "created_at": "1970-01-01T00:00:00.000Z" });
    let me = call(Method::PATCH, "/v1/me", forged.clone()).await;
    assert_eq!(me["id"], actor.account.id, "{me}");
    assert_eq!(me["guest"], true, "{me}");
    assert!(me["username"].is_null(), "{me}");
    let guest = call(Method::POST, "/v1/accounts/guest", forged).await;
    assert_eq!(guest["user"]["guest"], true, "{guest}");
    assert_ne!(guest["user"]["id"], world.owner.id, "{guest}");

    let path = format!("/v1/conversations/{}/messages", world.group);
    let body = json!({ "body": "honest", "seq": 1, "sender": world.owner.id, "message_id": "m_0", "deleted": true,
        "sent_at": "1970-01-01T00:00:00.000Z", "kind": "member_left", "conversation": world.foreign });
    let request = world.rest.request(Method::POST, &path).bearer_auth(&actor.account.access);
    let request = request.header("Idempotency-Key", crate::support::uuid()).json(&body);
    let sent = world.rest.finish(request).await.ok();
    let seq = sent["seq"].as_u64().unwrap();
    let events = world.rest.events(&world.owner, &world.group).await;
    let event = events.iter().find(|event| event["seq"] == seq).expect("the message is stored");
    assert_eq!(event["sender"], actor.account.id, "{event}");
    assert_eq!(event["kind"], "message", "{event}");
    assert!(event["sent_at"].as_str().unwrap() > "2020", "{event}");

    let request = world.rest.request(Method::GET, "/v1/me").bearer_auth(&actor.account.access);
    let request = request.header("X-User-ID", &world.owner.id).header("X-Forwarded-User", &world.owner.id);
    assert_eq!(world.rest.finish(request).await.ok()["id"], actor.account.id);
    seq
}
