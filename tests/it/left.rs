//! A membership that ended while a client was offline is in its next hello, with a known cursor or without.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::Encoding;
use crate::support::client::Ws;
use crate::support::rest::{Account, Rest};
use crate::support::server::Server;

/// The heads of a hello: what moved, and what the user is no longer in.
async fn heads(server: &Server, account: &Account, hello: Value) -> (Vec<String>, Vec<String>, String) {
    let mut ws = Ws::open(server, Encoding::Json).await;
    let mut frame = hello;
    frame["type"] = json!("hello");
    frame["token"] = json!(account.access);
    ws.send(&frame).await;
    let welcome = ws.expect("welcome").await;
    let (mut moved, mut left) = (Vec::new(), Vec::new());
    for head in welcome["heads"].as_array().unwrap() {
        let id = head["conversation"].as_str().unwrap().to_owned();
        if head["left"] == true {
            assert_eq!(head.as_object().unwrap().len(), 3, "{head}");
            left.push(id);
        } else {
            moved.push(id);
        }
    }
    moved.sort();
    left.sort();
    (moved, left, welcome["cursor"].as_str().unwrap().to_owned())
}

fn sorted<const N: usize>(ids: [&String; N]) -> Vec<String> {
    let mut ids = ids.map(Clone::clone).to_vec();
    ids.sort();
    ids
}

#[tokio::test]
async fn a_removal_and_a_deletion_are_told_to_who_was_away() {
    let server = Server::start(&[]).await;
    let rest = Rest::new(&server);
    let (ada, ben) = (rest.guest("Ada").await, rest.guest("Ben").await);
    let kept = rest.conversation(&ada, "group", &[&ben]).await;
    let removed = rest.conversation(&ada, "group", &[&ben]).await;
    let deleted = rest.conversation(&ada, "group", &[&ben]).await;
    let channel = rest.conversation(&ada, "channel", &[]).await;
    let join = format!("/v1/conversations/{channel}/members/{}", ben.id);
    rest.call(Method::PUT, &join, Some(&ben.access), None).await.ok();
    let (moved, left, cursor) = heads(&server, &ben, json!({})).await;
    assert_eq!((moved, left), (sorted([&kept, &removed, &deleted, &channel]), Vec::new()));

    for path in [
        format!("/v1/conversations/{removed}/members/{}", ben.id),
        format!("/v1/conversations/{channel}/members/{}", ben.id),
        format!("/v1/conversations/{deleted}"),
    ] {
        rest.call(Method::DELETE, &path, Some(&ada.access), None).await.ok();
    }
    let gone = sorted([&removed, &deleted, &channel]);
    let (moved, left, after) = heads(&server, &ben, json!({ "cursor": cursor })).await;
    assert_eq!((moved, left), (Vec::new(), gone.clone()), "since the cursor");
    let (moved, left, _) = heads(&server, &ben, json!({ "cursor": after })).await;
    assert_eq!((moved, left), (Vec::new(), Vec::new()), "told once");

    // Without a cursor, by the positions that the client still holds.
    let positions = json!({ kept.clone(): 1, removed.clone(): 1, deleted.clone(): 1, channel.clone(): 1 });
    let (moved, left, _) = heads(&server, &ben, json!({ "positions": positions })).await;
    assert_eq!((moved, left), (sorted([&kept]), gone), "by positions");
}

#[tokio::test]
async fn who_came_back_meanwhile_has_left_nothing() {
    let server = Server::start(&[]).await;
    let rest = Rest::new(&server);
    let (ada, ben) = (rest.guest("Ada").await, rest.guest("Ben").await);
    let group = rest.conversation(&ada, "group", &[&ben]).await;
    let (_, _, cursor) = heads(&server, &ben, json!({})).await;
    let membership = format!("/v1/conversations/{group}/members/{}", ben.id);
    rest.call(Method::DELETE, &membership, Some(&ada.access), None).await.ok();
    rest.call(Method::PUT, &membership, Some(&ada.access), None).await.ok();
    let (moved, left, _) = heads(&server, &ben, json!({ "cursor": cursor })).await;
    assert_eq!((moved, left), (sorted([&group]), Vec::new()));
}
