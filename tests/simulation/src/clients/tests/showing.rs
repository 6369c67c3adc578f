//! Tests of the copy of a device after events in every order.

use serde_json::{Value, json};

use super::super::copy::Conversation;

fn head(first_seq: u64, last_seq: u64) -> Value {
    json!({"conversation": "c", "kind": "group", "last_seq": last_seq, "read_seq": 1, "unread": 1, "first_seq": first_seq})
}

fn message(seq: u64) -> Value {
    json!({"seq": seq, "kind": "message", "sender": "ben", "message_id": "m", "body": format!("text {seq}")})
}

#[test]
fn edits_deletes_and_reactions_change_the_message_they_name() {
    let mut shown = Conversation::default();
    shown.take_head(&head(1, 0));
    for (event, seq) in [
        (message(1), 1),
        (message(2), 2),
        (json!({"kind": "edit", "target_seq": 1, "body": "new"}), 3),
        (json!({"kind": "reaction", "target_seq": 1, "sender": "ada", "emoji": "👍", "on": true}), 4),
        (json!({"kind": "reaction", "target_seq": 1, "sender": "cleo", "emoji": "👍", "on": true}), 5),
        (json!({"kind": "reaction", "target_seq": 1, "sender": "cleo", "emoji": "👍", "on": false}), 6),
        (json!({"kind": "edit", "target_seq": 1, "deleted": true}), 7),
        (json!({"kind": "delete", "target_seq": 2}), 8),
    ] {
        shown.take_live(&event, seq);
    }
    assert_eq!(shown.position, 8);
    assert_eq!(shown.messages[&1].body.as_deref(), Some("new"));
    assert_eq!(shown.messages[&1].reactions["👍"].iter().collect::<Vec<_>>(), ["ada"]);
    assert!(shown.messages[&2].deleted && shown.messages[&2].body.is_none());
}

#[test]
fn what_is_after_a_gap_waits_and_what_came_already_changes_nothing() {
    let mut shown = Conversation::default();
    shown.take_head(&head(1, 1));
    assert_eq!(shown.missing(), Some((0, 1)));
    shown.take_live(&message(4), 4);
    shown.take_live(&message(3), 3);
    assert_eq!((shown.position, shown.missing()), (0, Some((0, 2))));
    assert!(shown.take_read(&message(1), 1));
    assert!(shown.take_read(&message(2), 2));
    assert_eq!((shown.position, shown.missing()), (4, None));
    shown.take_live(&json!({"kind": "message", "sender": "x", "body": "other"}), 3);
    assert_eq!(shown.messages[&3].body.as_deref(), Some("text 3"));
}

#[test]
fn a_conversation_without_a_head_begins_where_its_user_may_read() {
    let mut shown = Conversation::default();
    shown.take_live(&message(8), 8);
    assert_eq!(shown.missing(), Some((0, 7)));
    assert!(shown.take_read(&message(6), 6));
    assert!(shown.take_read(&message(7), 7));
    assert_eq!((shown.position, shown.missing()), (8, None));
    // Nothing before the first live event may be read.
    let mut shown = Conversation::default();
    shown.take_live(&message(8), 8);
    shown.covered(7);
    assert_eq!((shown.position, shown.missing()), (8, None));
    // The very first event has nothing before it.
    let mut shown = Conversation::default();
    shown.take_live(&message(1), 1);
    assert_eq!((shown.position, shown.missing()), (1, None));
}

#[test]
fn unread_counts_the_messages_of_others_that_are_there() {
    let mut shown = Conversation::default();
    shown.take_head(&head(1, 0));
    (1..=4).for_each(|seq| shown.take_live(&message(seq), seq));
    assert_eq!((shown.unread("ada"), shown.unread("ben")), (3, 0));
    shown.take_live(&json!({"kind": "delete", "target_seq": 3}), 5);
    assert_eq!(shown.unread("ada"), 2);
}

#[test]
fn an_answer_with_a_hole_is_not_taken_and_what_became_hidden_is_dropped() {
    let mut shown = Conversation::default();
    shown.take_head(&head(1, 1));
    shown.take_live(&message(1), 1);
    assert!(!shown.take_read(&message(3), 3));
    assert_eq!((shown.from_seq, shown.position, shown.missing()), (1, 1, Some((1, 2))));
    // The user left and came back, so that only what is after that may be read.
    shown.take_head(&head(3, 3));
    assert!(shown.messages.is_empty());
    assert!(shown.take_read(&message(3), 3));
    assert_eq!((shown.from_seq, shown.position, shown.missing()), (3, 3, None));
}
