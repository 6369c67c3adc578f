//! What a frame says, in a few words.

use serde_json::Value;

use super::names::{Names, short};

/// The longest text of a message that is shown, in characters.
const BODY: usize = 20;
/// The longest text of a frame that has no words of its own.
const OTHER: usize = 120;
/// Heads and events of one frame that are shown.
const MOST: usize = 6;

/// A frame as words.
pub fn frame(names: &Names, frame: &Value) -> String {
    let place = names.place(&frame["conversation"]);
    let kind = frame["type"].as_str().unwrap_or("?");
    let id =
        if frame["id"].is_null() { String::new() } else { format!(" (request {})", plain(&frame["id"])) };
    let seq = &frame["seq"];
    match kind {
        "hello" => {
            let with = |field: &str| !frame[field].is_null();
            let cursor = if with("cursor") { "with a cursor" } else { "without a cursor" };
            let handover = if with("handover") { ", takes a session over" } else { "" };
            let positions = if with("positions") { ", names positions" } else { "" };
            format!("hello {cursor}{positions}{handover}")
        }
        "welcome" | "heads" => {
            let reset = if frame["reset"] == true { ", reset" } else { "" };
            let last = if frame["cursor"].is_null() { ", more follow" } else { "" };
            format!("{kind}: {}{reset}{last}", heads(names, &frame["heads"]))
        }
        "send" => {
            let to = if frame["to"].is_null() { place } else { names.user_name(&frame["to"]) };
            format!("send {} to {to}, key {}{id}", body(frame), key(&frame["client_id"]))
        }
        "edit" => format!("edit {seq} of {place}: {}{id}", body(frame)),
        "delete" | "read" | "delivered" => format!("{kind} {seq} of {place}{id}"),
        "react" | "unreact" => format!("{kind} {} to {seq} of {place}{id}", plain(&frame["emoji"])),
        "ack" => {
            let again = if frame["duplicate"] == true { ", as a repetition" } else { "" };
            format!("ack: {seq} of {place}{again}{id}")
        }
        "event" => format!("event {seq} of {place}: {}", event(names, frame)),
        "events" => {
            let events = frame["events"].as_array().map(Vec::as_slice).unwrap_or_default();
            let listed: Vec<String> =
                events.iter().take(MOST).map(|one| format!("{} {}", one["seq"], event(names, one))).collect();
            let more = if events.len() > MOST {
                format!(" and {} more", events.len() - MOST)
            } else {
                String::new()
            };
            format!("events of {place}: {}{more}{id}", listed.join(", "))
        }
        "sync" => {
            let ranges = frame["ranges"].as_array().into_iter().flatten().map(|range| {
                let limit =
                    if range["limit"].is_null() { String::new() } else { format!(" ({})", range["limit"]) };
                format!("{} after {}{limit}", names.place(&range["conversation"]), range["after"])
            });
            format!("sync {}{id}", ranges.collect::<Vec<_>>().join(", "))
        }
        "synced" => format!("synced{}{id}", if frame["more"] == true { ", there is more" } else { "" }),
        "receipt" => format!(
            "receipt of {} in {place}: received {}, read {}",
            names.user_name(&frame["user"]),
            frame["delivered_seq"],
            frame["read_seq"]
        ),
        "typing" => {
            let who = if frame["user"].is_null() {
                String::new()
            } else {
                format!("{} ", names.user_name(&frame["user"]))
            };
            format!("{who}typing in {place}: {}", if frame["on"] == true { "begins" } else { "ends" })
        }
        "presence" => format!("presence of {}: {}", names.user_name(&frame["user"]), plain(&frame["state"])),
        "watch" | "unwatch" => {
            let users = frame["users"].as_array().into_iter().flatten().map(|user| names.user_name(user));
            format!("{kind} {}{id}", users.collect::<Vec<_>>().join(", "))
        }
        "error" => {
            let definite =
                if frame["definite"] == true { "nothing was done" } else { "it may have been done" };
            let wait = if frame["retry_after_ms"].is_null() {
                String::new()
            } else {
                format!(", wait {} ms", frame["retry_after_ms"])
            };
            format!("error {}: {definite}{wait}{id}", plain(&frame["code"]))
        }
        "reconnect" => {
            format!("reconnect after {} ms, at the latest in {} ms", frame["after_ms"], frame["deadline_ms"])
        }
        "auth" => format!("auth with a token{id}"),
        _ => format!("{kind}{} {}", id, rest(names, frame)).trim_end().to_owned(),
    }
}

