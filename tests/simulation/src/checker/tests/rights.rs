//! P7, P9, P10: who is shown what, and how connections and sign-ins end.

use serde_json::{Value, json};

use super::{ADA, ADAS, BEN, BENS, GROUP, Scene, event, token};
use crate::checker::log::Logged;
use crate::plan::{Behaviour, Fault};

fn left() -> Value {
    json!({"type": "event", "conversation": GROUP, "seq": 3, "kind": "member_left", "sender": ADA, "user": BEN})
}

#[test]
fn who_has_left_is_shown_nothing_later() {
    let mut scene = Scene::new();
    scene.leaves(3, BEN).at(10_000).received(ADAS, left()).received(BENS, left()).holds();
    scene.sends(4, "secret").holds();
    scene.pushed(BENS, 4, "secret").breaks("P7", "no member then");
}

#[test]
fn the_key_is_for_its_sender_only() {
    let mut scene = Scene::new();
    scene.at(10_000).sends(3, "a").received(
        BENS,
        json!({"type": "event", "conversation": GROUP, "seq": 3, "kind": "message", "sender": ADA, "client_id": "k"}),
    );
    scene.breaks("P7", "client id");
}

#[test]
fn nothing_before_the_first_event_is_shown() {
    let mut scene = Scene::new();
    let head = json!({"conversation": GROUP, "last_seq": 2, "read_seq": 2, "unread": 0, "first_seq": 2});
    scene.at(10_000).received(BENS, json!({"type": "heads", "cursor": "d", "heads": [head]}));
    let range = json!({"conversation": GROUP, "after": 0, "limit": 2});
    scene.sent(BENS, json!({"type": "sync", "id": 1, "ranges": [range]}));
    let events = json!([{"seq": 1, "kind": "member_joined", "sender": ADA, "user": ADA}, {"seq": 2, "kind": "member_joined", "sender": ADA, "user": BEN}]);
    scene.received(BENS, json!({"type": "events", "id": 1, "conversation": GROUP, "events": events}));
    scene.received(BENS, json!({"type": "synced", "id": 1, "more": false})).breaks("P7", "before 2");
}

fn signed_out() -> Scene {
    let mut scene = Scene::new();
    let user = json!({"user": {"id": BEN}, "access_token": token(BEN, "f1"), "refresh_token": "r1"});
    scene.at(500).calls_with(1, None, ("POST", "/v1/tokens", Value::Null), 200, user);
    scene.at(10_000).calls(1, BEN, "DELETE", "/v1/tokens", 204, Value::Null);
    scene
}

#[test]
fn a_token_ends_within_a_second_after_a_sign_out() {
    let mut call = signed_out();
    call.at(11_000).closed(BENS, Some(4401)).holds();
    call.at(12_000).calls(1, BEN, "GET", "/v1/me", 200, json!({})).breaks("P7", "GET /v1/me");
    let mut connection = signed_out();
    connection.at(10_800).sends(3, "a").pushed(BENS, 3, "a").at(11_000).closed(BENS, Some(4401)).holds();
    let mut goes_on = signed_out();
    goes_on.at(12_000).sends(3, "a").pushed(BENS, 3, "a").breaks("P7", "went on");
}

#[test]
fn a_sign_out_ends_its_own_sign_in_only() {
    let mut scene = signed_out();
    scene.at(10_500).closed(BENS, Some(4401));
    scene
        .at(12_000)
        .calls_with(1, Some(token(BEN, "f2")), ("GET", "/v1/me", Value::Null), 200, json!({}))
        .holds();
}

#[test]
fn a_claim_and_an_end_of_the_other_sessions_leave_ones_own() {
    for (method, path) in [("DELETE", "/v1/me/sessions"), ("POST", "/v1/me/claim")] {
        let ended = |then: &str| {
            let mut scene = Scene::new();
            let user = json!({"user": {"id": BEN}, "access_token": token(BEN, "f1"), "refresh_token": "r1"});
            scene.at(500).calls_with(1, None, ("POST", "/v1/tokens", Value::Null), 200, user);
            let from = Some(token(BEN, "f2"));
            scene.at(10_000).calls_with(1, from, (method, path, Value::Null), 200, json!({}));
            scene.at(10_500).closed(BENS, Some(4401));
            let call = ("GET", "/v1/me", Value::Null);
            scene.at(12_000).calls_with(1, Some(token(BEN, then)), call, 200, json!({}));
            scene
        };
        ended("f2").holds();
        ended("f1").breaks("P7", "GET /v1/me");
    }
}

#[test]
fn a_block_ends_signals() {
    let typing = json!({"type": "typing", "conversation": GROUP, "user": ADA, "on": true});
    let mut scene = Scene::new();
    scene.at(10_000).calls(1, BEN, "PUT", "/v1/blocks/u_ada", 204, Value::Null);
    scene.log.blocks.insert((BEN.to_owned(), ADA.to_owned()));
    let receipt = json!({"type": "receipt", "conversation": GROUP, "user": ADA, "read_seq": 2});
    scene.at(10_500).received(BENS, receipt.clone()).holds();
    scene.at(12_000).received(BENS, receipt.clone()).breaks("P7", "had blocked");
    let mut lifted = Scene::new();
    lifted.at(10_000).calls(1, BEN, "PUT", "/v1/blocks/u_ada", 204, Value::Null);
    lifted.at(11_500).calls(1, BEN, "DELETE", "/v1/blocks/u_ada", 204, Value::Null);
    lifted.at(12_000).received(BENS, receipt.clone()).holds();
    let mut missed = Scene::new();
    missed.at(9_500).fault(Fault::BusCut { process: 0 });
    missed.at(10_000).calls(1, BEN, "PUT", "/v1/blocks/u_ada", 204, Value::Null);
    missed.at(12_000).received(BENS, receipt).received(BENS, typing);
    assert!(missed.broken().iter().all(|(promise, _)| *promise != "P7"));
}

