//! P5: what correct devices show at the end.

use serde_json::json;

use super::{ADA, BEN, BENS, GROUP, Scene};
use crate::clients::copy::{Conversation, Copy, Message};

/// Ben has everything of the group, one message included.
fn complete() -> Scene {
    let mut scene = Scene::new();
    scene.at(10_000).sends(3, "a").pushed(BENS, 3, "a");
    let mut conversation = Conversation::default();
    (conversation.first_seq, conversation.position, conversation.from_seq) = (1, 3, 1);
    for seq in 1..=2 {
        let user = if seq == 1 { ADA } else { BEN };
        conversation
            .events
            .insert(seq, json!({"seq": seq, "kind": "member_joined", "sender": ADA, "user": user}));
    }
    conversation.events.insert(3, json!({"seq": 3, "kind": "message", "sender": ADA, "body": "a"}));
    let message = Message { sender: ADA.to_owned(), body: Some("a".to_owned()), ..Message::default() };
    conversation.messages.insert(3, message);
    let copy = Copy {
        user: Some(BEN.to_owned()),
        complete: true,
        conversations: [(GROUP.to_owned(), conversation)].into(),
        ..Copy::default()
    };
    scene.copies.insert(1, copy);
    scene
}

fn group(scene: &mut Scene) -> &mut Conversation {
    scene.copies.get_mut(&1).unwrap().conversations.get_mut(GROUP).unwrap()
}

#[test]
fn a_complete_copy_is_right() {
    complete().holds();
}

#[test]
fn what_lacks_or_differs_is_found() {
    let mut behind = complete();
    group(&mut behind).position = 2;
    behind.breaks("P5", "up to 2");
    let mut hole = complete();
    group(&mut hole).events.remove(&2);
    hole.breaks("P5", "does not have it");
    let mut text = complete();
    group(&mut text).messages.get_mut(&3).unwrap().body = Some("b".to_owned());
    text.breaks("P5", "its text is");
    let mut unknown = complete();
    unknown.copies.get_mut(&1).unwrap().conversations.clear();
    unknown.breaks("P5", "does not know");
    let mut left = complete();
    left.leaves(4, BEN);
    assert!(left.broken().iter().any(|(_, text)| text.contains("still shows")));
}

#[test]
fn who_signed_out_or_is_not_connected_is_not_compared() {
    let mut out = complete();
    group(&mut out).position = 2;
    out.copies.get_mut(&1).unwrap().signed_out = true;
    out.holds();
    let mut away = complete();
    group(&mut away).position = 2;
    away.at(59_000).closed(BENS, None);
    assert!(away.broken().iter().all(|(promise, _)| *promise != "P5"));
}

#[test]
fn a_user_who_was_erased_leaves_copies_as_they_are() {
    let mut scene = complete();
    let logged = scene.log.events.get_mut(GROUP).unwrap().get_mut(&3).unwrap();
    (logged.body, logged.has_content, logged.deleted) = (None, false, true);
    scene.breaks("P5", "its content is gone");
    scene.log.erased.insert(ADA.to_owned());
    scene.leaves(4, ADA);
    group(&mut scene).position = 4;
    group(&mut scene).events.insert(4, json!({"seq": 4, "kind": "member_left", "sender": ADA, "user": ADA}));
    scene.holds();
}

#[test]
fn what_was_said_in_the_last_moment_may_be_under_way() {
    let said = |at_ms: u64| {
        let mut scene = complete();
        scene.at(at_ms).sends(4, "b");
        scene
    };
    said(59_900).holds();
    assert!(said(50_000).broken().iter().any(|(promise, text)| *promise == "P5" && text.contains("up to 3")));
}
