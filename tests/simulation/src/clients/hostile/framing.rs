//! Bytes that break RFC 6455, and sockets that are half open or slow.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use super::super::raw::{Raw, Shape};
use super::super::scratch::Bench;
use super::super::wire::encode;

/// How long an answer is awaited, in milliseconds.
const ANSWER_MS: u64 = 8_000;

pub(super) async fn misbehave(name: &str, mut bench: Bench) -> Option<()> {
    let greeted = bench.dice.chance(700);
    let mut raw = if greeted { bench.raw_welcomed().await? } else { bench.raw().await? };
    let data = raw.opcode();
    let ping = encode(&json!({"type": "ping", "id": 1}), bench.msgpack).into_data();
    match name {
        "random bytes" => {
            let mut bytes = vec![0; usize::try_from(bench.dice.between(1, 3_000)).ok()?];
            bench.dice.fill(&mut bytes);
            raw.write(&bytes).await;
        }
        "a frame cut off" => {
            let frame = Shape::whole(data).frame(&ping);
            raw.write(&frame[..frame.len() / 2]).await;
        }
        "a frame announced too long" => {
            let announced = *bench.dice.pick(&[70_000, 1 << 31, 1 << 40, u64::MAX]);
            raw.write(&Shape { announced: Some(announced), ..Shape::whole(data) }.frame(&ping)).await;
        }
        "too many fragments" => fragments(&mut raw, data, &ping).await,
        "an unknown opcode" => {
            let opcode = *bench.dice.pick(&[3, 7, 11, 15]);
            raw.write(&Shape::whole(opcode).frame(&ping)).await;
        }
        "an unmasked frame" => {
            raw.write(&Shape { masked: false, ..Shape::whole(data) }.frame(&ping)).await;
        }
        "reserved bits" => {
            let bit = *bench.dice.pick(&[0x40, 0x20, 0x10]);
            raw.write(&Shape { first: 0x80 | bit | data, ..Shape::whole(data) }.frame(&ping)).await;
        }
        "a continuation of nothing" => raw.write(&Shape::whole(0).frame(&ping)).await,
        "a control frame in fragments" => {
            raw.write(&Shape { first: 9, ..Shape::whole(9) }.frame(b"half")).await;
            raw.write(&Shape::whole(9).frame(&[b'x'; 126])).await;
        }
        "a close frame with an invalid code" => {
            let payload: &[u8] = match bench.dice.below(4) {
                0 => &[0x03],
                1 => &999_u16.to_be_bytes(),
                2 => &1005_u16.to_be_bytes(),
                _ => &[0x03, 0xE8, 0xFF, 0xFE],
            };
            raw.write(&Shape::whole(8).frame(payload)).await;
        }
        "text that is not UTF-8" => raw.write(&Shape::whole(1).frame(b"{\"type\":\"\xC3\x28\"}")).await,
        "the other encoding" => raw.write(&Shape::whole(3 - data).frame(&ping)).await,
        "half open" => {
            raw.write(&Shape::whole(data).frame(&ping)).await;
            raw.half_close().await;
        }
        _ => {
            for byte in Shape::whole(data).frame(&ping) {
                raw.write(&[byte]).await;
                sleep(Duration::from_millis(bench.dice.between(1, 900))).await;
            }
        }
    }
    raw.read(ANSWER_MS).await;
    Some(())
}

async fn fragments(raw: &mut Raw, opcode: u8, ping: &[u8]) {
    raw.write(&Shape { first: opcode, ..Shape::whole(opcode) }.frame(&ping[..1])).await;
    let empty = Shape { first: 0, ..Shape::whole(0) }.frame(b"");
    for _ in 0..8 {
        raw.write(&empty.repeat(200)).await;
        if raw.read(10).await {
            return;
        }
    }
    raw.write(&Shape::whole(0).frame(&ping[1..])).await;
}