#[test]
fn a_muted_member_says_nothing() {
    let muted = |sent_at_ms: i64| {
        let mut scene = Scene::new();
        let mute = json!({"changes": {"muted": {"user": ADA, "until_ms": 9_000}}});
        scene.logged(Logged { sent_at_ms: 5_000, fields: mute, ..event(3, "conversation_changed", BEN) });
        scene.says(4, "a");
        scene.log.events.get_mut(GROUP).unwrap().get_mut(&4).unwrap().sent_at_ms = sent_at_ms;
        scene
    };
    muted(6_000).breaks("P7", "muted");
    muted(9_100).holds();
    let mut skewed = muted(6_000);
    skewed.plan.processes[0].clock_off_ms = 2_000;
    skewed.holds();
}

#[test]
fn a_banned_user_is_no_member() {
    let banned = |sent_at_ms: i64, until_ms: i64| {
        let mut scene = Scene::new();
        let ban = json!({"changes": {"banned": {"user": BEN, "until_ms": until_ms}}});
        scene.logged(Logged { sent_at_ms: 5_000, fields: ban, ..event(3, "conversation_changed", ADA) });
        scene.leaves(4, BEN).joins(5, BEN, "member");
        scene.log.events.get_mut(GROUP).unwrap().get_mut(&5).unwrap().sent_at_ms = sent_at_ms;
        scene
    };
    banned(6_000, 9_000).breaks("P7", "banned");
    banned(9_100, 9_000).holds();
    banned(6_000, 5_000).holds();
}

#[test]
fn presence_is_of_those_one_shares_something_with() {
    let online = json!({"type": "presence", "user": BEN, "state": "online"});
    let mut scene = Scene::new();
    scene.at(9_000).received(ADAS, online.clone()).holds();
    scene.leaves(3, BEN).at(10_000).received(ADAS, left()).received(BENS, left());
    scene.at(11_000).received(ADAS, online.clone()).holds();
    scene.at(14_000).received(ADAS, online).breaks("P7", "shares nothing");
}

#[test]
fn a_connection_watches_no_more_than_its_limit() {
    let watches = |seen: &[&str]| {
        let mut scene = Scene::new();
        scene.plan.devices[0].behaviour = Behaviour::Hostile;
        scene.at(10_000).sent(ADAS, json!({"type": "watch", "id": 1, "users": ["u_1", "u_2", "u_3"]}));
        for user in seen {
            scene.received(ADAS, json!({"type": "presence", "user": user, "state": "offline"}));
        }
        scene.received(ADAS, json!({"type": "ok", "id": 1}));
        scene
    };
    let all = ["u_1", "u_2", "u_3"];
    watches(&all).breaks("P11", "its limit is 2");
    watches(&["u_1", "u_2"]).holds();
    // That Ben leaves ends no watch of the others. Where one of them leaves, it may have.
    watches(&all).leaves(3, BEN).breaks("P11", "its limit is 2");
    watches(&all).leaves(3, "u_2").holds();
    watches(&all).leaves(3, ADA).holds();
}

#[test]
fn a_lost_answer_to_a_refresh_signs_nobody_out() {
    let refreshed = |again_ms: u64| {
        let mut scene = Scene::new();
        let user = json!({"user": {"id": BEN}, "access_token": token(BEN, "f1"), "refresh_token": "r1"});
        scene.at(500).calls_with(1, None, ("POST", "/v1/tokens", Value::Null), 200, user);
        let refresh = || ("POST", "/v1/tokens/refresh", json!({"refresh_token": "r1"}));
        scene.at(10_000).calls_with(1, None, refresh(), 200, Value::Null);
        if let Some(super::What::Answered { status, .. }) =
            scene.entries.last_mut().map(|entry| &mut entry.what)
        {
            *status = None;
        }
        let refused = json!({"code": "unauthenticated", "definite": true, "retryable": false});
        scene.at(10_000 + again_ms).calls_with(1, None, refresh(), 401, refused);
        scene
    };
    refreshed(2_000).breaks("P9", "signed out");
    refreshed(40_000).holds();
}

#[test]
fn who_is_asked_to_move_is_given_the_time() {
    let moved = |after_ms: u64| {
        let mut scene = Scene::new();
        let reconnect =
            json!({"type": "reconnect", "after_ms": 100, "deadline_ms": 3_000, "handover": false});
        scene
            .at(10_000)
            .received(ADAS, reconnect)
            .at(10_000 + after_ms)
            .closed(ADAS, Some(1012))
            .connects(0, 3, ADA);
        scene
    };
    moved(500).breaks("P10", "closed after 500 ms");
    moved(3_000).holds();
}
