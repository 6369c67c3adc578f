//! P4, P6, P8, P12: what is pushed, in which order and when.

use serde_json::json;

use super::{ADA, ADAS, BEN, BENS, GROUP, Scene, event};
use crate::checker::log::Logged;
use crate::plan::{Fault, Hangup, Operation};

#[test]
fn an_event_that_comes_late_or_never_is_found() {
    let mut scene = Scene::new();
    scene.at(10_000).sends(3, "hello");
    scene.breaks("P6", "never");
    scene.at(12_000).pushed(BENS, 3, "hello").breaks("P6", "2000 ms later");
}

#[test]
fn without_the_bus_more_time_is_allowed_and_not_more_than_that() {
    let mut late = Scene::new();
    late.at(9_000).fault(Fault::BusAway { ms: 5_000 }).at(10_000).sends(3, "hello");
    late.at(13_000).pushed(BENS, 3, "hello").holds();
    let mut later = Scene::new();
    later.at(9_000).fault(Fault::BusAway { ms: 5_000 }).at(10_000).sends(3, "hello");
    later.at(14_500).pushed(BENS, 3, "hello").breaks("P8", "4500 ms later");
}

#[test]
fn the_bound_begins_when_the_log_works_again() {
    let mut scene = Scene::new();
    scene.at(10_000).sends(3, "hello").fault(Fault::LogHangs { ms: 2_000 });
    scene.at(16_000).pushed(BENS, 3, "hello").holds();
}

#[test]
fn who_does_not_read_or_is_gone_or_was_told_by_heads_is_not_late() {
    let mut silent = Scene::new();
    silent.at(9_000).does(1, Operation::StopReading { ms: 50_000 }).at(10_000).sends(3, "hello").holds();
    let mut gone = Scene::new();
    gone.at(10_000).sends(3, "hello").does(1, Operation::Disconnect { how: Hangup::Vanish }).holds();
    let mut closed = Scene::new();
    closed.at(10_000).sends(3, "hello").at(11_000).closed(BENS, None).connects(1, 4, BEN).holds();
    let mut told = Scene::new();
    let head = json!({"conversation": GROUP, "last_seq": 3, "read_seq": 2, "unread": 1, "first_seq": 1});
    told.at(10_000)
        .sends(3, "hello")
        .received(BENS, json!({"type": "heads", "cursor": "d", "heads": [head]}))
        .holds();
}

#[test]
fn somebody_who_is_added_is_told_so() {
    let mut scene = Scene::new();
    scene.leaves(3, BEN).joins(4, BEN, "member");
    let joined = json!({"type": "event", "conversation": GROUP, "seq": 4, "kind": "member_joined", "sender": ADA, "user": BEN});
    let left = json!({"type": "event", "conversation": GROUP, "seq": 3, "kind": "member_left", "sender": ADA, "user": BEN});
    scene.at(10_000).received(ADAS, left.clone()).received(BENS, left).received(ADAS, joined.clone());
    scene.breaks("P6", "event 4");
    scene.at(10_500).received(BENS, joined).holds();
}

#[test]
fn events_of_a_loss_ago_have_no_time() {
    let mut scene = Scene::new();
    scene.at(10_000).sends(3, "hello").pushed(BENS, 3, "hello");
    scene.at(12_000).fault(Fault::Restore { lost: 2 });
    scene.world("the log has another epoch; lost events: 4 of g_1, 5 of g_1");
    let heads = json!({"type": "heads", "cursor": "d", "reset": true, "heads": []});
    scene.at(14_000).received(ADAS, heads.clone()).received(BENS, heads).holds();
}

#[test]
fn events_may_be_left_out_until_a_node_knows_the_new_log() {
    let gap = |at_ms: u64| {
        let mut scene = Scene::new();
        scene.at(12_000).fault(Fault::FailOver { lost: 2 });
        scene.world("the log has another epoch; lost events: ");
        scene.at(at_ms).sends(3, "a").sends(4, "b").pushed(BENS, 4, "b");
        let head = json!({"conversation": GROUP, "last_seq": 4, "read_seq": 4, "unread": 0, "first_seq": 1});
        let heads = json!({"type": "heads", "cursor": "d", "reset": true, "heads": [head]});
        scene.at(at_ms + 500).received(ADAS, heads.clone()).received(BENS, heads);
        scene
    };
    gap(13_000).holds();
    gap(45_000).breaks("P4", "after a gap");
    // What the node sent before that may wait in the socket of a device that does not read.
    let mut late = gap(33_000);
    late.at(12_100).does(1, Operation::StopReading { ms: 20_500 });
    late.at(12_100).does(0, Operation::StopReading { ms: 20_500 });
    late.holds();
}

