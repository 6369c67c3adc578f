//! P5, P13: ranges, pages, heads and numbers.

use serde_json::{Value, json};

use super::{ADA, ADAS, BEN, BENS, GROUP, Scene, ack, key};

/// The group with four messages, all of which were delivered.
fn with_messages() -> Scene {
    let mut scene = Scene::new();
    scene.at(10_000);
    for seq in 3..=6 {
        scene.sends(seq, "a").pushed(BENS, seq, "a");
    }
    scene
}

fn part(seqs: &[u64]) -> Value {
    let events: Vec<Value> =
        seqs.iter().map(|seq| json!({"seq": seq, "kind": "message", "sender": ADA})).collect();
    json!({"type": "events", "id": "s", "conversation": GROUP, "events": events})
}

fn synced(scene: &mut Scene, seqs: &[u64], more: bool) {
    let range = json!({"conversation": GROUP, "after": 2, "limit": 4});
    scene.at(20_000).sent(BENS, json!({"type": "sync", "id": "s", "ranges": [range]}));
    scene.received(BENS, part(seqs)).received(BENS, json!({"type": "synced", "id": "s", "more": more}));
}

#[test]
fn a_range_has_exactly_what_was_asked_for() {
    for (seqs, more, words) in [
        (&[4, 5, 6][..], false, "the first one is not 3"),
        (&[3, 5, 6], false, "one after the other"),
        (&[3, 4, 5], false, "knew of event 6"),
        (&[3, 4, 5, 6, 7], false, "more than were asked"),
    ] {
        let mut scene = with_messages();
        synced(&mut scene, seqs, more);
        let broken = scene.broken();
        assert!(
            broken.iter().any(|(promise, text)| *promise == "P5" && text.contains(words)),
            "{seqs:?}: {broken:?}"
        );
    }
    for (seqs, more) in [(&[3, 4, 5, 6][..], false), (&[3, 4], true)] {
        let mut scene = with_messages();
        synced(&mut scene, seqs, more);
        scene.holds();
    }
}

#[test]
fn two_syncs_do_not_mix() {
    let mut scene = with_messages();
    for (id, after) in [("s", 2), ("t", 4)] {
        let range = json!({"conversation": GROUP, "after": after, "limit": 2});
        scene.at(20_000).sent(BENS, json!({"type": "sync", "id": id, "ranges": [range]}));
    }
    let mut other = part(&[5, 6]);
    other["id"] = json!("t");
    scene.received(BENS, part(&[3, 4])).received(BENS, other);
    scene.received(BENS, json!({"type": "synced", "id": "s", "more": false}));
    scene.received(BENS, json!({"type": "synced", "id": "t", "more": false})).breaks("P11", "in the middle");
}

fn history(query: &str, seqs: &[u64], more: bool) -> Scene {
    let mut scene = with_messages();
    let messages: Vec<Value> =
        seqs.iter().map(|seq| json!({"seq": seq, "kind": "message", "sender": ADA})).collect();
    let path = format!("/v1/conversations/{GROUP}/messages?{query}");
    scene.at(20_000).calls(1, BEN, "GET", &path, 200, json!({"messages": messages, "more": more}));
    scene
}

#[test]
fn pages_of_history_have_no_holes() {
    history("limit=2&before=6", &[3, 4], false).breaks("P5", "message 5 is left out at the end");
    history("limit=3", &[3, 5, 6], false).breaks("P5", "message 4 is left out");
    history("limit=3", &[6, 5], false).breaks("P5", "ascending");
    history("limit=2", &[5, 6], false).breaks("P5", "no more");
    history("limit=9", &[3, 4, 5, 6], true).breaks("P5", "there is more");
    history("limit=2&after=3", &[5, 6], false).breaks("P5", "message 4 is left out at the beginning");
    history("limit=9", &[3, 4, 5], false).breaks("P13", "message 6 is left out");
    history("limit=2&before=6", &[4, 5], true).holds();
    history("limit=9", &[3, 4, 5, 6], false).holds();
    history("limit=2&after=3", &[4, 5], true).holds();
}

#[test]
fn a_read_after_an_ack_counts_it() {
    let head = |last_seq: u64| json!({"conversation": GROUP, "last_seq": last_seq, "read_seq": 2, "unread": last_seq - 2, "first_seq": 1});
    let mut scene = with_messages();
    let own = json!({"conversation": GROUP, "last_seq": 5, "read_seq": 5, "unread": 0, "first_seq": 1});
    scene.at(20_000).calls(0, ADA, "GET", "/v1/conversations/g_1", 200, own).breaks("P13", "ends at 5");
    // Ben was acknowledged nothing.
    let mut other = with_messages();
    other.at(20_000).calls(1, BEN, "GET", "/v1/conversations/g_1", 200, head(5)).holds();
}

