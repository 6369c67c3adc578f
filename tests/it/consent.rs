//! Strangers on a running server: what they may do is what the installation and the user chose, and an open
//! client is told of an invitation.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::client::{Incoming, Ws};
use crate::support::rest::{Account, Answer, Rest};
use crate::support::server::Server;
use crate::support::{Encoding, uuid};

/// What a new installation has, but for numbers that a test reaches.
const SHIPPED: [(&str, &str); 4] = [
    ("TIDINGS__PRIVACY__GROUPS", "contacts"),
    ("TIDINGS__PRIVACY__STRANGER_MESSAGES", "2"),
    ("TIDINGS__PRIVACY__PENDING_INVITATIONS", "2"),
    ("TIDINGS__PRIVACY__INVITATION_DAYS", "3"),
];

async fn call(rest: &Rest, who: &Account, method: Method, path: &str, body: Value) -> Answer {
    let body = (!body.is_null()).then_some(body);
    rest.call(method, path, Some(&who.access), body.as_ref()).await
}

async fn group_of(rest: &Rest, owner: &Account, other: &Account) -> Answer {
    let body = json!({ "kind": "group", "name": "room", "members": [other.id] });
    call(rest, owner, Method::POST, "/v1/conversations", body).await
}

fn refused(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.body["code"].as_str().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_client_is_told_of_an_invitation_and_of_the_join_that_follows() {
    let server = Server::start(&SHIPPED).await;
    let rest = Rest::new(&server);
    let (ada, ben) = (rest.guest("Ada").await, rest.guest("Ben").await);
    let (mut ws, _) = Ws::signed_in(&server, Encoding::Json, &ben).await;
    let made = group_of(&rest, &ada, &ben).await.ok();
    assert_eq!((&made["invited"], &made["member_count"]), (&json!([ben.id]), &json!(1)), "{made}");
    let told = ws.expect("invited").await;
    assert_eq!((&told["user"], &told["conversation"]), (&json!(ada.id), &made["conversation"]));
    let room = made["conversation"].as_str().unwrap();
    let path = format!("/v1/conversations/{room}/messages");
    assert_eq!(refused(&call(&rest, &ben, Method::GET, &path, Value::Null).await), (404, "not_found"));
    let listed = call(&rest, &ben, Method::GET, "/v1/me/invitations", Value::Null).await.ok();
    let listed = &listed["invitations"][0];
    assert_eq!((&listed["conversation"], &listed["invited_by"]["id"]), (&json!(room), &json!(ada.id)));
    let day = |field: &str| listed[field].as_str().unwrap()[8..10].parse::<i32>().unwrap();
    assert_ne!(day("invited_at"), day("until"), "three days");
    let join = format!("/v1/conversations/{room}/members/{}", ben.id);
    assert_eq!(call(&rest, &ben, Method::PUT, &join, Value::Null).await.status, 201);
    let joined = ws.expect("event").await;
    assert_eq!((&joined["kind"], &joined["user"]), (&json!("member_joined"), &json!(ben.id)));
    // Ada is a contact now, and adds at once; declined ones wait until their end too.
    let made = group_of(&rest, &ada, &ben).await.ok();
    assert_eq!((made.get("invited"), &made["member_count"]), (None, &json!(2)));
    let cid = rest.guest("Cid").await;
    for _ in 0..2 {
        let id = group_of(&rest, &cid, &ben).await.ok()["conversation"].as_str().unwrap().to_owned();
        let decline = format!("/v1/me/invitations/{id}");
        assert_eq!(call(&rest, &ben, Method::DELETE, &decline, Value::Null).await.status, 204);
    }
    assert_eq!(refused(&group_of(&rest, &cid, &ben).await), (413, "too_large"));
    assert!(rest.metric("tidings_invitations_total{what=\"declined\"}").await >= 2.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_marked_until_it_is_answered_or_accepted() {
    let server = Server::start(&SHIPPED).await;
    let rest = Rest::new(&server);
    let (ada, ben) = (rest.guest("Ada").await, rest.guest("Ben").await);
    let (mut ws, _) = Ws::signed_in(&server, Encoding::Json, &ada).await;
    let send = || json!({ "type": "send", "id": uuid(), "to": ben.id, "client_id": uuid(), "body": "hi" });
    for _ in 0..2 {
        assert_eq!(ws.ask(&send()).await["type"], "ack");
    }
    let over = ws.ask(&send()).await;
    assert_eq!((&over["code"], &over["definite"]), (&json!("unanswered"), &json!(true)), "{over}");
    let (_, welcome) = Ws::signed_in(&server, Encoding::Msgpack, &ben).await;
    assert_eq!(welcome["heads"][0]["stranger"], true, "{welcome}");
    let contact = format!("/v1/contacts/{}", ada.id);
    assert_eq!(call(&rest, &ben, Method::PUT, &contact, Value::Null).await.status, 204);
    let (_, welcome) = Ws::signed_in(&server, Encoding::Json, &ben).await;
    assert_eq!(welcome["heads"][0].get("stranger"), None, "{welcome}");
    assert_eq!(ws.ask(&send()).await["type"], "ack");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_installation_chooses_for_those_who_have_not() {
    let server = Server::start(&[
        ("TIDINGS__PRIVACY__MESSAGES", "nobody"),
        ("TIDINGS__PRIVACY__GROUPS", "nobody"),
        ("TIDINGS__PRIVACY__PRESENCE", "contacts"),
    ])
    .await;
    let rest = Rest::new(&server);
    let (ada, ben) = (rest.guest("Ada").await, rest.guest("Ben").await);
    let chosen = call(&rest, &ben, Method::GET, "/v1/me/privacy", Value::Null).await.ok();
    assert_eq!(chosen, json!({ "messages": "nobody", "groups": "nobody", "presence": "contacts" }));
    let (mut ws, _) = Ws::signed_in(&server, Encoding::Json, &ada).await;
    let send = || json!({ "type": "send", "id": uuid(), "to": ben.id, "client_id": uuid(), "body": "hi" });
    assert_eq!(ws.ask(&send()).await["code"], "blocked");
    assert_eq!(refused(&group_of(&rest, &ada, &ben).await), (403, "blocked"));
    let own = json!({ "messages": "everyone", "groups": "everyone" });
    let chosen = call(&rest, &ben, Method::PATCH, "/v1/me/privacy", own).await.ok();
    assert_eq!(chosen, json!({ "messages": "everyone", "groups": "everyone", "presence": "contacts" }));
    assert_eq!(ws.ask(&send()).await["type"], "ack");
    assert_eq!(group_of(&rest, &ada, &ben).await.status, 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_ends_when_the_setting_or_the_contact_that_allowed_it_goes() {
    let server = Server::start(&SHIPPED).await;
    let rest = Rest::new(&server);
    let (ada, ben) = (rest.guest("Ada").await, rest.guest("Ben").await);
    let direct = rest.conversation(&ada, "direct", &[&ben]).await;
    let (mut watcher, _) = Ws::signed_in(&server, Encoding::Json, &ada).await;
    let (_seen, _) = Ws::signed_in(&server, Encoding::Json, &ben).await;
    let watch = || json!({ "type": "watch", "id": uuid(), "users": [ben.id] });
    assert_eq!(watcher.ask(&watch()).await["type"], "ok", "opening a conversation shows nothing");
    rest.send(&ada, &direct, "hello").await;
    watcher.expect("event").await;
    assert_eq!(watcher.ask(&watch()).await["type"], "ok", "nor does writing first");
    rest.send(&ben, &direct, "hello").await;
    watcher.expect("event").await;
    let contact = format!("/v1/contacts/{}", ada.id);
    let nobody = json!({ "presence": "nobody" });
    let everyone = json!({ "presence": "everyone" });
    for (method, path, body) in
        [(Method::PATCH, "/v1/me/privacy", nobody), (Method::DELETE, contact.as_str(), Value::Null)]
    {
        watcher.send(&watch()).await;
        assert_eq!(watcher.expect("presence").await["state"], "online");
        assert!(call(&rest, &ben, method, path, body).await.status.is_success());
        let ended = watcher.expect("presence").await;
        assert_eq!((&ended["state"], ended.get("last_seen")), (&json!("offline"), None), "{path}");
        call(&rest, &ben, Method::PATCH, "/v1/me/privacy", everyone.clone()).await.ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_stops_everything_between_two_users_both_ways_and_at_once() {
    let server = Server::start(&SHIPPED).await;
    let rest = Rest::new(&server);
    let (ada, ben) = (rest.guest("Ada").await, rest.guest("Ben").await);
    let direct = rest.conversation(&ada, "direct", &[&ben]).await;
    rest.send(&ada, &direct, "hello").await;
    rest.send(&ben, &direct, "hello").await;
    // An invitation from before the block waits, and does not count while it stands.
    call(&rest, &ben, Method::DELETE, &format!("/v1/contacts/{}", ada.id), Value::Null).await.ok();
    group_of(&rest, &ada, &ben).await.ok();
    let invitations = async || {
        let listed = call(&rest, &ben, Method::GET, "/v1/me/invitations", Value::Null).await.ok();
        listed["invitations"].as_array().unwrap().len()
    };
    assert_eq!(invitations().await, 1);
    call(&rest, &ben, Method::PUT, &format!("/v1/contacts/{}", ada.id), Value::Null).await.ok();
    let (mut of_ada, _) = Ws::signed_in(&server, Encoding::Json, &ada).await;
    let (mut of_ben, _) = Ws::signed_in(&server, Encoding::Json, &ben).await;
    of_ada.send(&json!({ "type": "watch", "id": "w", "users": [ben.id] })).await;
    assert_eq!(of_ada.expect("presence").await["state"], "online");
    assert_eq!(
        call(&rest, &ben, Method::PUT, &format!("/v1/blocks/{}", ada.id), Value::Null).await.status,
        204
    );
    assert_eq!(of_ada.expect("presence").await["state"], "offline", "the watch ends");
    assert_eq!(invitations().await, 0);
    for ada_acts in [true, false] {
        let (ws, hears, own, other) = match ada_acts {
            true => (&mut of_ada, &mut of_ben, &ada, &ben),
            false => (&mut of_ben, &mut of_ada, &ben, &ada),
        };
        let send = json!({ "type": "send", "id": uuid(), "conversation": direct, "client_id": uuid(),
            "body": "?", "mentions": [other.id] });
        assert_eq!(ws.ask(&send).await["code"], "blocked");
        let react = json!({ "type": "react", "id": uuid(), "conversation": direct, "seq": 1, "emoji": "x" });
        assert_eq!(ws.ask(&react).await["code"], "blocked");
        ws.send(&json!({ "type": "typing", "conversation": direct, "on": true })).await;
        let read = json!({ "type": "read", "id": uuid(), "conversation": direct, "seq": 2 });
        assert_eq!(ws.ask(&read).await["type"], "ok");
        assert_eq!(told(ws, other, &json!({ "type": "watch", "users": [other.id] })).await, 0, "no presence");
        assert_eq!(refused(&group_of(&rest, own, other).await), (403, "blocked"));
        assert_eq!(told(hears, own, &json!({ "type": "ping" })).await, 0, "of what the other did");
    }
}

/// How many frames about a user, other than events, come before the answer to a request.
async fn told(ws: &mut Ws, about: &Account, request: &Value) -> usize {
    let (mut request, mut count) = (request.clone(), 0);
    request["id"] = json!("fence");
    ws.send(&request).await;
    loop {
        let Incoming::Frame(frame) = ws.incoming().await else { panic!("closed") };
        if frame["id"] == "fence" {
            return count;
        }
        count += usize::from(frame["user"] == about.id.as_str());
    }
}
