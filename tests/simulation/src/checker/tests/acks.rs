//! P1, P3, P11: answers and what they say.

use serde_json::{Value, json};

use super::{ADA, ADAS, BEN, BENS, GROUP, KEY, Scene, ack, error, event, key, owner};
use crate::checker::log::Logged;
use crate::history::What;
use crate::plan::{Fault, Operation};

/// Everybody is told of a loss.
fn tell_reset(scene: &mut Scene) -> &mut Scene {
    let heads = json!({"type": "heads", "cursor": "d", "reset": true, "heads": []});
    scene.at(13_000).received(ADAS, heads.clone()).received(BENS, heads)
}

fn send(id: u64, key: &str, body: &str) -> Value {
    json!({"type": "send", "id": id, "conversation": GROUP, "client_id": key, "body": body})
}

#[test]
fn an_ack_without_an_event_is_found() {
    let mut scene = Scene::new();
    scene.at(10_000).sent(ADAS, send(1, KEY, "a")).received(ADAS, ack(1, 3)).breaks("P1", "not in the log");
}

#[test]
fn an_event_that_a_restore_lost_may_be_gone() {
    let mut scene = Scene::new();
    scene.at(10_000).sent(ADAS, send(1, KEY, "a")).received(ADAS, ack(1, 3));
    scene.at(11_000).fault(Fault::Restore { lost: 1 });
    tell_reset(scene.world("the log has another epoch; lost events: 3 of g_1")).holds();
    let mut other = Scene::new();
    other.at(10_000).sent(ADAS, send(1, KEY, "a")).received(ADAS, ack(1, 3));
    other.at(11_000).fault(Fault::Restore { lost: 1 });
    let lost = other.world("the log has another epoch; lost events: 4 of g_1");
    tell_reset(lost).breaks("P1", "not in the log");
}

#[test]
fn an_ack_for_another_message_is_found() {
    let mut body = Scene::new();
    body.at(10_000).sends(3, "a").pushed(BENS, 3, "a");
    body.log.events.get_mut(GROUP).unwrap().get_mut(&3).unwrap().body = Some("b".to_owned());
    body.breaks("P1", "another body");
    let mut other = Scene::new();
    other.at(10_000).sends(3, "a").pushed(BENS, 3, "a");
    other.at(12_000).sent(ADAS, send(9, &key(9), "a")).received(ADAS, ack(9, 3)).breaks("P1", "a message");
    let mut elsewhere = Scene::new();
    elsewhere.at(10_000).sent(ADAS, json!({"type": "delete", "id": 1, "conversation": "g_2", "seq": 1}));
    elsewhere.received(ADAS, ack(1, 2)).breaks("P1", "acknowledged in g_1");
}

#[test]
fn one_key_makes_one_event() {
    let mut scene = Scene::new();
    scene.at(10_000).sends(3, "a").pushed(BENS, 3, "a");
    scene.says(4, "a").log.events.get_mut(GROUP).unwrap().get_mut(&4).unwrap().client_id = Some(key(3));
    scene.breaks("P3", "two events");
}

#[test]
fn what_was_refused_for_good_is_not_in_the_log() {
    let mut scene = Scene::new();
    scene
        .at(10_000)
        .says(3, "a")
        .sent(ADAS, send(1, &key(3), "a"))
        .received(ADAS, error(1, "unavailable", true));
    scene.breaks("P3", "refused for good");
    let mut unsure = Scene::new();
    unsure
        .at(10_000)
        .says(3, "a")
        .sent(ADAS, send(1, &key(3), "a"))
        .received(ADAS, error(1, "unavailable", false));
    unsure.holds();
}

#[test]
fn a_repetition_needs_something_that_was_repeated() {
    let mut scene = Scene::new();
    let duplicate = |id: u64| {
        let mut ack = ack(id, 3);
        ack["duplicate"] = json!(true);
        ack
    };
    scene
        .at(10_000)
        .says(3, "a")
        .sent(ADAS, send(1, &key(3), "a"))
        .received(ADAS, error(1, "unavailable", true));
    scene.at(11_000).sent(ADAS, send(2, &key(3), "a")).received(ADAS, duplicate(2));
    scene.at(11_500).pushed(ADAS, 3, "a").pushed(BENS, 3, "a");
    scene.breaks("P3", "every other attempt was refused");
    let mut again = Scene::new();
    again.at(10_000).sends(3, "a").pushed(BENS, 3, "a");
    again.at(11_000).sent(ADAS, send(2, &key(3), "a")).received(ADAS, ack(2, 3)).breaks("P3", "as a new one");
    let mut right = Scene::new();
    right.at(10_000).sends(3, "a").pushed(BENS, 3, "a");
    right.at(11_000).sent(ADAS, send(2, &key(3), "a")).received(ADAS, duplicate(2)).holds();
}

#[test]
fn a_refused_delete_leaves_no_event() {
    let mut scene = Scene::new();
    scene.at(10_000).sends(3, "a").pushed(BENS, 3, "a");
    scene.logged(Logged { target: Some(3), ..event(4, "delete", ADA) });
    let logged = scene.log.events.get_mut(GROUP).unwrap().get_mut(&3).unwrap();
    (logged.body, logged.has_content, logged.deleted) = (None, false, true);
    let delete = json!({"type": "delete", "id": 5, "conversation": GROUP, "seq": 3});
    scene.at(11_000).sent(ADAS, delete).received(ADAS, error(5, "unavailable", true));
    scene.breaks("P3", "refused for good");
}

