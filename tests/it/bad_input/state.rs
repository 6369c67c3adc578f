//! Frames that are well formed and come at the wrong time, from the wrong user, or too often.

use std::time::Duration;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::case::{Case, close, error, fault_of};
use super::world::{SENDS_EACH, World, altered};
use crate::support::client::{Incoming, Ws};
use crate::support::raw::RawSocket;
use crate::support::server::Server;
use crate::support::{Encoding, in_parallel, now, uuid};

/// Frames about things that are not one's own, or not any more.
pub fn cases() -> Vec<Case> {
    let forbidden = error(&["forbidden"]);
    let gone = error(&["not_found"]);
    let on = |kind: &str, seq: &str, more: &str| {
        format!(r#"{{"type":"{kind}","id":"q","conversation":"$GROUP","seq":{seq}{more}}}"#)
    };
    let body = r#","body":"$SECRET""#;
    let emoji = r#","emoji":"x""#;
    vec![
        Case::text("edit somebody else's message", &on("edit", "$THEIRS", body), forbidden),
        Case::text("delete somebody else's message", &on("delete", "$THEIRS", ""), forbidden),
        Case::text("edit an erased message", &on("edit", "$ERASED", body), gone),
        Case::text("react to an erased message", &on("react", "$ERASED", emoji), gone),
        Case::text("edit a message to come", &on("edit", "$FUTURE", body), gone),
        Case::text(
            "reply to a message of another conversation",
            r#"{"type":"send","id":"q","conversation":"$GROUP","client_id":"$UUID","body":"b","reply_to":$FUTURE}"#,
            error(&["invalid"]),
        ),
        Case::text(
            "authenticate as somebody with nonsense",
            r#"{"type":"auth","id":"q","token":"nonsense"}"#,
            error(&["unauthenticated"]).or_close(&[4401]),
        ),
        Case::text(
            "authenticate with a refresh token",
            r#"{"type":"auth","id":"q","token":"$REFRESH"}"#,
            error(&["unauthenticated"]).or_close(&[4401]),
        ),
        Case::text("authenticate without a token", r#"{"type":"auth","id":"q"}"#, error(&["invalid"])),
        Case::text(
            "say hello twice",
            r#"{"type":"hello","token":"$TOKEN"}"#,
            error(&["invalid", "bad_frame", "conflict"]),
        ),
        Case::text(
            "say hello with a refresh token",
            r#"{"type":"hello","token":"$REFRESH"}"#,
            close(&[4401]),
        )
        .instead_of_hello(),
    ]
}

/// What is not for one to see answers exactly as what never was, for every request that names a conversation.
pub async fn foreign_is_as_nonexistent(world: &World) {
    let actor = &world.actors[0].account;
    let (mut ws, _) = Ws::signed_in(&world.server, Encoding::Json, actor).await;
    for template in [
        json!({ "type": "send", "client_id": "$", "body": "b" }),
        json!({ "type": "edit", "seq": world.foreign_seq, "body": "b" }),
        json!({ "type": "delete", "seq": world.foreign_seq }),
        json!({ "type": "react", "seq": world.foreign_seq, "emoji": "x" }),
        json!({ "type": "unreact", "seq": world.foreign_seq, "emoji": "x" }),
        json!({ "type": "read", "seq": world.foreign_seq }),
        json!({ "type": "delivered", "seq": world.foreign_seq }),
        json!({ "type": "sync" }),
    ] {
        let mut answers = Vec::new();
        for conversation in [world.foreign.clone(), altered(&world.foreign)] {
            let mut frame = template.clone();
            frame["id"] = json!("q");
            if frame["type"] == "sync" {
                frame["ranges"] = json!([{ "conversation": conversation, "after": 0 }]);
            } else {
                frame["conversation"] = json!(conversation);
            }
            if !frame["client_id"].is_null() {
                frame["client_id"] = json!(uuid());
            }
            answers.push(ws.ask(&frame).await);
        }
        assert_eq!(answers[0], answers[1], "{template} tells what exists");
        let silent = ["read", "delivered"].iter().any(|kind| template["type"] == *kind);
        assert!(answers[0]["code"] == "not_found" || silent && answers[0]["type"] == "ok", "{template}");
    }
}

/// A token of somebody else in mid-session ends the connection.
pub async fn auth_as_another(world: &World) {
    let (mut ws, _) = Ws::signed_in(&world.server, Encoding::Json, &world.actors[0].account).await;
    ws.send(&json!({ "type": "auth", "id": 1, "token": world.stranger.access })).await;
    assert_eq!(ws.closed().await, Some(4401));
}

/// The same client_id for something else is refused, or is the first message again; it never is a second one.
pub async fn client_id_for_something_else(world: &World) -> u64 {
    let (mut ws, _) = Ws::signed_in(&world.server, Encoding::Json, &world.actors[0].account).await;
    let mut frame =
        json!({ "type": "send", "id": 1, "conversation": world.group, "client_id": uuid(), "body": "one" });
    let first = ws.ask(&frame).await;
    assert_eq!(first["type"], "ack", "{first}");
    frame["body"] = json!("two");
    frame["id"] = json!(2);
    let second = ws.ask(&frame).await;
    let again = second["seq"] == first["seq"] && second["duplicate"] == true;
    assert!(again || second["code"] == "conflict", "{second}");
    frame["id"] = json!(3);
    let target = json!({ "to": world.owner.id });
    frame.as_object_mut().unwrap().remove("conversation");
    frame["to"] = target["to"].clone();
    let third = ws.ask(&frame).await;
    assert_eq!(third["code"], "conflict", "{third}");
    first["seq"].as_u64().unwrap()
}

/// Nineteen malformed frames in a minute are answered; one or two more end the connection. In both encodings.
pub async fn malformed_without_end(world: &World) {
    for encoding in [Encoding::Json, Encoding::Msgpack] {
        let (mut ws, _) = Ws::signed_in(&world.server, encoding, &world.actors[1].account).await;
        let nonsense = match encoding {
            Encoding::Json => Message::text("{"),
            Encoding::Msgpack => Message::binary(vec![0xc1]),
        };
        for _ in 0..19 {
            ws.send_message(nonsense.clone()).await;
            assert_eq!(ws.expect("error").await["code"], "bad_frame");
        }
        let pong = ws.ask(&json!({ "type": "ping", "id": "still here" })).await;
        assert_eq!(pong["type"], "pong");
        ws.send_message(nonsense.clone()).await;
        ws.send_message(nonsense).await;
        assert_eq!(ws.closed().await, Some(4400), "{encoding:?}");
    }
}

/// Sends beyond the rate are told how long to wait, waiting helps, and what was refused was not stored.
/// Returns the seqs that were acked.
pub async fn over_the_rate(world: &World) -> Vec<u64> {
    let (mut ws, _) = Ws::signed_in(&world.server, Encoding::Json, &world.actors[2].account).await;
    let send = |id: usize| json!({ "type": "send", "id": id, "conversation": world.group, "client_id": uuid(), "body": "flood" });
    let (burst, per_second) = (world.limit("send_burst"), world.limit("sends_per_second"));
    let count = burst + burst / 2 + 5;
    let began = now();
    for id in 0..count {
        ws.send(&send(id)).await;
    }
    let mut acked = Vec::new();
    let mut wait_ms = 0;
    for _ in 0..count {
        let answer = ws.until("an answer", |frame| frame["type"] == "ack" || frame["type"] == "error").await;
        if answer["type"] == "ack" {
            acked.push(answer["seq"].as_u64().unwrap());
            continue;
        }
        assert_eq!(answer["code"], "rate_limited", "{answer}");
        assert_eq!(fault_of(&answer), None, "{answer}");
        wait_ms = wait_ms.max(answer["retry_after_ms"].as_u64().unwrap());
    }
    // What the world has said for this actor may not have grown back yet; what grew meanwhile may be used.
    let grown = (began.elapsed().as_secs_f64() * per_second as f64).ceil() as usize;
    let allowed = burst - SENDS_EACH..=burst + grown;
    assert!(
        allowed.contains(&acked.len()) && wait_ms > 0,
        "of {count} sends {} were acked, {allowed:?} are allowed; wait {wait_ms} ms",
        acked.len()
    );
    tokio::time::sleep(Duration::from_millis(wait_ms)).await;
    let answer = ws.ask(&send(count)).await;
    assert_eq!(answer["type"], "ack", "after waiting as told: {answer}");
    acked.push(answer["seq"].as_u64().unwrap());
    acked
}

/// A client that goes on sending regardless is cut off; what was acked before stays. It happens in a direct
/// conversation, since a send that was cut off without an ack may have been stored.
pub async fn abuse(world: &World) {
    let abuser = &world.actors[3].account;
    let (mut ws, _) = Ws::signed_in(&world.server, Encoding::Json, abuser).await;
    let send = |id: &str| json!({ "type": "send", "id": id, "to": world.owner.id, "client_id": uuid(), "body": "flood" });
    let mut acks = vec![ws.ask(&send("first")).await];
    assert_eq!(acks[0]["type"], "ack", "{}", acks[0]);
    for _ in 0..200 {
        for _ in 0..100 {
            ws.send(&send("more")).await;
        }
        ws.send(&json!({ "type": "ping", "id": "round" })).await;
        loop {
            match ws.incoming().await {
                Incoming::Frame(frame) if frame["id"] == "round" => break,
                Incoming::Frame(frame) if frame["type"] == "ack" => acks.push(frame),
                Incoming::Frame(_) => {}
                Incoming::Closed(code) => {
                    assert_eq!(code, Some(4429));
                    let conversation = acks[0]["conversation"].as_str().unwrap();
                    let stored = world.rest.events(&world.owner, conversation).await;
                    let is_stored = |ack: &Value| stored.iter().any(|event| event["seq"] == ack["seq"]);
                    assert!(acks.iter().all(is_stored), "{acks:?} {stored:?}");
                    return;
                }
            }
        }
    }
    panic!("20,000 sends without a pause are tolerated");
}

/// Connections that say nothing, or begin and stop, are closed; those that never upgrade too.
pub async fn silence(server: &Server) {
    let started = now();
    let addr = server.addr();
    in_parallel(8, (0..8).collect(), move |number: usize| async move {
        let mut socket = RawSocket::upgrade(addr, Encoding::Json).await;
        // A frame begun is no hello.
        socket.write(&b"\x81\x85\x00\x00"[..number % 5]).await.unwrap();
        let frame = socket.frame().await.expect("a close frame");
        assert_eq!(frame.close_code(), Some(4408));
    })
    .await;
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "a hello timeout of 300 ms took {:?}",
        started.elapsed()
    );
    for begun in ["", "GET /v1/ws HTTP/1.1\r\nHost: x\r\n"] {
        let mut socket = RawSocket::connect(addr).await;
        socket.write(begun.as_bytes()).await.unwrap();
        // An answer (408) or a bare end are both fine; an open connection is not, and fails by its deadline.
        while socket.head().await.is_some() {}
    }
}
