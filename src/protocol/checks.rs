//! Checks of the shape and size of what clients send, before anything is queued: one bad message must never
//! reach a batch.

use std::borrow::Cow;

use serde_json::Value;
use unicode_normalization::UnicodeNormalization;

use super::client::SendContent;
use super::visible;
use crate::domain::{
    Content, DEVICE_NAME_CHARS, JsonText, Limits, REASON_CHARS, Refusal, SHOWN_NAME_CHARS, TOPIC_CHARS,
};

/// The name of an erased account.
const ERASED_NAME: &str = "deleted";

fn invalid<T>(why: &'static str) -> Result<T, Refusal> {
    Err(Refusal::Invalid(Cow::Borrowed(why)))
}

/// Checks a message body.
///
/// # Errors
/// `Invalid` when nothing of it is visible or it contains NUL (databases refuse it), `TooLarge` above the
/// limit.
pub fn body(text: &str, limits: &Limits) -> Result<(), Refusal> {
    if text.len() > limits.body_bytes {
        return Err(Refusal::TooLarge("body: over limits.body_bytes"));
    }
    if text.contains('\0') {
        return invalid("body: must not contain U+0000");
    }
    if !visible::shows_something(text) {
        return invalid("body: must show something");
    }
    Ok(())
}

/// Checks a reaction.
///
/// # Errors
/// `Invalid` unless it is 1 to 64 bytes without control characters or white space, and shows something.
pub fn emoji(text: &str) -> Result<(), Refusal> {
    if text.is_empty() || text.len() > 64 || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return invalid("emoji: 1 to 64 bytes without white space or control characters");
    }
    if !visible::shows_something(text) {
        return invalid("emoji: must show something");
    }
    Ok(())
}

/// Checks a person's display name and trims it.
///
/// # Errors
/// As [`shown_name`], and `Invalid` for the name of erased accounts.
pub fn display_name(text: &str) -> Result<String, Refusal> {
    let name = shown_name(text)?;
    if name.eq_ignore_ascii_case(ERASED_NAME) {
        return invalid("name: erased accounts are shown with this one");
    }
    Ok(name)
}

/// Checks a name shown to people (display name, conversation name) and trims it.
///
/// # Errors
/// `Invalid` unless it is 1 to 64 characters that show something, without control characters and without
/// characters that hide or reorder others.
pub fn shown_name(text: &str) -> Result<String, Refusal> {
    let trimmed = text.trim();
    if trimmed.is_empty()
        || trimmed.chars().count() > SHOWN_NAME_CHARS
        || trimmed.chars().any(char::is_control)
    {
        return invalid("name: 1 to 64 characters without control characters");
    }
    if !visible::shows_something(trimmed) || visible::misleads(trimmed) {
        return invalid("name: must show something, without characters that hide or reorder others");
    }
    Ok(trimmed.to_owned())
}

/// Checks the name of a device that signs in and trims it; `None` when it is empty.
///
/// # Errors
/// `Invalid` unless it is at most 64 characters without control characters and without characters that hide
/// or reorder others.
pub fn device_name(text: &str) -> Result<Option<String>, Refusal> {
    let trimmed = text.trim();
    if trimmed.chars().count() > DEVICE_NAME_CHARS || trimmed.chars().any(char::is_control) {
        return invalid("device_name: at most 64 characters without control characters");
    }
    if visible::misleads(trimmed) {
        return invalid("device_name: without characters that hide or reorder others");
    }
    Ok(visible::shows_something(trimmed).then(|| trimmed.to_owned()))
}

/// Checks a conversation's topic and trims it; empty when there is to be none.
///
/// # Errors
/// `Invalid` unless it is at most 250 characters without control characters and without characters that hide
/// or reorder others, and shows something if it is not empty.
pub fn topic(text: &str) -> Result<String, Refusal> {
    let trimmed = text.trim();
    if trimmed.chars().count() > TOPIC_CHARS || trimmed.chars().any(char::is_control) {
        return invalid("topic: at most 250 characters without control characters");
    }
    if !trimmed.is_empty() && !visible::shows_something(trimmed) || visible::misleads(trimmed) {
        return invalid("topic: must show something, without characters that hide or reorder others");
    }
    Ok(trimmed.to_owned())
}

/// Checks the reason that an admin gives and trims it; `None` when it is empty.
///
/// # Errors
/// `Invalid` unless it is at most 250 characters without control characters and without characters that hide
/// or reorder others.
pub fn reason(text: &str) -> Result<Option<String>, Refusal> {
    let trimmed = text.trim();
    if trimmed.chars().count() > REASON_CHARS || trimmed.chars().any(char::is_control) {
        return invalid("reason: at most 250 characters without control characters");
    }
    if visible::misleads(trimmed) {
        return invalid("reason: without characters that hide or reorder others");
    }
    Ok((!trimmed.is_empty()).then(|| trimmed.to_owned()))
}

