//! REST calls with wrong paths, queries, bodies and methods.

use serde_json::{Value, json};

use super::super::scratch::Bench;
use super::super::wire::{segment, uuid};
use super::Loot;

/// Bodies that no call expects.
fn bodies() -> Vec<Option<Value>> {
    vec![
        None,
        Some(json!(null)),
        Some(json!([])),
        Some(json!("text")),
        Some(json!({"body": 1})),
        Some(json!({"seq": -1})),
        Some(json!({"kind": "secret", "members": "all"})),
        Some(json!({"body": "x".repeat(70_000)})),
    ]
}

pub(super) async fn misbehave(mut bench: Bench, loot: Loot) -> Option<()> {
    let (own, _) = loot.place();
    let (own, foreign) = (segment(&own), segment(&loot.foreign_place()));
    let reads = [
        "/v1".to_owned(),
        "/v1/nothing".to_owned(),
        "/v1/../../etc/passwd".to_owned(),
        "/v1/conversations?limit=-1".to_owned(),
        "/v1/conversations?limit=0".to_owned(),
        "/v1/conversations?cursor=nonsense".to_owned(),
        "/v1/users?ids=,,,".to_owned(),
        "/v1/users?prefix=%00&limit=5".to_owned(),
        format!("/v1/conversations/{own}/messages?before=5&after=1"),
        format!("/v1/conversations/{own}/messages?min_seq=9007199254740991"),
        format!("/v1/conversations/{own}/events?after=1.5&limit=1e3"),
        format!("/v1/conversations/{own}/events?after=99999999999999999999"),
        format!("/v1/conversations/{foreign}"),
        format!("/v1/conversations/{foreign}/messages"),
        format!("/v1/conversations/{foreign}/events?after=0"),
        format!("/v1/conversations/{foreign}/members"),
        format!("/v1/conversations/{}/events", segment(&"x".repeat(2_000))),
    ];
    for path in reads {
        // Whatever the answer is, it is in the history.
        let _ = bench.call("GET", path, None, None).await;
    }
    let changes = [
        ("POST", "/v1/conversations".to_owned()),
        ("POST", format!("/v1/conversations/{own}/messages")),
        ("POST", format!("/v1/conversations/{foreign}/messages")),
        ("PATCH", format!("/v1/conversations/{own}/messages/0")),
        ("PATCH", format!("/v1/conversations/{foreign}/messages/1")),
        ("PUT", format!("/v1/conversations/{own}/read")),
        ("PUT", format!("/v1/conversations/{foreign}/read")),
        ("PUT", format!("/v1/conversations/{foreign}/members/{}", loot.me)),
        ("DELETE", format!("/v1/conversations/{foreign}/members/{}", loot.other())),
        ("PUT", "/v1/accounts".to_owned()),
        ("PATCH", "/v1/me".to_owned()),
    ];
    for (method, path) in changes {
        let body = bench.dice.pick(&bodies()).clone();
        let key = [None, Some("no uuid".to_owned()), Some(uuid(&mut bench.dice))];
        let key = bench.dice.pick(&key).clone();
        let _ = bench.call(method, path, body, key).await;
    }
    Some(())
}
