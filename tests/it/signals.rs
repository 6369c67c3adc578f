//! Typing, receipts and presence: sent only to users who may see them, and ended when their reason ends.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::client::{Incoming, Ws};
use crate::support::rest::{Account, Rest};
use crate::support::server::Server;
use crate::support::{Encoding, uuid};

/// Sends a message and reads `hears` up to it; answers what came before. Whatever was told before the message
/// was sent has come by then.
async fn heard_until_message(speaker: &mut Ws, hears: &mut Ws, room: &str) -> Vec<Value> {
    let frame =
        json!({ "type": "send", "id": "fence", "conversation": room, "client_id": uuid(), "body": "fence" });
    let ack = speaker.ask(&frame).await;
    let mut heard = Vec::new();
    loop {
        let Incoming::Frame(frame) = hears.incoming().await else { panic!("closed after {heard:?}") };
        if frame["type"] == "event" && frame["conversation"] == *room && frame["seq"] == ack["seq"] {
            return heard;
        }
        heard.push(frame);
    }
}

fn about<'a>(frames: &'a [Value], kind: &str, user: &Account) -> Vec<&'a Value> {
    frames.iter().filter(|frame| frame["type"] == kind && frame["user"] == user.id.as_str()).collect()
}

async fn typing(ws: &mut Ws, room: &str, on: bool) {
    ws.send(&json!({ "type": "typing", "conversation": room, "on": on })).await;
}

async fn told_typing(ws: &mut Ws, on: bool) {
    assert_eq!(ws.expect("typing").await["on"], on);
}

struct Scene {
    server: Server,
    rest: Rest,
    ada: Account,
    ben: Account,
    cleo: Account,
}

impl Scene {
    async fn new(settings: &[(&str, &str)]) -> Self {
        let server = Server::start(settings).await;
        let rest = Rest::new(&server);
        let (ada, ben, cleo) = (rest.guest("Ada").await, rest.guest("Ben").await, rest.guest("Cleo").await);
        Self { server, rest, ada, ben, cleo }
    }

    async fn open(&self, account: &Account) -> Ws {
        Ws::signed_in(&self.server, Encoding::Json, account).await.0
    }

