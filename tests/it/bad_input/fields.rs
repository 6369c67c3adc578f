//! Every kind of field and what can be wrong with it. [`super::frames`] says which frame has which fields.

use serde_json::{Value, json};

use super::case::{Expect, SILENCE, answer, error};

const INVALID: &[&str] = &["invalid"];
const TOO_LARGE: &[&str] = &["too_large"];
const NOT_FOUND: &[&str] = &["not_found"];
/// A text that is no id at all may be called either.
const NO_ID: &[&str] = &["not_found", "invalid"];

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request's own id, required.
    RequestId,
    /// The request's own id, which may be left out.
    OptionalRequestId,
    /// A conversation one is in.
    Conversation,
    /// A conversation in which one tells how far one is. Whether telling it of one where one is not is an
    /// error is left open; that it is all the same whether there is such a one is not.
    MarkedConversation,
    /// A user to write to.
    Peer,
    /// The idempotency key.
    ClientId,
    /// A message's text, up to `body_bytes`.
    Body,
    /// The app's object, up to `data_bytes`.
    Data,
    /// The seq of a message that must be there.
    Seq,
    /// The seq that one has read up to.
    Mark,
    /// The seq of the message replied to.
    ReplyTo,
    /// An emoji, up to 64 bytes.
    Emoji,
    /// A flag.
    Flag,
    /// A list of user ids that are looked up, up to so many.
    Users(usize),
    /// A list of user ids that are only named, up to so many.
    Mentions(usize),
    /// A list of objects, up to so many.
    Attachments(usize),
    /// The ranges of a sync, up to so many.
    Ranges(usize),
}

/// A change to one field: its label, the new value (`None` takes the field away), and what must come.
pub type Change = (String, Option<Value>, Expect);

/// The limits that the table needs, from the welcome.
#[derive(Clone, Copy)]
pub struct Sizes {
    /// `body_bytes`.
    pub body: usize,
    /// `data_bytes`.
    pub data: usize,
}

