//! A case: one frame and the answers the contract allows, and the check of the answer.

use serde::Deserialize;
use serde_json::{Value, json};
use tidings::protocol::ErrorCode;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::world::{Actor, World};
use crate::support::client::{Incoming, Ws};
use crate::support::{DEADLINE, Encoding};

/// The answers a case allows. Whatever is not allowed is wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expect {
    answer: Option<&'static str>,
    errors: &'static [&'static str],
    closes: &'static [u16],
    silence: bool,
}

/// An `error` with one of these codes; the connection lives.
pub const fn error(errors: &'static [&'static str]) -> Expect {
    Expect { answer: None, errors, closes: &[], silence: false }
}

/// An answer of this type.
pub const fn answer(kind: &'static str) -> Expect {
    Expect { answer: Some(kind), errors: &[], closes: &[], silence: false }
}

/// The connection is closed with one of these codes.
pub const fn close(closes: &'static [u16]) -> Expect {
    Expect { answer: None, errors: &[], closes, silence: false }
}

/// No answer; the connection lives.
pub const SILENCE: Expect = Expect { answer: None, errors: &[], closes: &[], silence: true };

impl Expect {
    /// Allows an `error` with one of these codes as well.
    pub const fn or_error(mut self, errors: &'static [&'static str]) -> Self {
        self.errors = errors;
        self
    }

    /// Allows a close with one of these codes as well.
    pub const fn or_close(mut self, closes: &'static [u16]) -> Self {
        self.closes = closes;
        self
    }

    /// Allows an answer of this type as well.
    pub const fn or_answer(mut self, kind: &'static str) -> Self {
        self.answer = Some(kind);
        self
    }

    /// Whether an answer of this type is allowed.
    pub fn allows(self, kind: &str) -> bool {
        self.answer == Some(kind)
    }

    /// Allows no answer as well.
    pub const fn or_silence(mut self) -> Self {
        self.silence = true;
        self
    }
}

/// One bad (or just tolerable) frame, to be sent after a good hello, or instead of one.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it tries.
    pub name: String,
    /// The frame. In text, the world's `$NAMES` stand for its ids.
    pub message: Message,
    /// What may come back.
    pub expect: Expect,
    /// Whether it is sent in place of the hello.
    pub first: bool,
}

impl Case {
    /// A text frame after a good hello.
    pub fn text(name: impl Into<String>, template: &str, expect: Expect) -> Self {
        Self { name: name.into(), message: Message::text(template), expect, first: false }
    }

    /// A binary frame after a good hello on a MessagePack session.
    pub fn binary(name: impl Into<String>, bytes: Vec<u8>, expect: Expect) -> Self {
        Self { name: name.into(), message: Message::binary(bytes), expect, first: false }
    }

    /// Sends it in place of the hello.
    pub fn instead_of_hello(mut self) -> Self {
        self.first = true;
        self
    }

    fn encoding(&self) -> Encoding {
        if self.message.is_binary() { Encoding::Msgpack } else { Encoding::Json }
    }
}

/// Runs the cases, 16 at a time, each on a connection of its own. Returns the seqs that were acked; panics
/// with all that went wrong.
pub async fn run_all(world: World, cases: Vec<Case>) -> (World, Vec<u64>) {
    let world = std::sync::Arc::new(world);
    let count = cases.len();
    let shared = world.clone();
    let numbered = cases.into_iter().enumerate().collect();
    let results = crate::support::in_parallel(16, numbered, move |(number, case): (usize, Case)| {
        let world = shared.clone();
        async move {
            let actor = world.actors[number % world.actors.len()].clone();
            let name = case.name.clone();
            match timeout(DEADLINE * 2, run(&world, &actor, case)).await {
                Ok(Ok(seq)) => Ok(seq),
                Ok(Err(what)) => Err(format!("{name}: {what}")),
                Err(_) => Err(format!("{name}: hung")),
            }
        }
    })
    .await;
    let mut complaints: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).cloned().collect();
    complaints.sort();
    assert!(complaints.is_empty(), "{} of {count} cases:\n{}", complaints.len(), complaints.join("\n"));
    let acked = results.into_iter().flatten().flatten().collect();
    (std::sync::Arc::into_inner(world).expect("all cases have ended"), acked)
}

/// What a frame brought about.
#[derive(Debug)]
enum Outcome {
    Silence,
    Frame(Value),
    Closed(Option<u16>),
}