    async fn call(&self, method: Method, path: &str, caller: &Account) {
        self.rest.call(method, path, Some(&caller.access), None).await.ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn typing_ends_after_its_time() {
    let scene = Scene::new(&[("TIDINGS__PRESENCE__TYPING_TIMEOUT_MS", "500")]).await;
    let room = scene.rest.conversation(&scene.ada, "group", &[&scene.ben]).await;
    let (mut ada, mut ben) = (scene.open(&scene.ada).await, scene.open(&scene.ben).await);
    typing(&mut ada, &room, true).await;
    told_typing(&mut ben, true).await;
    told_typing(&mut ben, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn typing_ends_with_the_last_connection_that_typed_and_with_the_membership() {
    // Long enough that nothing here ends by itself.
    let scene = Scene::new(&[("TIDINGS__PRESENCE__TYPING_TIMEOUT_MS", "60000")]).await;
    let (ada, ben, cleo) = (&scene.ada, &scene.ben, &scene.cleo);
    let room = scene.rest.conversation(cleo, "group", &[ada, ben]).await;
    let (mut phone, mut laptop) = (scene.open(ada).await, scene.open(ada).await);
    let (mut ben, mut cleo) = (scene.open(ben).await, scene.open(cleo).await);
    typing(&mut phone, &room, true).await;
    told_typing(&mut ben, true).await;
    typing(&mut laptop, &room, true).await;
    told_typing(&mut ben, true).await;
    drop(phone);
    assert!(about(&heard_until_message(&mut cleo, &mut ben, &room).await, "typing", ada).is_empty());
    drop(laptop);
    told_typing(&mut ben, false).await;

    let mut phone = scene.open(ada).await;
    typing(&mut phone, &room, true).await;
    told_typing(&mut ben, true).await;
    scene.call(Method::DELETE, &format!("/v1/conversations/{room}/members/{}", ada.id), &scene.cleo).await;
    told_typing(&mut ben, false).await;

    // A message ends it by itself: no word of it comes, not even when the connection ends.
    typing(&mut cleo, &room, true).await;
    told_typing(&mut ben, true).await;
    assert!(
        heard_until_message(&mut cleo, &mut ben, &room).await.iter().all(|frame| frame["type"] != "typing")
    );
    drop(cleo);
    let mut cleo = scene.open(&scene.cleo).await;
    assert!(
        heard_until_message(&mut cleo, &mut ben, &room).await.iter().all(|frame| frame["type"] != "typing")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_stops_typing_receipts_and_presence_both_ways_but_no_message_in_a_group() {
    let scene = Scene::new(&[]).await;
    let (ada, ben, cleo) = (&scene.ada, &scene.ben, &scene.cleo);
    for kind in ["group", "channel"] {
        let room = scene.rest.conversation(cleo, kind, &[ada, ben]).await;
        let (mut a, mut b, mut c) = (scene.open(ada).await, scene.open(ben).await, scene.open(cleo).await);
        for (ws, whom) in [(&mut a, ben), (&mut b, ada), (&mut c, ada)] {
            let frame = json!({ "type": "watch", "id": "w", "users": [whom.id, cleo.id] });
            assert_eq!(ws.ask(&frame).await["type"], "ok");
        }
        scene.call(Method::PUT, &format!("/v1/blocks/{}", ada.id), ben).await;
        for (ws, whom) in [(&mut a, ben), (&mut b, ada)] {
            let last = ws.until("the end of the watch", |frame| frame["type"] == "presence").await;
            assert_eq!((&last["user"], &last["state"]), (&json!(whom.id), &json!("offline")), "{last}");
            assert!(last.get("last_seen").is_none(), "{last}");
        }
        let seq = scene.rest.send(cleo, &room, "hello").await["seq"].as_u64().unwrap();
        for (from, to, whom, other) in [(0, 1, ada, ben), (1, 0, ben, ada)] {
            let [mut from, mut to] = match (from, to) {
                (0, _) => [a, b],
                _ => [b, a],
            };
            typing(&mut from, &room, true).await;
            from.send(&json!({ "type": "background" })).await;
            let read = json!({ "type": "read", "id": "r", "conversation": room, "seq": seq });
            assert_eq!(from.ask(&read).await["type"], "ok");
            // A user who is not concerned is told, and by then everybody would have been.
            c.until("typing", |frame| frame["type"] == "typing" && frame["user"] == whom.id.as_str()).await;
            let heard = heard_until_message(&mut c, &mut to, &room).await;
            for told in ["typing", "receipt", "presence"] {
                assert!(about(&heard, told, whom).is_empty(), "{kind}: {other:?} is told {heard:?}");
            }
            // What they say in the room is heard.
            assert!(about(&heard_until_message(&mut from, &mut to, &room).await, "typing", whom).is_empty());
            [a, b] = if whom.id == ada.id { [from, to] } else { [to, from] };
        }
        scene.call(Method::DELETE, &format!("/v1/blocks/{}", ada.id), ben).await;
        // Lifting it brings typing back; the blocks are read again, so the first word may come before that.
        let mut told = false;
        while !told {
            typing(&mut a, &room, true).await;
            c.until("typing", |frame| frame["type"] == "typing" && frame["user"] == ada.id.as_str()).await;
            told = !about(&heard_until_message(&mut c, &mut b, &room).await, "typing", ada).is_empty();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mute_stops_typing_until_it_is_lifted() {
    let scene = Scene::new(&[("TIDINGS__PRESENCE__TYPING_TIMEOUT_MS", "60000")]).await;
    let (ada, ben, cleo) = (&scene.ada, &scene.ben, &scene.cleo);
    for kind in ["group", "channel"] {
        let room = scene.rest.conversation(cleo, kind, &[ada, ben]).await;
        let (mut a, mut b, mut c) = (scene.open(ada).await, scene.open(ben).await, scene.open(cleo).await);
        let mute = format!("/v1/conversations/{room}/members/{}/mute", ada.id);
        let hour = json!({ "duration_s": 3_600 });
        scene.rest.call(Method::PUT, &mute, Some(&cleo.access), Some(&hour)).await.ok();
        typing(&mut a, &room, true).await;
        assert!(about(&heard_until_message(&mut c, &mut b, &room).await, "typing", ada).is_empty());
        scene.call(Method::DELETE, &mute, cleo).await;
        typing(&mut a, &room, true).await;
        b.until("typing", |frame| frame["type"] == "typing" && frame["user"] == ada.id.as_str()).await;
        // Had the first been told late, there would be another.
        assert!(about(&heard_until_message(&mut c, &mut b, &room).await, "typing", ada).is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_ends_with_the_last_shared_conversation() {
    let scene = Scene::new(&[]).await;
    let (ada, ben, cleo) = (&scene.ada, &scene.ben, &scene.cleo);
    for deleted in [false, true] {
        let shared = scene.rest.conversation(ada, "group", &[cleo]).await;
        let other = scene.rest.conversation(cleo, "group", &[ben, ada]).await;
        let fence = scene.rest.conversation(cleo, "group", &[ben]).await;
        let (mut a, mut c, mut b) = (scene.open(ada).await, scene.open(cleo).await, scene.open(ben).await);
        let watch = json!({ "type": "watch", "id": "w", "users": [ada.id] });
        assert_eq!(c.ask(&watch).await["type"], "ok");
        assert_eq!(b.ask(&watch).await["type"], "ok");
        // One of two reasons ends: the watch goes on.
        let leave = format!("/v1/conversations/{other}/members/{}", ada.id);
        scene.call(Method::DELETE, &leave, ada).await;
        let last = b.expect("presence").await;
        assert_eq!((&last["user"], &last["state"]), (&json!(ada.id), &json!("offline")), "{last}");
        a.send(&json!({ "type": "background" })).await;
        assert_eq!(c.expect("presence").await["state"], "away");
        let heard = heard_until_message(&mut c, &mut b, &fence).await;
        assert!(about(&heard, "presence", ada).is_empty(), "{heard:?}");

        let path = if deleted {
            format!("/v1/conversations/{shared}")
        } else {
            format!("/v1/conversations/{shared}/members/{}", cleo.id)
        };
        scene.call(Method::DELETE, &path, ada).await;
        let last = c.expect("presence").await;
        assert_eq!(last, json!({ "type": "presence", "user": ada.id, "state": "offline" }));
        assert_eq!(c.ask(&watch).await["type"], "ok");
        a.send(&json!({ "type": "foreground", "id": "f" })).await;
        a.until("ok", |frame| frame["id"] == "f").await;
        let heard = heard_until_message(&mut b, &mut c, &fence).await;
        assert!(about(&heard, "presence", ada).is_empty(), "{heard:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_send_makes_no_event_so_typing_still_ends_for_the_others() {
    let scene = Scene::new(&[("TIDINGS__PRESENCE__TYPING_TIMEOUT_MS", "500")]).await;
    let (ada, ben) = (&scene.ada, &scene.ben);
    let room = scene.rest.conversation(ada, "group", &[ben]).await;
    let (mut a, mut b) = (scene.open(ada).await, scene.open(ben).await);
    let send = json!({ "type": "send", "id": 1, "conversation": room, "client_id": uuid(), "body": "once" });
    assert_eq!(a.ask(&send).await["duplicate"], false);
    b.until("the message", |frame| frame["type"] == "event" && frame["kind"] == "message").await;
    typing(&mut a, &room, true).await;
    told_typing(&mut b, true).await;
    assert_eq!(a.ask(&send).await["duplicate"], true);
    told_typing(&mut b, false).await;
}
