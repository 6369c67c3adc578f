//! Typing and presence.

use serde_json::json;

use super::{ADA, ADAS, BEN, BENS, GROUP, Scene};
use crate::plan::Fault;

fn typing() -> Scene {
    let mut scene = Scene::new();
    scene.at(10_000).sent(ADAS, json!({"type": "typing", "conversation": GROUP, "on": true}));
    scene.received(BENS, json!({"type": "typing", "conversation": GROUP, "user": ADA, "on": true}));
    scene
}

#[test]
fn typing_ends() {
    typing().breaks("P4", "not that it ended");
    let mut told = typing();
    told.at(16_500)
        .received(BENS, json!({"type": "typing", "conversation": GROUP, "user": ADA, "on": false}))
        .holds();
    let mut said = typing();
    said.at(12_000).sends(3, "a").pushed(BENS, 3, "a").holds();
    let mut gone = typing();
    gone.at(12_000).closed(BENS, None).connects(1, 4, BEN).holds();
}

#[test]
fn typing_that_a_later_message_has_overtaken_may_go_on() {
    let mut scene = Scene::new();
    scene.at(10_000).sent(ADAS, json!({"type": "typing", "conversation": GROUP, "on": true}));
    let said = json!({"type": "event", "conversation": GROUP, "seq": 3, "kind": "message", "sender": ADA});
    scene.at(10_100).received(BENS, said);
    scene
        .at(10_400)
        .received(BENS, json!({"type": "typing", "conversation": GROUP, "user": ADA, "on": true}));
    assert!(scene.broken().iter().all(|(_, text)| !text.contains("not that it ended")));
}

#[test]
fn typing_that_is_repeated_or_lost_may_go_on() {
    let mut lost = typing();
    lost.at(15_000).fault(Fault::BusCut { process: 0 }).holds();
    let mut repeated = typing();
    repeated.at(14_000).sent(ADAS, json!({"type": "typing", "conversation": GROUP, "on": true}));
    repeated
        .at(20_500)
        .received(BENS, json!({"type": "typing", "conversation": GROUP, "user": ADA, "on": false}))
        .holds();
}

/// Ben watches Ada.
fn watching() -> Scene {
    let mut scene = Scene::new();
    scene.at(10_000).sent(BENS, json!({"type": "watch", "id": 1, "users": [ADA]}));
    scene.received(BENS, json!({"type": "presence", "user": ADA, "state": "online"}));
    scene.received(BENS, json!({"type": "ok", "id": 1}));
    scene
}

#[test]
fn presence_is_right_in_the_end() {
    watching().holds();
    let mut away = watching();
    away.at(20_000).sent(ADAS, json!({"type": "background"})).breaks("P8", "away");
    away.at(20_100).received(BENS, json!({"type": "presence", "user": ADA, "state": "away"})).holds();
    let mut wrong = watching();
    wrong
        .at(20_100)
        .received(BENS, json!({"type": "presence", "user": ADA, "state": "offline"}))
        .breaks("P8", "online");
    let mut another = watching();
    another.joins(3, "u_eve", "member").leaves(4, "u_eve");
    another.at(20_000).sent(ADAS, json!({"type": "background"})).breaks("P8", "away");
    let mut lately = watching();
    lately.at(58_000).sent(ADAS, json!({"type": "background"})).holds();
}

#[test]
fn who_stopped_watching_or_is_blocked_is_told_nothing() {
    let mut stopped = watching();
    stopped.at(15_000).sent(BENS, json!({"type": "unwatch", "id": 2, "users": [ADA]}));
    stopped.received(BENS, json!({"type": "ok", "id": 2}));
    stopped.at(20_000).sent(ADAS, json!({"type": "background"})).holds();
    let mut blocked = watching();
    blocked.at(15_000).calls(0, ADA, "PUT", "/v1/blocks/u_ben", 204, json!(null));
    blocked.received(BENS, json!({"type": "presence", "user": ADA, "state": "offline"})).holds();
    let mut deleted = watching();
    deleted.log.deleted.insert(GROUP.to_owned());
    deleted.at(15_000).received(BENS, json!({"type": "presence", "user": ADA, "state": "offline"})).holds();
    let mut moved = watching();
    moved.at(15_000).closed(BENS, None).connects(1, 4, BEN).holds();
}
