//! The REST calls that a run makes, one a connection.

use std::sync::Mutex;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::state::State;

/// Reads one request, answers it and closes.
pub async fn answer(mut stream: TcpStream, state: &Mutex<State>) {
    let Some((head, body)) = request(&mut stream).await else { return };
    let mut words = head.split_whitespace();
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return };
    let token = head.lines().find_map(|line| line.strip_prefix("authorization: Bearer "));
    let (status, answer) =
        route(method, target, token.unwrap_or_default(), &body, &mut state.lock().unwrap());
    let text = if answer.is_null() { String::new() } else { answer.to_string() };
    let head = format!("HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", text.len());
    let _ = stream.write_all((head + &text).as_bytes()).await;
}

fn route(method: &str, target: &str, token: &str, body: &Value, state: &mut State) -> (u16, Value) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let parts: Vec<&str> = path.trim_start_matches("/v1/").split('/').collect();
    match (method, parts.as_slice()) {
        ("POST", ["accounts" | "tokens", ..]) => {
            let user = match body["refresh_token"].as_str() {
                Some(user) => user.to_owned(),
                None => state.user(),
            };
            let answer = json!({"user": {"id": user, "guest": true}, "access_token": user, "expires_in": 900,
                "refresh_token": user});
            (201, answer)
        }
        ("GET", ["server"]) => (200, json!({"default_conversation": null})),
        ("POST", ["conversations"]) => {
            let conversation = state.conversation(token, body["members"][0].as_str());
            (201, json!({"conversation": conversation, "kind": body["kind"], "last_seq": 1}))
        }
        ("PUT", ["conversations", conversation, "members", user]) => {
            state.join(conversation, user);
            (201, json!({"user": user}))
        }
        ("DELETE", ["conversations", conversation, "members", user]) => {
            state.leave(conversation, user);
            (204, Value::Null)
        }
        ("GET", ["conversations", conversation, "events"]) => {
            let number = |name: &str| {
                query
                    .split('&')
                    .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.parse::<usize>().ok())
            };
            (
                200,
                state.page(token, conversation, number("after").unwrap_or(0), number("limit").unwrap_or(50)),
            )
        }
        _ => (404, json!({"code": "not_found", "detail": target})),
    }
}

async fn request(stream: &mut TcpStream) -> Option<(String, Value)> {
    let mut bytes = Vec::new();
    loop {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if bytes.len() >= end + 4 + length.unwrap_or(0) {
                let body = serde_json::from_slice(&bytes[end + 4..]).unwrap_or(Value::Null);
                return Some((head, body));
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