/// All that can be wrong with a field of this kind, and some that is right at the limit. `good` is what the
/// unchanged frame is answered with.
pub fn changes(kind: Kind, sizes: Sizes, good: Expect) -> Vec<Change> {
    let mut changes = wrong_types(kind, good);
    let mut add =
        |label: &str, value: Value, expect: Expect| changes.push((label.to_owned(), Some(value), expect));
    match kind {
        Kind::RequestId | Kind::OptionalRequestId => {
            add("negative", json!(-7), good);
            add("2^53-1", json!((1_u64 << 53) - 1), good);
            add("fraction", json!(1.5), error(INVALID));
            add("64 bytes", json!("i".repeat(64)), good);
            add("65 bytes", json!("i".repeat(65)), error(INVALID));
        }
        Kind::Conversation | Kind::MarkedConversation => {
            let elsewhere =
                if kind == Kind::Conversation { error(NOT_FOUND) } else { good.or_error(NOT_FOUND) };
            add("empty", json!(""), error(NO_ID));
            add("a user's id", json!("$ME"), error(NO_ID));
            add("64 bytes of nothing", json!("x".repeat(64)), error(NO_ID));
            add("65 bytes", json!("x".repeat(65)), error(NO_ID));
            add("with NUL", json!("$GROUP\0"), error(NO_ID));
            add("in capitals", json!("C_ABCDEF0123456789ABCDEF0123456789"), error(NO_ID));
            add("a path", json!("../../etc/passwd"), error(NO_ID));
            add("SQL", json!("' OR 1=1; --"), error(NO_ID));
            add("never existed", json!("$NOWHERE"), elsewhere);
            add("somebody else's", json!("$FOREIGN"), elsewhere);
        }
        Kind::Peer => {
            add("empty", json!(""), error(NO_ID));
            add("a conversation's id", json!("$GROUP"), error(NO_ID));
            add("65 bytes", json!("x".repeat(65)), error(NO_ID));
            add("never existed", json!("$NOBODY"), error(NOT_FOUND));
            add("who has blocked us", json!("$BLOCKER"), error(&["blocked"]));
        }
        Kind::ClientId => {
            add("empty", json!(""), error(INVALID));
            add("no UUID", json!("not-a-uuid"), error(INVALID));
            add("a letter short", json!("00000000-0000-4000-8000-00000000000"), error(INVALID));
            add("a letter wrong", json!("00000000-0000-4000-8000-00000000000g"), error(INVALID));
            add("65 bytes", json!("0".repeat(65)), error(INVALID));
        }
        Kind::Body => {
            add("empty", json!(""), error(INVALID));
            add("NUL", json!("before\0after"), error(INVALID));
            add("nothing visible", json!("\u{200b}\u{2800}\u{3164}"), error(INVALID));
            add("limit", json!("b".repeat(sizes.body)), good);
            add("limit in emoji", json!("🎲".repeat(sizes.body / 4)), good);
            add("limit+1", json!("b".repeat(sizes.body + 1)), error(TOO_LARGE));
            add("limit+1 in emoji", json!("🎲".repeat(sizes.body / 4) + "b"), error(TOO_LARGE));
        }
        Kind::Data => {
            let sized = |size: usize| json!({ "k": "d".repeat(size - 8) });
            add("empty object", json!({}), good);
            add("limit", sized(sizes.data), good);
            add("limit+1", sized(sizes.data + 1), error(TOO_LARGE));
            add("NUL in a value", json!({ "k": "a\0b" }), error(INVALID));
            add("NUL in a key", json!({ "a\0b": 1 }), error(INVALID));
        }
        Kind::Seq | Kind::Mark | Kind::ReplyTo => {
            // Nothing has the place 0: there is no such message, and to have read up to there is to have read
            // none.
            let zero = if kind == Kind::Mark { good.or_error(INVALID) } else { error(NO_ID) };
            add("0", json!(0), zero);
            add("-1", json!(-1), error(INVALID));
            add("fraction", json!(1.5), error(INVALID));
            add("2^53", json!(1_u64 << 53), error(INVALID));
            add("2^53+1", json!((1_u64 << 53) + 1), error(INVALID));
            add("2^64-1", json!(u64::MAX), error(INVALID));
            let future = json!("$FUTURE_NUMBER");
            match kind {
                // A mark beyond the head is either refused or taken as the head.
                Kind::Mark => add("future", future, good.or_error(INVALID)),
                Kind::ReplyTo => add("future", future, error(INVALID)),
                _ => add("future", future, error(NOT_FOUND)),
            }
            if kind == Kind::Seq {
                add("no message there", json!(1), error(NO_ID));
            }
        }
        Kind::Emoji => {
            add("empty", json!(""), error(INVALID));
            add("NUL", json!("\0"), error(INVALID));
            add("64 bytes", json!("🎲".repeat(16)), good);
            add("65 bytes", json!("🎲".repeat(16) + "x"), error(&["too_large", "invalid"]));
        }
        Kind::Flag => {}
        Kind::Users(most) | Kind::Mentions(most) => {
            let list = |count: usize| json!(vec!["$STRANGER"; count]);
            add("empty", json!([]), good);
            add("of numbers", json!([1]), error(INVALID));
            add("of null", json!([null]), error(INVALID));
            add("limit", list(most), good);
            add("limit+1", list(most + 1), error(TOO_LARGE));
            let odd = if kind == Kind::Users(most) { good.or_error(INVALID) } else { error(INVALID) };
            add("no ids", json!(["nobody"]), odd);
            add("never existed", json!(["$NOBODY"]), good.or_error(NO_ID));
        }
        Kind::Attachments(most) => {
            let list = |count: usize| json!(vec![json!({ "kind": "map" }); count]);
            add("empty", json!([]), good);
            add("of numbers", json!([1]), error(INVALID));
            add("of null", json!([null]), error(INVALID));
            add("limit", list(most), good);
            add("limit+1", list(most + 1), error(TOO_LARGE));
            add("NUL in a value", json!([{ "url": "a\0b" }]), error(INVALID));
        }
        Kind::Ranges(most) => {
            let range =
                |conversation: &str, after: Value| json!([{ "conversation": conversation, "after": after }]);
            let limit = |limit: Value| json!([{ "conversation": "$GROUP", "after": 0, "limit": limit }]);
            add("empty", json!([]), good);
            add("of numbers", json!([1]), error(INVALID));
            add("of empty objects", json!([{}]), error(INVALID));
            add("without after", json!([{ "conversation": "$GROUP" }]), error(INVALID));
            add("without conversation", json!([{ "after": 0 }]), error(INVALID));
            for (label, after) in [
                ("null", json!(null)),
                ("text", json!("0")),
                ("-1", json!(-1)),
                ("1.5", json!(1.5)),
                ("2^53", json!(1_u64 << 53)),
                ("2^64-1", json!(u64::MAX)),
            ] {
                add(&format!("after {label}"), range("$GROUP", after), error(INVALID));
            }
            add("after 0.0", range("$GROUP", json!(0.0)), good);
            add("limit 10.0", limit(json!(10.0)), good);
            add("after future", range("$GROUP", json!("$FUTURE_NUMBER")), good);
            for (label, value) in [("0", json!(0)), ("-1", json!(-1)), ("text", json!("10"))] {
                add(&format!("limit {label}"), limit(value), error(INVALID));
            }
            add("limit 10^9", limit(json!(1_000_000_000)), good);
            add("no id", range("nowhere", json!(0)), error(NO_ID));
            add("never existed", range("$NOWHERE", json!(0)), error(NOT_FOUND));
            add("somebody else's", range("$FOREIGN", json!(0)), error(NOT_FOUND));
            let list = |count: usize| {
                json!(vec![json!({ "conversation": "$GROUP", "after": 1, "limit": 1 }); count])
            };
            add("limit of ranges", list(most), good);
            add("limit of ranges + 1", list(most + 1), error(TOO_LARGE));
        }
    }
    changes
}