#[test]
fn heads_that_nobody_asked_for_may_be_older_than_an_ack_that_came_before_them() {
    let told = || {
        let mut scene = Scene::new();
        scene.at(10_000).says(3, "a");
        let send = json!({"type": "send", "id": 1, "conversation": GROUP, "client_id": key(3), "body": "a"});
        scene.sent(ADAS, send).received(ADAS, ack(1, 3));
        let head = json!({"conversation": GROUP, "last_seq": 2, "read_seq": 2, "unread": 0, "first_seq": 1});
        scene.received(ADAS, json!({"type": "heads", "cursor": "d", "heads": [head]}));
        scene.pushed(BENS, 3, "a");
        scene
    };
    let broken = told().broken();
    assert!(
        broken.iter().any(|(promise, text)| *promise == "P13" && text.contains("ends at 2")),
        "{broken:?}"
    );
    told().pushed(ADAS, 3, "a").holds();
}

#[test]
fn unread_messages_are_counted_as_they_are() {
    let told = |unread: u64| {
        let mut scene = with_messages();
        let head =
            json!({"conversation": GROUP, "last_seq": 6, "read_seq": 4, "unread": unread, "first_seq": 1});
        scene.at(20_000).calls(1, BEN, "GET", "/v1/conversations/g_1", 200, head);
        scene
    };
    told(3).breaks("P5", "3 unread messages");
    told(1).breaks("P5", "1 unread messages");
    told(2).holds();
}

#[test]
fn read_positions_are_where_somebody_put_them() {
    let mut scene = with_messages();
    let members = scene.log.members.get_mut(GROUP).unwrap();
    members.get_mut(BEN).unwrap().read_seq = 5;
    scene.breaks("P5", "asked for 2 at most");
    scene.at(20_000).sent(BENS, json!({"type": "read", "conversation": GROUP, "seq": 5})).holds();
    scene.log.members.get_mut(GROUP).unwrap().get_mut(ADA).unwrap().read_seq = 4;
    scene.breaks("P5", "wrote message 6");
}

#[test]
fn who_asks_to_have_read_more_than_there_is_has_read_what_there_is() {
    let asked = |position: u64| {
        let mut scene = with_messages();
        scene.at(20_000).sent(BENS, json!({"type": "read", "id": "r", "conversation": GROUP, "seq": 99}));
        scene.received(BENS, json!({"type": "ok", "id": "r"}));
        scene.at(21_000).sends(7, "a").pushed(BENS, 7, "a");
        scene.log.members.get_mut(GROUP).unwrap().get_mut(BEN).unwrap().read_seq = position;
        scene
    };
    asked(5).breaks("P5", "is read up to 6");
    asked(6).holds();
}

#[test]
fn who_lags_behind_in_a_page_may_be_told_of_more() {
    let mut scene = with_messages();
    scene.says(7, "a");
    let messages =
        json!([{"seq": 5, "kind": "message", "sender": ADA}, {"seq": 6, "kind": "message", "sender": ADA}]);
    scene.at(20_000).calls(
        1,
        BEN,
        "GET",
        "/v1/conversations/g_1/messages?limit=2",
        200,
        json!({"messages": messages, "more": true}),
    );
    scene.sent(ADAS, json!({"type": "ping"})).holds();
}

#[test]
fn who_comes_back_is_told_of_what_is_newer_than_the_cursor() {
    const AGAIN: u64 = 4;
    let returns = |heads: Value| {
        let mut scene = Scene::new();
        scene.at(9_000).closed(BENS, Some(1000));
        scene.at(10_000).sends(3, "missed");
        scene
            .at(20_000)
            .note(super::owner(AGAIN), crate::history::What::Opened { socket: AGAIN, process: 0 });
        scene.sent(AGAIN, json!({"type": "hello", "token": super::token(BEN, "f1"), "cursor": "c"}));
        scene.received(
            AGAIN,
            json!({"type": "welcome", "user": BEN, "cursor": "d", "more_heads": false, "heads": heads}),
        );
        scene
    };
    returns(json!([])).breaks("P5", "was not told of message 3");
    let head = json!({"conversation": GROUP, "kind": "group", "last_seq": 3, "read_seq": 2, "unread": 1, "first_seq": 1});
    returns(json!([head])).holds();
}