/// A body of a call, or of an answer, as words.
pub fn document(names: &Names, body: &Value) -> String {
    let Value::Object(fields) = body else { return other(names, body) };
    if fields.contains_key("access_token") {
        return format!("tokens of {}", names.user_name(&body["user"]["id"]));
    }
    if fields.contains_key("refresh_token") {
        return "a refresh token".to_owned();
    }
    if fields.contains_key("conversations") {
        return heads(names, &body["conversations"]);
    }
    for list in ["messages", "events"] {
        if let Some(items) = body[list].as_array() {
            let seqs: Vec<String> = items.iter().map(|item| item["seq"].to_string()).collect();
            return format!(
                "{list} {}{}",
                seqs.join(", "),
                if body["more"] == true { ", there is more" } else { "" }
            );
        }
    }
    if fields.contains_key("unread") {
        return head(names, body);
    }
    if fields.contains_key("code") {
        return frame(names, &with_type(body, "error"));
    }
    if fields.contains_key("seq") && fields.contains_key("conversation") {
        return frame(names, &with_type(body, "ack"));
    }
    other(names, body)
}

fn with_type(body: &Value, kind: &str) -> Value {
    let mut frame = body.clone();
    frame["type"] = Value::from(kind);
    frame
}

fn heads(names: &Names, heads: &Value) -> String {
    let heads = heads.as_array().map(Vec::as_slice).unwrap_or_default();
    if heads.is_empty() {
        return "no heads".to_owned();
    }
    let listed: Vec<String> = heads.iter().take(MOST).map(|one| head(names, one)).collect();
    let more = if heads.len() > MOST { format!(" and {} more", heads.len() - MOST) } else { String::new() };
    format!("{}{more}", listed.join(", "))
}

fn head(names: &Names, head: &Value) -> String {
    let place = names.place(&head["conversation"]);
    if head["left"] == true {
        return format!("{place} left");
    }
    format!("{place} up to {} (read {}, unread {})", head["last_seq"], head["read_seq"], head["unread"])
}

fn event(names: &Names, event: &Value) -> String {
    let by = names.user_name(&event["sender"]);
    let target = &event["target_seq"];
    match event["kind"].as_str().unwrap_or("?") {
        "message" if event["deleted"] == true => format!("message of {by}, its content is gone"),
        "message" => format!("message of {by} {}", body(event)),
        "edit" => format!("edit of {target} by {by} {}", body(event)),
        "delete" => format!("delete of {target} by {by}"),
        "reaction" => {
            format!("reaction {} to {target} by {by}, {}", plain(&event["emoji"]), plain(&event["on"]))
        }
        "member_joined" => format!("{} joined as {}", names.user_name(&event["user"]), plain(&event["role"])),
        "member_left" => format!("{} left ({})", names.user_name(&event["user"]), plain(&event["reason"])),
        "conversation_changed" => format!("changed by {by}: {}", other(names, &event["changes"])),
        kind => kind.to_owned(),
    }
}

fn body(value: &Value) -> String {
    match value["body"].as_str() {
        Some(text) => format!("\"{}\"", short(text.trim_end(), BODY)),
        None => "without a text".to_owned(),
    }
}

fn key(client_id: &Value) -> String {
    client_id.as_str().unwrap_or("?").chars().take(8).collect()
}

/// A value without quotes.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The fields that have no words of their own.
fn rest(names: &Names, frame: &Value) -> String {
    let mut rest = frame.clone();
    if let Some(fields) = rest.as_object_mut() {
        for field in ["type", "id", "token", "limits", "server_time", "sent_at", "message_id"] {
            fields.remove(field);
        }
        if fields.is_empty() {
            return String::new();
        }
    }
    other(names, &rest)
}

fn other(names: &Names, value: &Value) -> String {
    if value.is_null() { String::new() } else { short(&names.replace(&value.to_string()), OTHER) }
}
