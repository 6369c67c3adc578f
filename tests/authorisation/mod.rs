//! Every call and every frame, by everybody who may try it, in every kind of conversation.
//!
//! `expected.txt` has the answer of each cell. Named rules ([`rules`]) say what must hold over all of them,
//! so that a change of the table cannot slip in unseen. To write the table anew: run the test with
//! `UPDATE_AUTHORISATION=1`, and read the difference as a reviewer of rights.
//!
//! A call of the OpenAPI document or a frame of the AsyncAPI document that is not in [`calls`] fails the
//! test.

mod calls;
mod cast;
mod rules;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use self::calls::{CALLS, FRAMES};
use self::cast::{Caller, Cast, Kind};
use crate::support::in_parallel;

/// The answers to one call or frame in one kind of conversation, by caller.
pub type Row = BTreeMap<Caller, String>;
/// The whole table, by call and kind. The kind is empty where a call names no conversation.
pub type Table = BTreeMap<(String, String), Row>;

const FILE: &str = "tests/authorisation/expected.txt";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_and_frame_by_everybody_is_answered_as_the_table_says() {
    let cast = Arc::new(Cast::start().await);
    let mut cells = Vec::new();
    for call in CALLS {
        let kinds = if call.names_a_conversation() { &Kind::ALL[..] } else { &[Kind::None] };
        cells.extend(kinds.iter().map(|kind| (Attempt::Call(call), *kind)));
    }
    for frame in FRAMES {
        let kinds = if frame.names_a_conversation() { &Kind::ALL[..] } else { &[Kind::None] };
        cells.extend(kinds.iter().map(|kind| (Attempt::Frame(frame), *kind)));
    }
    let rows = in_parallel(6, cells, |(attempt, kind)| {
        let cast = Arc::clone(&cast);
        async move {
            let mut row = Row::new();
            for caller in Caller::ALL {
                if caller.plays_in(kind) {
                    row.insert(caller, attempt.by(&cast, caller, kind).await);
                }
            }
            ((attempt.name(), kind.name().to_owned()), row)
        }
    });
    let table: Table = rows.await.into_iter().collect();
    rules::check(&table);
    let text = written(&table);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    if std::env::var_os("UPDATE_AUTHORISATION").is_some() {
        std::fs::write(&file, &text).expect("the table can be written");
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    let differs = different(&expected, &text);
    assert!(
        differs.is_empty(),
        "answers that differ from {FILE} (- expected, + given); if they are right, run this test with UPDATE_AUTHORISATION=1:\n{differs}"
    );
}

#[test]
fn no_call_and_no_frame_is_missing() {
    let document = |name: &str| -> Value {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
        serde_json::from_str(&std::fs::read_to_string(path).expect("the document is there"))
            .expect("it is JSON")
    };
    let mut missing = Vec::new();
    for (path, methods) in document("openapi.json")["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys() {
            let method = method.to_uppercase();
            if !CALLS.iter().any(|call| call.method == method && call.path == path) {
                missing.push(format!("{method} {path}"));
            }
        }
    }
    for name in document("asyncapi.json")["channels"]["v1"]["messages"].as_object().expect("messages").keys()
    {
        if let Some(frame) = name.strip_prefix("client.")
            && !FRAMES.iter().any(|one| one.kind == frame)
        {
            missing.push(format!("frame {frame}"));
        }
    }
    assert!(missing.is_empty(), "add to tests/authorisation/calls.rs: {missing:?}");
}

#[derive(Clone, Copy)]
enum Attempt {
    Call(&'static calls::Call),
    Frame(&'static calls::Frame),
}

impl Attempt {
    fn name(self) -> String {
        match self {
            Self::Call(call) => call.name(),
            Self::Frame(frame) => format!("frame {}", frame.name()),
        }
    }

    async fn by(self, cast: &Cast, caller: Caller, kind: Kind) -> String {
        match self {
            Self::Call(call) => cast.call(call, caller, kind).await,
            Self::Frame(frame) => cast.frame(frame, caller, kind).await,
        }
    }
}

/// One line for each call and kind.
fn written(table: &Table) -> String {
    let mut text = String::new();
    for ((name, kind), row) in table {
        let cells: Vec<String> =
            row.iter().map(|(caller, answer)| format!("{}={answer}", caller.name())).collect();
        let kind = if kind.is_empty() { "-" } else { kind };
        text.push_str(&format!("{name} | {kind} | {}\n", cells.join(" ")));
    }
    text
}

fn different(expected: &str, given: &str) -> String {
    let minus = expected.lines().filter(|line| !given.lines().any(|other| other == *line));
    let plus = given.lines().filter(|line| !expected.lines().any(|other| other == *line));
    minus.map(|line| format!("- {line}\n")).chain(plus.map(|line| format!("+ {line}\n"))).collect()
}