#[test]
fn who_deletes_what_an_erasure_removed_is_answered_with_the_message() {
    let deleted = |erased: bool| {
        let mut scene = Scene::new();
        scene.logged(Logged { deleted: true, ..event(3, "message", BEN) }).leaves(4, BEN);
        scene.at(10_000).closed(BENS, Some(4403));
        for (seq, kind) in [(3, "message"), (4, "member_left")] {
            let pushed = json!({"type": "event", "conversation": GROUP, "seq": seq, "kind": kind, "sender": if seq == 3 { BEN } else { ADA }, "user": BEN});
            scene.received(ADAS, pushed);
        }
        if erased {
            scene.log.erased.insert(BEN.to_owned());
        }
        let delete = json!({"type": "delete", "id": 5, "conversation": GROUP, "seq": 3});
        scene.at(11_000).sent(ADAS, delete);
        let ack = json!({"type": "ack", "id": 5, "conversation": GROUP, "seq": 3, "duplicate": true});
        scene.received(ADAS, ack);
        scene
    };
    deleted(true).holds();
    deleted(false).breaks("P1", "asked for a delete");
}

#[test]
fn answers_belong_to_requests_of_their_connection() {
    let mut stray = Scene::new();
    stray
        .at(10_000)
        .sends(3, "a")
        .pushed(BENS, 3, "a")
        .received(BENS, ack(3, 3))
        .breaks("P11", "had not asked");
    let mut kind = Scene::new();
    kind.at(10_000)
        .sent(ADAS, json!({"type": "ping", "id": 1}))
        .received(ADAS, json!({"type": "ok", "id": 1}));
    kind.breaks("P11", "asked ping");
}

#[test]
fn errors_and_closes_are_of_the_catalogue() {
    let mut code = Scene::new();
    code.at(10_000).sent(ADAS, json!({"type": "ping", "id": 1})).received(ADAS, error(1, "whatever", true));
    code.breaks("P11", "no catalogue");
    let mut wait = Scene::new();
    wait.at(10_000).sent(ADAS, json!({"type": "ping", "id": 1})).received(ADAS, error(1, "overloaded", true));
    wait.breaks("P11", "not how long");
    let mut close = Scene::new();
    close.at(10_000).closed(ADAS, Some(1002)).connects(0, 3, ADA).breaks("P11", "closed with 1002");
}

#[test]
fn silence_is_found_and_not_that_of_a_device_that_does_not_read() {
    let silence = |reads: bool| {
        let mut scene = Scene::new();
        scene.at(10_000).sent(ADAS, json!({"type": "background", "id": 1}));
        if !reads {
            scene.does(0, Operation::StopReading { ms: 20_000 });
        }
        scene.at(30_000).sent(ADAS, json!({"type": "ping", "id": 2}));
        scene.received(ADAS, json!({"type": "pong", "id": 2}));
        scene
    };
    silence(true).breaks("P11", "no answer");
    silence(false).holds();
}

#[test]
fn an_answer_has_the_value_of_an_id_and_not_its_spelling() {
    let mut scene = Scene::new();
    scene.at(10_000).sent(ADAS, json!({"type": "unwatch", "id": 2.0, "users": []}));
    scene.received(ADAS, json!({"type": "ok", "id": 2})).holds();
    let mut other = Scene::new();
    other.at(10_000).sent(ADAS, json!({"type": "unwatch", "id": 2.0, "users": []}));
    other.received(ADAS, json!({"type": "ok", "id": 3})).breaks("P11", "");
}

#[test]
fn who_waits_as_told_is_not_refused_again() {
    let refused = |id: u64| {
        let mut error = error(id, "rate_limited", true);
        error["retry_after_ms"] = json!(500);
        error
    };
    let again = |after_ms: u64| {
        let mut scene = Scene::new();
        scene.at(10_000).sent(ADAS, send(1, KEY, "a")).received(ADAS, refused(1));
        scene.at(10_000 + after_ms).sent(ADAS, send(2, KEY, "a")).received(ADAS, refused(2));
        scene
    };
    again(500).breaks("P11", "refused again");
    again(400).holds();
    // Another process counts the user from a new connection on, and until it knows that one ended.
    let elsewhere = |opened_ms: u64, closed_ms: Option<u64>| {
        let mut scene = again(500);
        scene.plan.processes.push(scene.plan.processes[0].clone());
        scene.at(opened_ms).note(owner(3), What::Opened { socket: 3, process: 1 });
        scene.sent(3, json!({"type": "hello", "cursor": "c"}));
        scene.received(3, json!({"type": "welcome", "user": ADA, "cursor": "c", "heads": []}));
        if let Some(closed_ms) = closed_ms {
            scene.at(closed_ms).closed(3, Some(1000));
        }
        scene.entries.sort_by_key(|entry| entry.at_ms);
        scene
    };
    elsewhere(9_000, Some(9_500)).holds();
    elsewhere(10_100, None).holds();
    let mut long_ago = Scene::new();
    long_ago.plan.processes.push(long_ago.plan.processes[0].clone());
    long_ago.at(30_000).sent(ADAS, send(1, KEY, "a")).received(ADAS, refused(1));
    long_ago.at(30_500).sent(ADAS, send(2, KEY, "a")).received(ADAS, refused(2));
    long_ago.breaks("P11", "refused again");
}
