//! What all REST routes have in common: each with the wrong method, media type, body and token; and the lists
//! with invalid pages.

use reqwest::Method;
use serde_json::Value;

use super::rest::{Body, Request};

/// Routes with a body, or with methods that they do not have: method, path, a body that is well-formed (empty
/// when it takes none), and those methods. [`listed_nowhere`] adds the calls of docs/openapi.json without a
/// row.
const ROUTES: &[(&str, &str, &str, &[&str])] = &[
    ("GET", "/v1/server", "", &["POST", "PUT", "DELETE"]),
    ("POST", "/v1/accounts", r#"{"username":"u","password":"p"}"#, &["GET", "PUT", "DELETE", "PATCH"]),
    ("POST", "/v1/accounts/guest", "{}", &["GET", "PUT", "DELETE"]),
    ("POST", "/v1/tokens", r#"{"username":"u","password":"p"}"#, &["GET", "PUT"]),
    ("POST", "/v1/tokens/refresh", r#"{"refresh_token":"r"}"#, &["GET", "PUT", "DELETE"]),
    ("GET", "/v1/me", "", &["POST", "PUT"]),
    ("PATCH", "/v1/me", r#"{"display_name":"Max"}"#, &[]),
    ("DELETE", "/v1/me", r#"{"password":"p"}"#, &[]),
    ("POST", "/v1/me/claim", r#"{"username":"u","password":"p"}"#, &["GET", "DELETE"]),
    ("GET", "/v1/me/export", "", &["POST", "DELETE"]),
    ("GET", "/v1/users/$OWNER", "", &["POST", "PUT", "PATCH", "DELETE"]),
    ("GET", "/v1/users?prefix=max", "", &["POST", "DELETE"]),
    ("POST", "/v1/conversations", r#"{"kind":"group"}"#, &["PUT", "PATCH", "DELETE"]),
    ("GET", "/v1/conversations", "", &[]),
    ("GET", "/v1/conversations/$GROUP", "", &["POST", "PUT"]),
    ("PATCH", "/v1/conversations/$GROUP", r#"{"name":"n"}"#, &[]),
    ("PUT", "/v1/conversations/$GROUP/members/$ME", "{}", &["GET", "POST"]),
    ("PATCH", "/v1/conversations/$GROUP/members/$OWNER", r#"{"role":"member"}"#, &[]),
    ("GET", "/v1/conversations/$GROUP/members", "", &["POST", "PUT", "DELETE"]),
    ("GET", "/v1/conversations/$GROUP/messages", "", &["PUT", "PATCH", "DELETE"]),
    ("GET", "/v1/conversations/$GROUP/events", "", &["POST", "PUT", "DELETE"]),
    ("POST", "/v1/conversations/$GROUP/messages", r#"{"body":"b"}"#, &[]),
    ("PATCH", "/v1/conversations/$GROUP/messages/$THEIRS", r#"{"body":"b"}"#, &["POST", "PUT"]),
    ("PUT", "/v1/conversations/$GROUP/messages/$THEIRS/reactions/x", "", &["GET", "POST", "PATCH"]),
    ("PUT", "/v1/conversations/$GROUP/read", r#"{"seq":1}"#, &["GET", "POST", "DELETE"]),
    ("GET", "/v1/blocks", "", &["POST", "PUT", "DELETE"]),
    ("GET", "/v1/blocks/$STRANGER", "", &["POST", "PATCH"]),
    ("GET", "/healthz", "", &["POST", "DELETE"]),
    ("GET", "/.well-known/jwks.json", "", &["POST", "PUT"]),
];

/// Routes that need no token.
fn is_public(path: &str) -> bool {
    ["/v1/server", "/v1/accounts", "/v1/tokens", "/healthz", "/.well-known"]
        .iter()
        .any(|public| path.starts_with(public))
}

/// The calls of the OpenAPI document that no row of [`ROUTES`] has, with the world's ids in their paths, and
/// a body where they take one: none of what is broken here gets as far as its fields.
fn listed_nowhere() -> Vec<(String, String, &'static str)> {
    let document: Value = serde_json::from_str(include_str!("../../../docs/openapi.json")).expect("JSON");
    let mut calls = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("an item") {
            let method = method.to_uppercase();
            let public =
                operation["security"].as_array().is_some_and(|any| any.contains(&serde_json::json!({})));
            let row =
                |(other, at, ..): &(&str, &str, &str, &[&str])| *other == method && same_route(at, path);
            if public || ROUTES.iter().any(row) {
                continue;
            }
            let body = if operation["requestBody"].is_null() { "" } else { "{}" };
            let filled = [
                ("{conversation}", "$GROUP"),
                ("{user}", "$OWNER"),
                ("{seq}", "$THEIRS"),
                ("{emoji}", "x"),
                ("{session}", "f_00000000000000000000000000000001"),
            ];
            let path = filled.iter().fold(path.clone(), |path, (name, id)| path.replace(name, id));
            assert!(!path.contains('{'), "{path}: say in listed_nowhere what stands for its parameter");
            calls.push((method, path, body));
        }
    }
    calls
}

/// Whether a row's path is one of a templated path.
fn same_route(path: &str, template: &str) -> bool {
    let parts: Vec<_> = path.split('?').next().unwrap_or_default().split('/').collect();
    let templates: Vec<_> = template.split('/').collect();
    parts.len() == templates.len()
        && parts.iter().zip(templates).all(|(part, wanted)| *part == wanted || wanted.starts_with('{'))
}

/// Each route broken in every way that routes share.
pub fn routes(frame_bytes: usize) -> Vec<Request> {
    let mut requests = Vec::new();
    let unlisted = listed_nowhere();
    let unlisted =
        unlisted.iter().map(|(method, path, body)| (method.as_str(), path.as_str(), *body, &[][..]));
    for (method, path, body, others) in ROUTES.iter().copied().chain(unlisted) {
        let method: Method = method.parse().unwrap();
        let name = |what: &str| format!("{method} {path} {what}");
        for other in others {
            let name = format!("{other} {path}");
            requests.push(Request::new(name, other.parse().unwrap(), path, Body::Empty, &[405]));
        }
        let good = if body.is_empty() { Body::Empty } else { Body::Json(body.to_owned()) };
        if !is_public(path) {
            for (label, token) in [("without a token", None), ("with a bad token", Some("nonsense"))] {
                let request = Request::new(name(label), method.clone(), path, good.clone(), &[401]);
                requests.push(request.token(token).codes(&["unauthenticated"]));
            }
            let basic =
                Request::new(name("with a password"), method.clone(), path, good.clone(), &[401]).token(None);
            requests.push(basic.header("authorization", "Basic dXNlcjpwYXNz").codes(&["unauthenticated"]));
        }
        if body.is_empty() {
            continue;
        }
        let mut add = |what: &str, body: Body, statuses: &'static [u16], codes: &'static [&'static str]| {
            requests.push(Request::new(name(what), method.clone(), path, body, statuses).codes(codes));
        };
        let as_text = body.as_bytes().to_vec();
        add("as plain text", Body::Raw("text/plain", as_text.clone()), &[415], &[]);
        add("as a form", Body::Raw("application/x-www-form-urlencoded", b"a=b".to_vec()), &[415], &[]);
        add("as XML", Body::Raw("application/xml", b"<a/>".to_vec()), &[415], &[]);
        add(
            "truncated",
            Body::Raw("application/json", as_text[..as_text.len() - 1].to_vec()),
            &[400],
            &["bad_frame"],
        );
        add(
            "with a tail",
            Body::Raw("application/json", [&as_text[..], b"{}"].concat()),
            &[400],
            &["bad_frame"],
        );
        add("not UTF-8", Body::Raw("application/json", b"{\"a\":\"\xff\"}".to_vec()), &[400], &["bad_frame"]);
        add("a list", Body::Json("[]".into()), &[400, 422], &["bad_frame", "invalid"]);
        add("a number", Body::Json("7".into()), &[400, 422], &["bad_frame", "invalid"]);
        add("deep", Body::Json("[".repeat(20_000)), &[400], &["bad_frame"]);
        let huge = format!("{{\"pad\":\"{}\"}}", "p".repeat(frame_bytes));
        add("over the limit", Body::Json(huge), &[413], &["too_large"]);
    }
    requests
}

/// Pages that are no pages.
pub fn pages() -> Vec<Request> {
    let mut requests = Vec::new();
    let invalid = |path: &str| Request::new(path, Method::GET, path, Body::Empty, &[422]).codes(&["invalid"]);
    for list in [
        "/v1/conversations/$GROUP/members",
        "/v1/conversations/$GROUP/messages",
        "/v1/conversations/$GROUP/events",
        "/v1/conversations",
        "/v1/users?prefix=m",
    ] {
        let glue = if list.contains('?') { '&' } else { '?' };
        for limit in ["0", "-1", "ten", "1.5", "99999999999999999999", "%00"] {
            requests.push(invalid(&format!("{list}{glue}limit={limit}")));
        }
        let path = format!("{list}{glue}limit=1000000000");
        requests.push(Request::new(path.clone(), Method::GET, &path, Body::Empty, &[200]));
    }
    for (list, field) in
        [("messages", "before"), ("messages", "after"), ("messages", "min_seq"), ("events", "after")]
    {
        for seq in ["-1", "x", "1.5", "9007199254740993", "18446744073709551616"] {
            requests.push(invalid(&format!("/v1/conversations/$GROUP/{list}?{field}={seq}")));
        }
    }
    for list in ["/v1/conversations", "/v1/conversations/$GROUP/members"] {
        for cursor in ["nonsense", "%00", "AAAA", "../..", "-1"] {
            requests.push(invalid(&format!("{list}?cursor={cursor}")));
        }
    }
    let ahead = "/v1/conversations/$GROUP/messages?min_seq=$FUTURE";
    requests
        .push(Request::new("reading ahead", Method::GET, ahead, Body::Empty, &[503]).codes(&["unavailable"]));
    requests
}
