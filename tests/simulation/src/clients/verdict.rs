//! The meaning of an answer for its request: done, refused for ever, later, or unknown.

use serde_json::Value;

use super::wire::{integer, is, owned, text};
use crate::net::Broken;

/// A person whose account is kept out tries again after so long, if the end is later.
const LOOKS_AGAIN_MS: u64 = 3_000;

/// The meaning of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It happened; the answer is here.
    Done(Value),
    /// It did not happen and never will; asking again changes nothing.
    Refused(String),
    /// It did not happen. Ask again after that many milliseconds, or as the device likes.
    Later(Option<u64>),
    /// Not known: ask again with the same key.
    Unsure(Option<u64>),
    /// The access token is not accepted.
    Unauthorized,
}

/// The meaning of the fields `code`, `retryable`, `definite` and `retry_after_ms`, which frames and problem
/// documents have alike.
pub fn of_error(error: &Value) -> Verdict {
    let wait = wait_of(error);
    match (is(error, "definite"), is(error, "retryable")) {
        _ if text(error, "code") == "unauthenticated" => Verdict::Unauthorized,
        // An operator keeps the account out: everything stays as it is until that is over.
        _ if text(error, "code") == "suspended" => Verdict::Later(wait),
        (true, true) => Verdict::Later(wait),
        (true, false) => Verdict::Refused(text(error, "code").to_owned()),
        (false, _) => Verdict::Unsure(wait),
    }
}

/// How long an error asks to wait. Nobody waits for the end of a long suspension in a run: people look now
/// and then whether it was lifted.
pub fn wait_of(error: &Value) -> Option<u64> {
    let wait = integer(error, "retry_after_ms");
    if text(error, "code") == "suspended" { wait.map(|wait| wait.min(LOOKS_AGAIN_MS)) } else { wait }
}

/// The meaning of a REST answer.
pub fn of_call(answer: Result<(u16, Value), Broken>) -> Verdict {
    match answer {
        Err(Broken) => Verdict::Unsure(None),
        Ok((200..=299, body)) => Verdict::Done(body),
        Ok((_, body)) if owned(&body, "code").is_some() => of_error(&body),
        // An answer without a code is not from the server but from something between.
        Ok((status, _)) if status >= 500 => Verdict::Unsure(None),
        Ok((401, _)) => Verdict::Unauthorized,
        Ok((status, _)) => Verdict::Refused(format!("status {status}")),
    }
}