async fn run(world: &World, actor: &Actor, case: Case) -> Result<Option<u64>, String> {
    let message = match &case.message {
        Message::Text(text) => Message::text(world.fill(text, actor)),
        other => other.clone(),
    };
    loop {
        let (mut ws, lives) = if case.first {
            (Ws::open(&world.server, case.encoding()).await, false)
        } else {
            (Ws::signed_in(&world.server, case.encoding(), &actor.account).await.0, true)
        };
        ws.send_message(message.clone()).await;
        if lives {
            // The answer to this shows that the connection lives, and ends the wait for a silent case.
            ws.send(&json!({ "type": "ping", "id": "probe" })).await;
        }
        let outcome = observe(&mut ws, lives).await;
        if let Outcome::Frame(frame) = &outcome
            && frame["code"] == "rate_limited"
        {
            // A case that runs into the rate limit says nothing about itself.
            let wait = frame["retry_after_ms"].as_u64().ok_or("rate_limited without retry_after_ms")?;
            tokio::time::sleep(std::time::Duration::from_millis(wait)).await;
            continue;
        }
        let acked = match &outcome {
            Outcome::Frame(frame)
                if frame["type"] == "ack" && frame["conversation"] == world.group.as_str() =>
            {
                frame["seq"].as_u64()
            }
            _ => None,
        };
        return judge(&case, &message, &outcome).map(|()| acked);
    }
}

/// Reads until the probe is answered and whatever answers the case has come, in either order. `lives` tells
/// that a probe was sent.
async fn observe(ws: &mut Ws, lives: bool) -> Outcome {
    let mut answer = None;
    let mut probed = !lives;
    while !probed || answer.is_none() {
        // An answer may come after the probe's: requests may be answered out of order. What has not come
        // shortly after it does not come.
        let patience = if probed && lives { DEADLINE / 20 } else { DEADLINE };
        let Ok(incoming) = timeout(patience, ws.incoming()).await else { break };
        match incoming {
            Incoming::Closed(code) => return Outcome::Closed(code),
            Incoming::Frame(frame) if frame["type"] == "pong" && frame["id"] == "probe" => probed = true,
            Incoming::Frame(frame) => match frame["type"].as_str() {
                Some("event" | "events" | "heads" | "typing" | "presence" | "receipt") => {}
                _ => answer = Some(frame),
            },
        }
    }
    answer.map_or(Outcome::Silence, Outcome::Frame)
}

fn judge(case: &Case, sent: &Message, outcome: &Outcome) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("{what}; wanted {:?}, got {outcome:?}", case.expect));
    match outcome {
        Outcome::Silence if case.expect.silence => Ok(()),
        Outcome::Closed(Some(code)) if case.expect.closes.contains(code) => Ok(()),
        Outcome::Frame(frame) if frame["type"] == "error" => {
            let code = frame["code"].as_str().unwrap_or_default();
            if !case.expect.errors.contains(&code) {
                return wrong("another error");
            }
            if let Some(fault) = fault_of(frame) {
                return wrong(&fault);
            }
            match sent_id(sent) {
                Some(id) if code != "bad_frame" && frame["id"] != id => {
                    wrong("the error does not repeat the id")
                }
                _ => Ok(()),
            }
        }
        Outcome::Frame(frame) if case.expect.answer == frame["type"].as_str() => match sent_id(sent) {
            Some(id) if frame["id"] != id => wrong("the answer does not repeat the id"),
            _ => Ok(()),
        },
        _ => wrong("another outcome"),
    }
}

/// What is wrong with the shape of an error frame or problem document, if anything.
pub fn fault_of(error: &Value) -> Option<String> {
    let code = error["code"].as_str().unwrap_or_default();
    let Some(known) = ErrorCode::ALL.iter().find(|known| known.as_str() == code) else {
        return Some(format!("{code:?} is not in the catalogue"));
    };
    let retryable = known.retryable();
    if error["retryable"] != retryable {
        return Some("retryable is not as the catalogue says".into());
    }
    if !error["definite"].is_boolean() || !retryable && error["definite"] != true {
        return Some("a refusal is definite".into());
    }
    if ["rate_limited", "overloaded"].contains(&code) && error["retry_after_ms"].as_u64().is_none() {
        return Some("no retry_after_ms".into());
    }
    let text = error["message"].as_str().or_else(|| error["detail"].as_str()).unwrap_or_default();
    if text.is_empty() {
        return Some("no message".into());
    }
    let insides = ["src/", ".rs:", "panicked", "SELECT", "INSERT", "sqlite", "sqlx"];
    insides.iter().find(|inside| text.contains(**inside)).map(|inside| format!("it tells {inside:?}"))
}

/// The id of a sent frame, when it has a proper one.
fn sent_id(sent: &Message) -> Option<Value> {
    let frame: Value = match sent {
        Message::Text(text) => serde_json::from_str(text).ok()?,
        Message::Binary(bytes) => {
            let mut reader = rmp_serde::Deserializer::from_read_ref(bytes);
            // Some of the corpus would overflow this side's stack as well.
            reader.set_max_depth(64);
            Value::deserialize(&mut reader).ok()?
        }
        _ => return None,
    };
    let id = frame.get("id")?;
    let proper = id.is_i64() || id.as_str().is_some_and(|id| id.len() <= 64);
    proper.then(|| id.clone())
}
