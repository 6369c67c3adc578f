//! Too much of everything, and clients that do not read.

use bytes::Bytes;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::super::scratch::{Bench, Scratch};
use super::super::wire::uuid;
use super::{Loot, fields};

/// Frames of one flood.
const FLOOD: usize = 400;

pub(super) async fn misbehave(name: &str, mut bench: Bench, loot: Loot) -> Option<()> {
    let mut scratch = bench.enter(bench.token.as_deref()).await?;
    let place = loot.place();
    match name {
        "a flood of sends" => {
            for number in 0..FLOOD {
                let client_id = uuid(&mut bench.dice);
                let frame = json!({"type": "send", "id": number, "conversation": place.0, "client_id": client_id,
                    "body": format!("flood {client_id}")});
                scratch = push(scratch, frame).await?;
            }
        }
        "a flood of every frame" => {
            for number in 0..FLOOD {
                let frames = fields::frames(&mut bench, &place, &loot.other());
                let frame = frames[number % frames.len()].clone();
                scratch = push(scratch, frame).await?;
            }
        }
        "a flood of syncs of 200 ranges" => {
            for number in 0..40 {
                let ranges =
                    vec![json!({"conversation": place.0, "after": 0, "limit": 1_000}); 200 + number / 30];
                let frame = json!({"type": "sync", "id": number, "ranges": ranges});
                scratch = push(scratch, frame).await?;
            }
        }
        "a flood of pings of the WebSocket" => {
            for _ in 0..FLOOD {
                if !scratch.link.send_raw(Message::Ping(Bytes::from_static(&[b'x'; 125]))) {
                    scratch.drain(50).await;
                }
            }
        }
        "never reading" => {
            // The answers to these fill every buffer on the way.
            for number in 0..100 {
                let frame = json!({"type": "sync", "id": number,
                    "ranges": [{"conversation": place.0, "after": 0, "limit": 1_000}]});
                scratch.link.send(frame);
            }
            scratch.drain(50).await;
            scratch.link.pause(true);
            scratch.drain(100_000).await;
        }
        _ => {
            for number in 0..30 {
                let frame = json!({"type": "sync", "id": number,
                    "ranges": [{"conversation": place.0, "after": 0, "limit": 1_000}]});
                scratch.link.send(frame);
                scratch.link.pause(true);
                if scratch.drain(bench.dice.between(500, 3_000)).await.is_some() {
                    return None;
                }
                scratch.link.pause(false);
                scratch.next(20).await;
            }
        }
    }
    scratch.drain(10_000).await;
    Some(())
}

/// Sends a frame as soon as there is room; `None` when the connection has ended.
async fn push(mut scratch: Scratch, frame: Value) -> Option<Scratch> {
    while !scratch.link.has_room() {
        if scratch.drain(20).await.is_some() {
            return None;
        }
    }
    scratch.link.send(frame);
    Some(scratch)
}