#[test]
fn heads_that_name_every_conversation_say_which_one_was_left() {
    let reset = |names: bool| {
        let mut scene = Scene::new();
        scene.leaves(3, BEN);
        let left = json!({"type": "event", "conversation": GROUP, "seq": 3, "kind": "member_left", "sender": ADA, "user": BEN});
        scene.at(10_000).received(ADAS, left);
        let head = json!({"conversation": GROUP, "last_seq": 2, "read_seq": 2, "unread": 0, "first_seq": 1});
        let heads = if names { json!([head]) } else { json!([]) };
        scene.received(BENS, json!({"type": "heads", "cursor": "d", "reset": true, "heads": heads}));
        scene
    };
    reset(true).breaks("P6", "event 3");
    reset(false).holds();
}

#[test]
fn a_loss_is_told_to_everybody() {
    let lost = || {
        let mut scene = Scene::new();
        scene.at(12_000).fault(Fault::FailOver { lost: 2 });
        scene.world("the log has another epoch; lost events: 4 of g_1");
        scene
    };
    lost().breaks("P2", "not told");
    let heads = |reset: bool| json!({"type": "heads", "cursor": "d", "reset": reset, "heads": []});
    let mut told = lost();
    told.at(14_000).received(ADAS, heads(true)).received(BENS, heads(true)).holds();
    let returned = |reset: bool| {
        let mut scene = lost();
        scene.at(14_000).received(ADAS, heads(true)).closed(BENS, None);
        scene.at(50_000).note(super::owner(4), super::What::Opened { socket: 4, process: 0 });
        scene.sent(4, json!({"type": "hello", "cursor": "c"}));
        scene.received(4, json!({"type": "welcome", "user": BEN, "cursor": "e", "more_heads": false, "reset": reset, "heads": []}));
        scene
    };
    returned(false).breaks("P2", "no reset");
    returned(true).holds();
}

#[test]
fn twice_and_gaps_and_what_heads_counted_are_found() {
    let mut twice = Scene::new();
    twice.at(10_000).sends(3, "a").pushed(BENS, 3, "a").pushed(BENS, 3, "a").breaks("P4", "twice");
    let mut gap = Scene::new();
    gap.at(10_000).sends(3, "a").sends(4, "b").pushed(BENS, 4, "b").breaks("P4", "after a gap");
    let mut counted = Scene::new();
    counted.at(10_000).pushed(BENS, 2, "a");
    assert!(counted.broken().iter().any(|(promise, _)| *promise == "P4"));
}

#[test]
fn who_lags_gets_no_events_before_heads_and_is_sent_heads() {
    let mut goes_on = Scene::new();
    goes_on.at(10_000).sends(3, "a").received(BENS, json!({"type": "lagging"})).pushed(BENS, 3, "a");
    assert!(goes_on.broken().iter().any(|(promise, text)| *promise == "P12" && text.contains("pushed")));
    let mut forgotten = Scene::new();
    forgotten.at(10_000).received(BENS, json!({"type": "lagging"})).breaks("P12", "no heads");
    let mut caught_up = Scene::new();
    let heads = json!({"type": "heads", "cursor": "d", "heads": []});
    caught_up.at(10_000).received(BENS, json!({"type": "lagging"})).at(12_000).received(BENS, heads).holds();
}

#[test]
fn a_cursor_comes_with_the_last_heads() {
    let mut scene = Scene::new();
    scene.at(10_000).opens(1, 4, BEN);
    let welcome = json!({"type": "welcome", "user": BEN, "cursor": "c", "more_heads": true, "heads": []});
    scene.received(4, welcome).received(4, json!({"type": "heads", "cursor": "d", "heads": []}));
    scene.breaks("P5", "cursor");
}

#[test]
fn holes_and_other_events_at_a_seq_are_found() {
    let mut hole = Scene::new();
    hole.says(4, "a").breaks("P2", "no event 3");
    let mut other = Scene::new();
    other.at(10_000).sends(3, "a").received(
        BENS,
        json!({"type": "event", "conversation": GROUP, "seq": 3, "kind": "message", "sender": BEN, "message_id": "m_9"}),
    );
    assert!(other.broken().iter().any(|(promise, _)| *promise == "P2"));
    let mut unknown = Scene::new();
    unknown.at(10_000).pushed(BENS, 3, "a").breaks("P2", "not in the log");
}

#[test]
fn a_deleted_conversation_has_no_times() {
    let mut scene = Scene::new();
    scene.logged(Logged {
        fields: json!({"changes": {"deleted": true}}),
        ..event(3, "conversation_changed", ADA)
    });
    scene.log.deleted.insert(GROUP.to_owned());
    scene.holds();
}
