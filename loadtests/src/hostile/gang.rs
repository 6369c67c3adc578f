//! The attackers: guests with a room full of large messages each, and the bytes that they send.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    clock::new_client_id,
    ids::{ConversationId, UserId},
    rest::{Account, Rest},
};

/// Messages in each attacker's room: as many as a guest may send at once.
const MESSAGES: usize = 40;
/// What a message of a room is full of: a character that is six times as long in JSON.
const BODY: &str = "\u{1}";
const BODY_BYTES: usize = 8_192;

/// With something to see, which a body needs.
fn large_body() -> String {
    format!("x{}", BODY.repeat(BODY_BYTES - 1))
}

/// One attacker.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its number among the attackers.
    pub number: usize,
    /// Whom it is signed in as.
    pub account: Account,
    /// A group of its own with large messages.
    pub room: ConversationId,
    /// The other attackers.
    pub peers: Vec<UserId>,
    /// The honest pair.
    pub pair: [UserId; 2],
    /// A username that is taken.
    pub taken: String,
    /// The server.
    pub server: SocketAddr,
    /// For the header `Host`.
    pub host: String,
    /// Where it connects from.
    pub source: Option<IpAddr>,
}

/// An address of its own for each client of a server on this machine, as strangers have.
pub fn address(server: SocketAddr, part: u8, number: usize) -> Option<IpAddr> {
    let local = server.ip().is_loopback() && server.is_ipv4();
    local.then(|| IpAddr::V4(Ipv4Addr::new(127, part, (number / 250) as u8, 1 + (number % 250) as u8)))
}

/// Makes `count` attackers.
pub async fn gather(base: &str, server: SocketAddr, count: usize, pair: [UserId; 2]) -> Result<Vec<Member>> {
    let host = base.trim_start_matches("http://").to_owned();
    let taken = format!("taken{:08x}", rand::random::<u32>());
    let mut gang: Vec<Member> = Vec::new();
    for number in 0..count.max(1) {
        let source = address(server, 9, number);
        let rest = Rest::from_address(base, source)?;
        if number == 0 {
            rest.account(&taken, "Taken").await?;
        }
        let account = rest.guest(&format!("Attacker {number}")).await?;
        let room = rest.group(&account, &[]).await?;
        let body = large_body();
        for _ in 0..MESSAGES {
            rest.say(&account, &room, &body).await?;
        }
        let (taken, host) = (taken.clone(), host.clone());
        let pair = pair.clone();
        gang.push(Member { number, account, room, peers: Vec::new(), pair, taken, server, host, source });
    }
    let everybody: Vec<UserId> = gang.iter().map(|member| member.account.user.clone()).collect();
    for member in &mut gang {
        member.peers = everybody.iter().filter(|user| **user != member.account.user).cloned().collect();
    }
    Ok(gang)
}

impl Member {
    /// New tokens.
    pub async fn refresh(&mut self, base: &str) -> Result<()> {
        let rest = Rest::from_address(base, self.source)?;
        self.account = rest.refresh(&self.account.refresh_token).await?;
        Ok(())
    }

    /// A request with its token.
    pub fn get(&self, path: &str) -> Vec<u8> {
        self.request("GET", path, "", "")
    }

    /// A request with its token and a body of JSON.
    pub fn call(&self, method: &str, path: &str, body: &Value) -> Vec<u8> {
        self.request(method, path, "", &body.to_string())
    }

    /// Any request with its token; `headers`: further lines, each with its end.
    pub fn request(&self, method: &str, path: &str, headers: &str, body: &str) -> Vec<u8> {
        let (host, token, length) = (&self.host, &self.account.access_token, body.len());
        let length = if body.is_empty() {
            String::new()
        } else {
            format!("Content-Type: application/json\r\nContent-Length: {length}\r\n")
        };
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n{headers}{length}\r\n{body}"
        )
        .into_bytes()
    }

    /// A request of nobody.
    pub fn unsigned(&self, method: &str, path: &str, body: &Value) -> Vec<u8> {
        let (host, body) = (&self.host, body.to_string());
        let length = body.len();
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }

    /// An upgrade; signed in by its header when `signed`.
    pub fn upgrade(&self, subprotocol: &str, signed: bool) -> Vec<u8> {
        let (host, token) = (&self.host, &self.account.access_token);
        let signature = if signed { format!("Authorization: Bearer {token}\r\n") } else { String::new() };
        format!(
            "GET /v1/ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: {subprotocol}\r\n{signature}\r\n"
        )
        .into_bytes()
    }

    /// A large message to its room.
    pub fn large(&self, id: u64) -> Vec<u8> {
        let (room, body) = (self.room.as_str(), large_body());
        let key = new_client_id();
        text(&json!({ "type": "send", "id": id, "conversation": room, "client_id": key, "body": body }))
    }
}

/// A text frame.
pub fn text(message: &Value) -> Vec<u8> {
    frame(0x81, message.to_string().as_bytes())
}

/// A WebSocket frame of a client (RFC 6455 section 5.2), with the mask zero. `first`: its first byte.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..126 => bytes.push(0x80 | length as u8),
        length @ 126..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}
