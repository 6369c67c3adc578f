//! MessagePack that is broken, lies about its lengths, or uses types that JSON does not have.

use serde_json::{Value, json};

use super::case::{Case, Expect, answer, error};

const BAD_FRAME: &[&str] = &["bad_frame"];
const BAD_OR_INVALID: &[&str] = &["bad_frame", "invalid"];

const PING: &[u8] = b"\x82\xa4type\xa4ping\xa2id\xa1q";

/// All cases of the table.
pub fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = table()
        .into_iter()
        .map(|(name, bytes, expect)| Case::binary(format!("msgpack: {name}"), bytes, expect))
        .collect();
    // Cut at every octet: none may hang, crash or be taken for whole.
    for end in 1..PING.len() {
        let name = format!("msgpack: ping cut at {end}");
        cases.push(Case::binary(name, PING[..end].to_vec(), error(BAD_FRAME)));
    }
    cases
}

/// A ping with `value` as its id, written by hand.
fn ping_with(value: &[u8]) -> Vec<u8> {
    [b"\x82\xa4type\xa4ping\xa2id", value].concat()
}

/// A frame of the JSON form, which its own encoder writes.
fn frame(value: &Value) -> Vec<u8> {
    rmp_serde::to_vec_named(value).unwrap()
}

fn table() -> Vec<(&'static str, Vec<u8>, Expect)> {
    let bad = error(BAD_FRAME);
    let odd = error(BAD_OR_INVALID);
    let deep = |depth: usize| [vec![0x91; depth], vec![0xc0]].concat();
    vec![
        ("ping as it should be", PING.to_vec(), answer("pong")),
        ("the octet that is never used", vec![0xc1], bad),
        ("nil", vec![0xc0], bad),
        ("a number", vec![0x2a], bad),
        ("a text", b"\xa4ping".to_vec(), bad),
        ("a list", b"\x91\xa4ping".to_vec(), bad),
        ("an empty map", vec![0x80], odd),
        ("JSON", br#"{"type":"ping","id":"q"}"#.to_vec(), bad),
        ("trailing octet", [PING, b"\xc0"].concat(), bad),
        ("two frames in one", PING.repeat(2), bad),
        ("a map of 2^32-1 pairs", b"\xdf\xff\xff\xff\xff".to_vec(), bad),
        ("a map of 2^32-1 pairs, the first good", b"\xdf\xff\xff\xff\xff\xa4type\xa4ping".to_vec(), bad),
        ("a list of 2^32-1", b"\xdd\xff\xff\xff\xff".to_vec(), bad),
        ("a text of 2^32-1", b"\xdb\xff\xff\xff\xff".to_vec(), bad),
        ("octets of 2^32-1", b"\xc6\xff\xff\xff\xff".to_vec(), bad),
        ("an extension of 2^32-1", b"\xc9\xff\xff\xff\xff\x01".to_vec(), bad),
        ("id a text of 2^32-1", ping_with(b"\xdb\xff\xff\xff\xffq"), bad),
        ("id a list of 2^32-1", ping_with(b"\xdd\xff\xff\xff\xff\x01"), odd),
        ("id the octet that is never used", ping_with(b"\xc1"), bad),
        ("10,000 lists deep", deep(10_000), bad),
        ("id 10,000 lists deep", ping_with(&deep(10_000)), odd),
        (
            "unknown field 10,000 deep",
            [b"\x83\xa4type\xa4ping\xa2id\xa1q\xa1x".to_vec(), deep(10_000)].concat(),
            answer("pong").or_error(BAD_FRAME),
        ),
        ("id not UTF-8", ping_with(b"\xa2\xc3\x28"), odd),
        ("id a surrogate", ping_with(b"\xa3\xed\xa0\x80"), odd),
        (
            "key not UTF-8",
            b"\x83\xa4type\xa4ping\xa2id\xa1q\xa2\xc3\x28\x01".to_vec(),
            answer("pong").or_error(BAD_OR_INVALID),
        ),
        (
            "key a number",
            b"\x83\xa4type\xa4ping\xa2id\xa1q\x01\x02".to_vec(),
            answer("pong").or_error(BAD_OR_INVALID),
        ),
        ("type a number", b"\x82\xa4type\x07\xa2id\xa1q".to_vec(), odd),
        ("type unknown", b"\x82\xa4type\xa4nope\xa2id\xa1q".to_vec(), error(&["unknown_type"])),
        ("id a timestamp", ping_with(b"\xd6\xff\x00\x00\x00\x01"), odd),
        ("id an extension", ping_with(b"\xd4\x2a\x01"), odd),
        ("id a float", ping_with(b"\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00"), odd),
        ("id a whole float", ping_with(b"\xcb\x40\x00\x00\x00\x00\x00\x00\x00"), answer("pong")),
        ("id a short float", ping_with(b"\xca\x40\x00\x00\x00"), answer("pong")),
        ("id NaN", ping_with(b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00"), odd),
        ("id infinite", ping_with(b"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00"), odd),
        ("id a flag", ping_with(b"\xc3"), odd),
        ("id octets", ping_with(b"\xc4\x01q"), odd),
        ("id 2^63", ping_with(b"\xcf\x80\x00\x00\x00\x00\x00\x00\x00"), odd.or_answer("pong")),
        ("id in eight octets", ping_with(b"\xcf\x00\x00\x00\x00\x00\x00\x00\x07"), answer("pong")),
        ("id negative", ping_with(b"\xff"), answer("pong")),
        ("id twice", b"\x83\xa4type\xa4ping\xa2id\xa1q\xa2id\xa1r".to_vec(), odd),
        ("type twice", b"\x83\xa4type\xa4ping\xa2id\xa1q\xa4type\xa4ping".to_vec(), odd),
        ("body octets", frame_with_raw_body(b"\xc4\x03abc"), error(&["bad_frame", "invalid", "not_found"])),
        ("body with NUL", frame_with_raw_body(b"\xa3a\0b"), error(&["invalid"])),
        ("body not UTF-8", frame_with_raw_body(b"\xa2\xff\xff"), odd),
        ("seq a float", frame(&json!({ "type": "read", "id": "q", "conversation": "c_0", "seq": 1.5 })), odd),
        ("seq negative", frame(&json!({ "type": "read", "id": "q", "conversation": "c_0", "seq": -1 })), odd),
        ("seq a text", frame(&json!({ "type": "read", "id": "q", "conversation": "c_0", "seq": "1" })), odd),
    ]
}

/// A send to nobody known, whose body is written by hand. The body is judged before the receiver is looked
/// up.
fn frame_with_raw_body(body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x85];
    for text in ["type", "send", "id", "q", "to", "u_00000000000040008000000000000000", "client_id"] {
        bytes.extend(frame(&json!(text)));
    }
    bytes.extend(frame(&json!("00000000-0000-4000-8000-000000000000")));
    bytes.extend(frame(&json!("body")));
    bytes.extend_from_slice(body);
    bytes
}
