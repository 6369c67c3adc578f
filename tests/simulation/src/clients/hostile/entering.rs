//! Greetings that are missing, doubled, false or too many.

use serde_json::{Value, json};

use super::super::scratch::Bench;
use super::super::wire::uuid;

/// The server waits 5 s for a hello; a little more, to see what it does then.
const HELLO_MS: u64 = 12_000;

pub(super) async fn misbehave(name: &str, mut bench: Bench) -> Option<()> {
    let token = bench.token.clone()?;
    match name {
        "no hello" => {
            bench.open().await?.drain(HELLO_MS).await;
        }
        "a request before hello" => {
            let frames = [
                json!({"type": "ping", "id": 1}),
                json!({"type": "sync", "id": 1, "ranges": []}),
                json!({"type": "auth", "id": 1, "token": token}),
                json!({"type": "fly"}),
                json!([]),
            ];
            first(&bench, bench.clone().dice.pick(&frames).clone(), &token).await?;
        }
        "hello twice" => {
            let mut scratch = bench.open().await?;
            for _ in 0..3 {
                scratch.link.send(json!({"type": "hello", "token": token}));
            }
            scratch.link.send(json!({"type": "ping", "id": "after"}));
            scratch.until(5_000, |frame| frame["id"] == "after").await;
            scratch.leave().await;
        }
        "hellos with wrong fields" => {
            for (field, value) in [
                ("token", json!(7)),
                ("device", json!("x".repeat(65))),
                ("device", json!({})),
                ("cursor", json!(1)),
                ("positions", json!([])),
                ("positions", json!({"x": -1})),
                ("positions", json!({"x".repeat(70): 1})),
                ("handover", json!(true)),
            ] {
                let mut hello = json!({"type": "hello", "token": token});
                hello[field] = value;
                first(&bench, hello, &token).await?;
            }
        }
        "a token of nobody" => {
            let tampered = format!("{}x", &token[..token.len() - 1]);
            let tokens = ["", "nonsense", "a.b.c", &tampered, &"x".repeat(8_193)];
            for token in tokens {
                first(&bench, json!({"type": "hello", "token": token}), token).await?;
            }
        }
        "a cursor and a handover of nobody" => {
            let positions: serde_json::Map<String, Value> = (0..200)
                .map(|number| (format!("g_{number:032x}"), json!(bench.dice.between(1, 1 << 52))))
                .collect();
            let session = uuid(&mut bench.dice);
            let hello = json!({"type": "hello", "token": token, "cursor": "AQAAAAAAAAABAAAAAAAAAAE",
                "handover": session, "positions": positions});
            first(&bench, hello, &token).await?;
        }
        "connections without end" => {
            for _ in 0..40 {
                let scratch = bench.open().await;
                if let Some(scratch) = scratch.filter(|_| bench.dice.chance(700)) {
                    scratch.link.send(json!({"type": "hello", "token": token}));
                }
            }
        }
        _ => {
            let mut held = Vec::new();
            for _ in 0..60 {
                if let Some(scratch) = bench.enter(Some(&token)).await {
                    held.push(scratch);
                }
            }
            for mut scratch in held {
                scratch.drain(50).await;
            }
        }
    }
    Some(())
}

/// Sends a first frame, then a hello, and reads what comes.
async fn first(bench: &Bench, frame: Value, token: &str) -> Option<()> {
    let mut scratch = bench.open().await?;
    scratch.link.send(frame);
    scratch.link.send(json!({"type": "hello", "token": token}));
    scratch.drain(1_000).await;
    Some(())
}
