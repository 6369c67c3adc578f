//! P14: content that must be gone.

use serde_json::json;

use super::{ADA, ADAS, BEN, BENS, GROUP, Scene, event};
use crate::checker::log::Logged;

fn delete(scene: &mut Scene) {
    scene.logged(Logged { target: Some(3), ..event(4, "delete", ADA) });
    scene.at(12_000).sent(ADAS, json!({"type": "delete", "id": 9, "conversation": GROUP, "seq": 3}));
    scene.received(ADAS, json!({"type": "ack", "id": 9, "conversation": GROUP, "seq": 4}));
    for socket in [ADAS, BENS] {
        scene.received(socket, json!({"type": "event", "conversation": GROUP, "seq": 4, "kind": "delete", "sender": ADA, "target_seq": 3}));
    }
}

fn empty(scene: &mut Scene, seq: u64) {
    let logged = scene.log.events.get_mut(GROUP).unwrap().get_mut(&seq).unwrap();
    (logged.body, logged.has_content, logged.deleted) = (None, false, true);
}

#[test]
fn deleted_content_is_gone() {
    let mut scene = Scene::new();
    scene.at(10_000).sends(3, "secret").pushed(BENS, 3, "secret");
    delete(&mut scene);
    scene.breaks("P14", "deleted at 4");
    empty(&mut scene, 3);
    scene.holds();
    let messages = json!([{"seq": 3, "kind": "message", "sender": ADA, "body": "secret"}]);
    let page = json!({"messages": messages, "more": false});
    scene.at(20_000).calls(1, BEN, "GET", "/v1/conversations/g_1/messages?limit=9", 200, page);
    scene.breaks("P14", "deleted before it asked");
}

#[test]
fn a_text_that_was_replaced_is_gone() {
    let mut scene = Scene::new();
    scene.says(3, "c");
    scene.logged(Logged { target: Some(3), body: Some("b".to_owned()), ..event(4, "edit", ADA) });
    scene.logged(Logged { target: Some(3), body: Some("c".to_owned()), ..event(5, "edit", ADA) });
    scene.breaks("P14", "replaced later");
    scene.log.events.get_mut(GROUP).unwrap().get_mut(&4).unwrap().body = None;
    scene.holds();
    scene.log.events.get_mut(GROUP).unwrap().get_mut(&3).unwrap().body = Some("a".to_owned());
    scene.breaks("P14", "text of its edit");
}

#[test]
fn a_later_read_does_not_have_what_an_edit_replaced() {
    let edited = |asked_ms: u64| {
        let mut scene = Scene::new();
        scene.at(10_000).sends(3, "c").pushed(BENS, 3, "c");
        for (seq, body) in [(4, None), (5, Some("c"))] {
            let body = body.map(str::to_owned);
            scene.logged(Logged { target: Some(3), body, ..event(seq, "edit", ADA) });
            let edit = json!({"type": "edit", "id": seq + 10, "conversation": GROUP, "seq": 3, "body": "x"});
            scene.at(11_000 + seq * 100).sent(ADAS, edit);
            scene.received(ADAS, json!({"type": "ack", "id": seq + 10, "conversation": GROUP, "seq": seq}));
            for socket in [ADAS, BENS] {
                scene.received(socket, json!({"type": "event", "conversation": GROUP, "seq": seq, "kind": "edit", "sender": ADA, "target_seq": 3}));
            }
        }
        let events = json!([{"seq": 4, "kind": "edit", "sender": ADA, "target_seq": 3, "body": "b"}]);
        let page = json!({"events": events, "more": true});
        scene.at(asked_ms).calls(1, BEN, "GET", "/v1/conversations/g_1/events?after=3&limit=1", 200, page);
        scene
    };
    edited(12_000).breaks("P14", "replaced or deleted");
    edited(11_450).holds();
}

#[test]
fn nothing_of_a_deleted_conversation_is_read() {
    let mut scene = Scene::new();
    let changes = json!({"changes": {"deleted": true}});
    scene.logged(Logged { fields: changes, ..event(3, "conversation_changed", ADA) });
    scene.log.deleted.insert(GROUP.to_owned());
    scene.at(10_000).calls(0, ADA, "DELETE", "/v1/conversations/g_1", 204, json!(null)).holds();
    let page =
        json!({"events": [{"seq": 1, "kind": "member_joined", "sender": ADA, "user": ADA}], "more": true});
    scene.at(11_000).calls(1, BEN, "GET", "/v1/conversations/g_1/events?after=0&limit=1", 200, page);
    scene.breaks("P14", "deleted before it asked");
}

#[test]
fn what_an_erased_user_wrote_is_gone_and_they_are_in_nothing() {
    let mut scene = Scene::new();
    scene.says(3, "a");
    scene.log.erased.insert(ADA.to_owned());
    scene.breaks("P14", "was erased");
    empty(&mut scene, 3);
    scene.breaks("P14", "is a member");
    scene.leaves(4, ADA).holds();
}

#[test]
fn what_was_removed_a_moment_ago_may_still_be_there() {
    let mut scene = Scene::new();
    scene.says(3, "a");
    scene.log.erased.insert(ADA.to_owned());
    scene.at(55_000).calls(0, ADA, "DELETE", "/v1/me", 202, json!(null));
    scene.closed(ADAS, Some(4403)).holds();
}

#[test]
fn a_deleted_conversation_has_no_content() {
    let mut scene = Scene::new();
    scene.says(3, "a");
    scene.log.deleted.insert(GROUP.to_owned());
    scene.breaks("P14", "g_1 was deleted");
    empty(&mut scene, 3);
    scene.holds();
}
