//! The change in the log that a request asks for, as a frame or as a call.

use std::fmt;

use serde_json::Value;

use super::log::Logged;
use super::transcript::{Asked, Request};

/// A change that makes one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish<'r> {
    /// Where; empty for a message to a user.
    pub conversation: &'r str,
    /// The kind of its event.
    pub kind: &'static str,
    /// The key, as the server spells it.
    pub client_id: Option<String>,
    /// The message that it is about.
    pub target: Option<u64>,
    /// Of a reaction: the emoji, and whether it is set.
    pub reaction: Option<(String, bool)>,
}

impl fmt::Display for Wish<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a {}", self.kind)?;
        if let Some(target) = self.target {
            write!(f, " of {target}")?;
        }
        if let Some((emoji, on)) = &self.reaction {
            write!(f, " ({emoji}, {on})")?;
        }
        if let Some(client_id) = &self.client_id {
            write!(f, " with the key {client_id}")?;
        }
        write!(
            f,
            " in {}",
            if self.conversation.is_empty() { "a direct conversation" } else { self.conversation }
        )
    }
}

impl Wish<'_> {
    /// Whether an event of the log may be the one that this made, or the one that a repetition is answered
    /// with.
    pub fn made(&self, logged: &Logged) -> bool {
        let keyed = self.kind == "message" && self.client_id.is_some();
        let reacted = self.reaction.as_ref().is_none_or(|(emoji, on)| {
            logged.fields["emoji"].as_str() == Some(emoji) && logged.fields["on"] == *on
        });
        // A reaction that is taken back although nobody had given it is acknowledged at the message.
        let nothing = self.reaction.as_ref().is_some_and(|(_, on)| !on) && logged.kind == "message";
        nothing
            || (logged.kind == self.kind
                && (!keyed || logged.client_id == self.client_id)
                && (self.target.is_none() || logged.target == self.target)
                && reacted)
    }
}

/// The change that a request asks for; `None` when it is another kind of request or makes no sense.
pub fn wish<'r>(request: &Request<'r>) -> Option<Wish<'r>> {
    match request.asked {
        Asked::Frame(_, frame) => of_frame(frame),
        Asked::Call(method, path, body) => of_call(method, path, body),
    }
}

fn of_frame(frame: &Value) -> Option<Wish<'_>> {
    let client_id = frame["client_id"].as_str().and_then(key);
    let conversation = frame["conversation"].as_str();
    let target = frame["seq"].as_u64();
    let emoji = frame["emoji"].as_str();
    let wish = |kind, client_id, reaction| Wish {
        conversation: conversation.unwrap_or_default(),
        kind,
        client_id,
        target,
        reaction,
    };
    match frame["type"].as_str()? {
        "send" => Some(Wish { target: None, ..wish("message", Some(client_id?), None) }),
        "edit" => Some(wish("edit", client_id, None)),
        "delete" => Some(wish("delete", None, None)),
        "react" => Some(wish("reaction", None, Some((emoji?.to_owned(), true)))),
        "unreact" => Some(wish("reaction", None, Some((emoji?.to_owned(), false)))),
        _ => None,
    }
}

fn of_call<'r>(method: &str, path: &'r str, body: &Value) -> Option<Wish<'r>> {
    let path = path.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    // The key of a call is in a header, which the history shows in the body as `client_id`.
    let client_id = body["client_id"].as_str().and_then(key);
    let wish = |conversation, kind, client_id, target: Option<&str>, reaction| {
        let target = target.and_then(|target| target.parse().ok());
        Some(Wish { conversation, kind, client_id, target, reaction })
    };
    match (method, parts.as_slice()) {
        ("POST", ["v1", "conversations", id, "messages"]) => {
            wish(id, "message", Some(client_id?), None, None)
        }
        ("PATCH", ["v1", "conversations", id, "messages", seq]) => {
            wish(id, "edit", client_id, Some(seq), None)
        }
        ("DELETE", ["v1", "conversations", id, "messages", seq]) => wish(id, "delete", None, Some(seq), None),
        ("PUT" | "DELETE", ["v1", "conversations", id, "messages", seq, "reactions", emoji]) => {
            wish(id, "reaction", None, Some(seq), Some((unescaped(emoji), method == "PUT")))
        }
        _ => None,
    }
}

/// A key as the server spells it.
pub fn key(text: &str) -> Option<String> {
    uuid::Uuid::parse_str(text).ok().map(|id| id.hyphenated().to_string())
}

/// A segment of a path without its escapes.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = (*first == b'%')
            .then(|| {
                std::str::from_utf8(tail.get(..2)?).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok())
            })
            .flatten();
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