fn json_text(value: &Value, limits: &Limits, too_large: &'static str) -> Result<JsonText, Refusal> {
    let text = value.to_string();
    if text.len() > limits.data_bytes {
        return Err(Refusal::TooLarge(too_large));
    }
    if holds_nul(value) {
        return invalid("data, attachments: must not contain U+0000");
    }
    Ok(JsonText(text))
}

fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(list) => list.iter().any(holds_nul),
        Value::Object(map) => map.iter().any(|(key, value)| key.contains('\0') || holds_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Checks a whole message and turns it into the stored content.
///
/// # Errors
/// `Invalid` naming the field, or `TooLarge` naming the limit.
pub fn content(sent: SendContent, limits: &Limits) -> Result<Content, Refusal> {
    if let Some(text) = &sent.body {
        body(text, limits)?;
    }
    if sent.body.is_none() && sent.data.is_none() && sent.attachments.as_ref().is_none_or(Vec::is_empty) {
        return invalid("body: a message needs a body, data or an attachment");
    }
    if sent.reply_to.is_some_and(|seq| seq.get() == 0) {
        return invalid("reply_to: seqs begin at 1");
    }
    let mut mentions = sent.mentions.unwrap_or_default();
    if mentions.len() > limits.mentions {
        return Err(Refusal::TooLarge("mentions: over limits.mentions"));
    }
    mentions.sort_unstable();
    mentions.dedup();
    let attachments = match sent.attachments {
        Some(list) if list.len() > limits.attachments => {
            return Err(Refusal::TooLarge("attachments: over limits.attachments"));
        }
        Some(list) if !list.iter().all(Value::is_object) => return invalid("attachments: a list of objects"),
        Some(list) if list.is_empty() => None,
        Some(list) => Some(json_text(&Value::Array(list), limits, "attachments: over limits.data_bytes")?),
        None => None,
    };
    let data = match sent.data {
        Some(value) if !value.is_object() => return invalid("data: must be an object"),
        Some(value) => Some(json_text(&value, limits, "data: over limits.data_bytes")?),
        None => None,
    };
    Ok(Content { body: sent.body, reply_to: sent.reply_to, mentions, attachments, data })
}

/// A reaction in the form in which it is stored and compared, because two keyboards may write the same letter
/// in two ways. Variation selectors are kept, because they choose another picture.
pub fn composed(emoji: &str) -> String {
    emoji.nfc().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn checked(sent: Value) -> Result<Content, Refusal> {
        content(serde_json::from_value(sent).expect("well-typed"), &Limits::default())
    }

    #[test]
    fn a_message_needs_something_to_say() {
        assert!(checked(json!({ "body": "hi" })).is_ok());
        assert!(checked(json!({ "data": { "x": 1 } })).is_ok());
        assert!(
            checked(json!({ "data": { "x": "\\u0000" } })).is_ok(),
            "the letters of an escape are letters"
        );
        assert!(checked(json!({ "attachments": [{ "url": "x" }] })).is_ok());
        for bad in [
            json!({}),
            json!({ "body": "" }),
            json!({ "body": " \n" }),
            json!({ "body": "a\u{0}b" }),
            json!({ "data": [] }),
            json!({ "data": { "x": "\u{0}" } }),
            json!({ "attachments": [] }),
            json!({ "body": "x", "attachments": [1] }),
            json!({ "body": "x", "reply_to": 0 }),
        ] {
            assert!(matches!(checked(bad.clone()), Err(Refusal::Invalid(_))), "{bad}");
        }
    }

    #[test]
    fn sizes_are_inclusive() {
        assert!(checked(json!({ "body": "x".repeat(8_192) })).is_ok());
        assert!(matches!(checked(json!({ "body": "x".repeat(8_193) })), Err(Refusal::TooLarge(_))));
        assert!(emoji(&"x".repeat(64)).is_ok() && emoji(&"x".repeat(65)).is_err() && emoji("a b").is_err());
        assert_eq!(composed("e\u{301}"), "\u{e9}");
        assert_ne!(composed("❤\u{fe0f}"), composed("❤"), "another picture");
        assert!(shown_name(" Ada ").is_ok_and(|name| name == "Ada") && shown_name("\u{7}").is_err());
        assert!(topic(&"é".repeat(250)).is_ok() && topic(&"é".repeat(251)).is_err());
        assert!(
            topic(" On fish ").is_ok_and(|topic| topic == "On fish")
                && topic(" ").is_ok_and(|topic| topic.is_empty())
        );
        assert!(topic("two\nlines").is_err() && topic("\u{200b}").is_err() && topic("a\u{202e}b").is_err());
        assert!(display_name("Deleted").is_err() && display_name("deleted scenes").is_ok());
    }
}
