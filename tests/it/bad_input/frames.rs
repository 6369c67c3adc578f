//! Every frame a client may send, with its fields: each is broken in every way that [`super::fields`] knows.

use serde_json::{Map, Value, json};

use super::case::Case;
use super::fields::{Kind, Sizes, changes, good};

/// A frame type: a good frame, the answer it gets (empty for none), and what its fields hold.
struct Frame {
    good: Value,
    answer: &'static str,
    fields: Vec<(&'static str, Kind)>,
}

fn frames() -> Vec<Frame> {
    let frame =
        |good, answer, fields: &[(&'static str, Kind)]| Frame { good, answer, fields: fields.to_vec() };
    let id = ("id", Kind::RequestId);
    let optional_id = ("id", Kind::OptionalRequestId);
    let conversation = ("conversation", Kind::Conversation);
    let seq = ("seq", Kind::Seq);
    let mark = ("seq", Kind::Mark);
    let marked = ("conversation", Kind::MarkedConversation);
    let on_message = [id, conversation, seq];
    vec![
        frame(
            json!({ "type": "send", "id": "q", "conversation": "$GROUP", "client_id": "$UUID", "body": "$SECRET",
                "data": { "dice": [1, 6] }, "mentions": ["$OWNER"], "attachments": [{ "kind": "map" }],
                "reply_to": "$THEIRS_NUMBER" }),
            "ack",
            &[
                id,
                conversation,
                ("client_id", Kind::ClientId),
                ("reply_to", Kind::ReplyTo),
                ("mentions", Kind::Mentions(50)),
                ("attachments", Kind::Attachments(10)),
                ("data", Kind::Data),
            ],
        ),
        frame(
            json!({ "type": "send", "id": "q", "conversation": "$GROUP", "client_id": "$UUID", "body": "$SECRET" }),
            "ack",
            &[("body", Kind::Body)],
        ),
        frame(
            json!({ "type": "send", "id": "q", "to": "$OWNER", "client_id": "$UUID", "body": "$SECRET" }),
            "ack",
            &[("to", Kind::Peer)],
        ),
        frame(
            json!({ "type": "edit", "id": "q", "conversation": "$GROUP", "seq": "$MINE_NUMBER", "body": "$SECRET" }),
            "ack",
            &[id, conversation, seq, ("body", Kind::Body)],
        ),
        frame(
            json!({ "type": "delete", "id": "q", "conversation": "$GROUP", "seq": "$DOOMED_NUMBER" }),
            "ack",
            &on_message,
        ),
        frame(
            json!({ "type": "react", "id": "q", "conversation": "$GROUP", "seq": "$THEIRS_NUMBER", "emoji": "🎲" }),
            "ack",
            &[on_message[0], on_message[1], on_message[2], ("emoji", Kind::Emoji)],
        ),
        frame(
            json!({ "type": "read", "id": "q", "conversation": "$GROUP", "seq": "$THEIRS_NUMBER" }),
            "ok",
            &[optional_id, marked, mark],
        ),
        frame(
            json!({ "type": "delivered", "id": "q", "conversation": "$GROUP", "seq": "$THEIRS_NUMBER" }),
            "ok",
            &[optional_id, marked, mark],
        ),
        frame(
            json!({ "type": "typing", "conversation": "$GROUP", "on": true }),
            "",
            &[("conversation", Kind::Conversation), ("on", Kind::Flag)],
        ),
        frame(
            json!({ "type": "watch", "id": "q", "users": ["$OWNER"] }),
            "ok",
            &[id, ("users", Kind::Users(200))],
        ),
        frame(
            json!({ "type": "unwatch", "id": "q", "users": ["$OWNER"] }),
            "ok",
            &[id, ("users", Kind::Users(200))],
        ),
        frame(
            json!({ "type": "sync", "id": "q", "ranges": [{ "conversation": "$GROUP", "after": 0 }] }),
            "synced",
            &[id, ("ranges", Kind::Ranges(200))],
        ),
        frame(json!({ "type": "auth", "id": "q", "token": "$TOKEN" }), "ok", &[id]),
        frame(json!({ "type": "background", "id": "q" }), "ok", &[optional_id]),
        frame(json!({ "type": "foreground", "id": "q" }), "ok", &[optional_id]),
        frame(json!({ "type": "ping", "id": "q" }), "pong", &[optional_id]),
    ]
}

/// All cases of the table. In every good frame an unknown field is ignored, so each is sent with one as well.
pub fn cases(sizes: Sizes) -> Vec<Case> {
    let mut cases = Vec::new();
    for frame in frames() {
        let kind = frame.good["type"].as_str().unwrap().to_owned();
        let expect = good(frame.answer);
        let text = |object: Map<String, Value>| numbers(&Value::Object(object).to_string());
        let object = frame.good.as_object().unwrap().clone();
        let mut wider = object.clone();
        wider.insert("admin".into(), json!(true));
        wider.insert("sender".into(), json!("$OWNER"));
        cases.push(Case::text(format!("{kind}: as it should be"), &text(object.clone()), expect));
        cases.push(Case::text(format!("{kind}: unknown fields"), &text(wider), expect));
        for (field, of) in &frame.fields {
            for (label, value, expect) in changes(*of, sizes, expect) {
                let mut changed = object.clone();
                // A frame that is never answered need not tell what is not there.
                let names_nothing = frame.answer.is_empty() && value.as_ref().is_some_and(Value::is_string);
                let expect = if names_nothing { expect.or_silence() } else { expect };
                match value {
                    Some(value) => changed.insert((*field).into(), value),
                    None => changed.remove(*field),
                };
                cases.push(Case::text(format!("{kind}.{field}: {label}"), &text(changed), expect));
            }
        }
    }
    cases
}

/// `"$NAME_NUMBER"` is the number `$NAME`: a template must be JSON before it is filled.
fn numbers(template: &str) -> String {
    ["FUTURE", "THEIRS", "MINE", "DOOMED"].iter().fold(template.to_owned(), |text, name| {
        text.replace(&format!("\"${name}_NUMBER\""), &format!("${name}"))
    })
}