/// The field gone, null, and of each JSON type that it is not.
fn wrong_types(kind: Kind, good: Expect) -> Vec<Change> {
    let optional = matches!(
        kind,
        Kind::OptionalRequestId | Kind::Data | Kind::ReplyTo | Kind::Mentions(_) | Kind::Attachments(_)
    );
    let right: &[&str] = match kind {
        Kind::RequestId | Kind::OptionalRequestId => &["a number", "a text"],
        Kind::Conversation
        | Kind::MarkedConversation
        | Kind::Peer
        | Kind::ClientId
        | Kind::Body
        | Kind::Emoji => &["a text"],
        Kind::Data => &["an object"],
        Kind::Seq | Kind::Mark | Kind::ReplyTo => &["a number"],
        Kind::Flag => &["a flag"],
        Kind::Users(_) | Kind::Mentions(_) | Kind::Attachments(_) | Kind::Ranges(_) => &["a list"],
    };
    let absent = if !optional {
        error(INVALID)
    } else if kind == Kind::OptionalRequestId && good.allows("ok") {
        // Without an id there is nothing to answer to.
        SILENCE
    } else {
        good
    };
    let types = [
        ("a number", json!(7)),
        ("a text", json!("7")),
        ("a flag", json!(true)),
        ("a list", json!([])),
        ("an object", json!({})),
    ];
    let wrong = types.into_iter().filter(|(label, _)| !right.contains(label));
    let wrong = wrong.map(|(label, value)| (label.to_owned(), Some(value), error(INVALID)));
    [("missing".to_owned(), None, absent), ("null".to_owned(), Some(Value::Null), absent)]
        .into_iter()
        .chain(wrong)
        .collect()
}

/// The answer to a good frame of this type.
pub fn good(kind: &'static str) -> Expect {
    if kind.is_empty() { SILENCE } else { answer(kind) }
}
