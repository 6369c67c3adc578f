//! Frames whose fields have the wrong type, size or value.

use bytes::Bytes;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::super::scratch::{Bench, Scratch};
use super::super::wire::uuid;
use super::Loot;

/// Values of every type, and numbers of every size.
fn values() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(2.0),
        json!(-0.0),
        json!(9_007_199_254_740_991_u64),
        json!(9_007_199_254_740_992_u64),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1e300),
        json!(""),
        json!("1"),
        json!("\u{0}"),
        json!("x".repeat(64)),
        json!("x".repeat(65)),
        json!([]),
        json!([1]),
        json!({}),
        json!({"conversation": 1}),
    ]
}

/// A well-formed frame of each type of the protocol, about a place.
pub(super) fn frames(bench: &mut Bench, (conversation, seq): &(String, u64), user: &str) -> Vec<Value> {
    let (one, other) = (uuid(&mut bench.dice), uuid(&mut bench.dice));
    vec![
        json!({"type": "send", "id": 1, "conversation": conversation, "client_id": one, "body": "abuse"}),
        json!({"type": "edit", "id": 2, "conversation": conversation, "seq": seq, "body": "abuse", "client_id": other}),
        json!({"type": "delete", "id": 3, "conversation": conversation, "seq": seq}),
        json!({"type": "react", "id": 4, "conversation": conversation, "seq": seq, "emoji": "👋"}),
        json!({"type": "unreact", "id": 5, "conversation": conversation, "seq": seq, "emoji": "👋"}),
        json!({"type": "read", "id": 6, "conversation": conversation, "seq": seq}),
        json!({"type": "delivered", "id": 7, "conversation": conversation, "seq": seq}),
        json!({"type": "typing", "conversation": conversation, "on": true}),
        json!({"type": "watch", "id": 8, "users": [user]}),
        json!({"type": "unwatch", "id": 9, "users": [user]}),
        json!({"type": "sync", "id": 10, "ranges": [{"conversation": conversation, "after": 0, "limit": 5}]}),
        json!({"type": "auth", "id": 11, "token": "nonsense"}),
        json!({"type": "background", "id": 12}),
        json!({"type": "foreground", "id": 13}),
        json!({"type": "ping", "id": 14}),
    ]
}

pub(super) async fn misbehave(name: &str, mut bench: Bench, loot: Loot) -> Option<()> {
    let mut scratch = bench.enter(bench.token.as_deref()).await?;
    let place = loot.place();
    let frames = frames(&mut bench, &place, &loot.other());
    match name {
        "unknown types" => {
            for kind in values().into_iter().chain([json!("fly"), json!("welcome"), json!("Ping")]) {
                ask(&mut scratch, json!({"type": kind, "id": 1})).await;
            }
        }
        "ids of every type" => {
            for id in values() {
                for base in [&frames[14], &frames[5], &frames[10]] {
                    let mut frame = base.clone();
                    frame["id"] = id.clone();
                    ask(&mut scratch, frame).await;
                }
            }
        }
        "seqs of every kind" => {
            for seq in values() {
                let mut frame = frames[usize::try_from(bench.dice.between(2, 6)).ok()?].clone();
                frame["seq"] = seq.clone();
                ask(&mut scratch, frame).await;
                let range = json!({"conversation": place.0, "after": seq, "limit": 1});
                ask(&mut scratch, json!({"type": "sync", "id": "after", "ranges": [range]})).await;
                let range = json!({"conversation": place.0, "after": 0, "limit": seq});
                ask(&mut scratch, json!({"type": "sync", "id": "limit", "ranges": [range]})).await;
            }
        }
        "fields of wrong types" => {
            for _ in 0..80 {
                let mut frame = bench.dice.pick(&frames).clone();
                let fields: Vec<_> =
                    frame.as_object()?.keys().filter(|field| *field != "type").cloned().collect();
                if let Some(field) = (!fields.is_empty()).then(|| bench.dice.pick(&fields).clone()) {
                    frame[field] = bench.dice.pick(&values()).clone();
                }
                ask(&mut scratch, frame).await;
            }
        }
        "a bomb of nesting" => {
            let depth = usize::try_from(bench.dice.between(100, 20_000)).ok()?;
            let message = if bench.msgpack {
                let mut bytes = vec![0x81, 0xA1, b'x'];
                bytes.extend(vec![0x91; depth]);
                bytes.push(0xC0);
                Message::Binary(Bytes::from(bytes))
            } else {
                Message::text(format!(
                    "{{\"type\":\"ping\",\"x\":{}{}}}",
                    "[".repeat(depth),
                    "]".repeat(depth)
                ))
            };
            scratch.link.send_raw(message);
        }
        "a bomb of lengths" => {
            // Announced lengths of MessagePack: maps, lists, texts and bytes of four thousand million.
            for first in [0xDF, 0xDD, 0xDB, 0xC6, 0xC9, 0xDE, 0xDC, 0xC1] {
                let bytes = vec![0x81, 0xA1, b'x', first, 0xFF, 0xFF, 0xFF, 0xFF, 0x01];
                let message = if bench.msgpack {
                    Message::Binary(Bytes::from(bytes))
                } else {
                    Message::text(format!(
                        "{{\"type\":\"ping\",\"id\":1{}}}",
                        "0".repeat(usize::from(first) * 20)
                    ))
                };
                scratch.link.send_raw(message);
            }
        }
        "bodies too large" => {
            for bytes in [8_192, 8_193, 60_000, 70_000] {
                let mut frame = frames[0].clone();
                frame["client_id"] = json!(uuid(&mut bench.dice));
                frame["body"] = json!("x".repeat(bytes));
                ask(&mut scratch, frame).await;
            }
        }
        _ => {
            for _ in 0..25 {
                scratch.link.send_raw(if bench.msgpack {
                    Message::Binary(Bytes::from_static(&[0x81, 0xA4]))
                } else {
                    Message::text("{\"type\":")
                });
            }
        }
    }
    scratch.drain(5_000).await;
    Some(())
}

/// Sends a frame and waits a moment for what comes.
pub(super) async fn ask(scratch: &mut Scratch, frame: Value) {
    while !scratch.link.has_room() {
        scratch.drain(100).await;
    }
    scratch.link.send(frame);
    scratch.next(60).await;
}
