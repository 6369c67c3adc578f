//! The catalogue: one attacker a line, with its rate.

use serde_json::{Value, json};

use super::drive::Way;
use super::gang::{Member, frame, text};
use crate::clock::new_client_id;

/// One kind of attacker.
#[derive(Clone, Copy, Debug)]
pub struct Attacker {
    /// Its name, for `--only`.
    pub name: &'static str,
    /// The most that one attacker does in a second.
    pub per_second: f64,
    /// Connections that one attacker keeps.
    pub held: usize,
    /// How its bytes reach the server.
    pub way: Way,
    /// The bytes of its action with that number.
    pub bytes: fn(&Member, u64) -> Vec<u8>,
}

const fn attacker(
    name: &'static str,
    per_second: f64,
    held: usize,
    way: Way,
    bytes: fn(&Member, u64) -> Vec<u8>,
) -> Attacker {
    Attacker { name, per_second, held, way, bytes }
}

const FILLER: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// All of them: what is asked for and not read, slow clients, floods of frames, floods of calls, connections,
/// and bytes that are no request.
pub const ATTACKERS: &[Attacker] = &[
    // Asked for and not read.
    attacker("unread-history", 20.0, 60, Way::Unread, |m, _| m.get(&history(m))),
    attacker("unread-events", 20.0, 60, Way::Unread, |m, _| m.get(&format!("{}/events?limit=1000", room(m)))),
    attacker("unread-export", 20.0, 60, Way::Unread, |m, _| m.get("/v1/me/export")),
    attacker("unread-pipeline", 10.0, 30, Way::Unread, |m, _| m.get(&history(m)).repeat(16)),
    attacker("unread-sync", 30.0, 20, Way::UnreadSocket, |m, n| sync(m, n, 1)),
    attacker("unread-sends", 4.0, 20, Way::UnreadSocket, Member::large),
    attacker("drip-read", 20.0, 30, Way::DripRead, |m, _| m.get(&history(m))),
    // Slow writers.
    attacker("drip-head", 50.0, 40, Way::Drip, |m, _| m.get("/v1/me")),
    attacker("drip-body", 50.0, 40, Way::DripBody, |m, _| {
        m.call("PATCH", "/v1/me", &json!({ "display_name": FILLER }))
    }),
    attacker("drip-frame", 50.0, 20, Way::DripSocket, |m, n| sync(m, n, 1)),
    attacker("drip-fragments", 50.0, 20, Way::DripSocket, |_, n| fragments(n)),
    attacker("idle-connections", 20.0, 200, Way::Unread, |_, _| Vec::new()),
    attacker("no-hello", 20.0, 100, Way::Unread, |m, _| m.upgrade("tidings.v1.json", false)),
    attacker("half-frame", 20.0, 100, Way::Unread, |m, _| half_frame(m)),
    // Floods of frames.
    attacker("ping-flood", 300.0, 4, Way::Socket, |_, _| text(&json!({ "type": "ping" }))),
    attacker("control-flood", 300.0, 4, Way::Socket, |_, _| frame(0x89, b"are you there")),
    attacker("unknown-type-flood", 200.0, 4, Way::Socket, |_, n| {
        text(&json!({ "type": "weather", "id": n }))
    }),
    attacker("refused-flood", 200.0, 4, Way::Socket, |_, n| {
        text(&json!({ "type": "send", "id": n, "conversation": 7 }))
    }),
    attacker("mark-flood", 200.0, 4, Way::Socket, |_, n| mark(n)),
    attacker("auth-flood", 100.0, 4, Way::Socket, |_, n| {
        text(&json!({ "type": "auth", "id": n, "token": BAD_TOKEN }))
    }),
    attacker("typing-flood", 100.0, 4, Way::Socket, |m, n| {
        text(&json!({ "type": "typing", "conversation": m.room.as_str(), "on": n % 2 == 0 }))
    }),
    attacker("reaction-flood", 100.0, 4, Way::Socket, |m, n| {
        let kind = if n % 2 == 0 { "react" } else { "unreact" };
        text(
            &json!({ "type": kind, "id": n, "conversation": m.room.as_str(), "seq": 2 + n / 2 % 40, "emoji": "👋" }),
        )
    }),
    attacker("edit-flood", 100.0, 4, Way::Socket, |m, n| {
        text(
            &json!({ "type": "edit", "id": n, "conversation": m.room.as_str(), "seq": 2 + n % 40, "body": n.to_string() }),
        )
    }),
    attacker("send-flood", 60.0, 4, Way::Socket, |m, n| {
        say(m, n, "to", m.peers.first().map_or("", |user| user.as_str()))
    }),
    attacker("stranger-messages", 60.0, 4, Way::Socket, |m, n| {
        say(m, n, "to", m.pair[(n % 2) as usize].as_str())
    }),
    attacker("sync-many-ranges", 20.0, 4, Way::Socket, |m, n| sync(m, n, 200)),
    attacker("watch-flood", 50.0, 4, Way::Socket, |m, n| {
        let users: Vec<&str> = m.pair.iter().chain(&m.peers).map(|user| user.as_str()).collect();
        text(&json!({ "type": if n % 2 == 0 { "watch" } else { "unwatch" }, "id": n, "users": users }))
    }),
    attacker("background-flood", 200.0, 4, Way::Socket, |_, n| {
        text(&json!({ "type": if n % 2 == 0 { "background" } else { "foreground" } }))
    }),
    // Bombs.
    attacker("messagepack-lengths", 30.0, 1, Way::Packed, |_, _| {
        frame(0x82, &[0x81, 0xa4, b't', b'y', b'p', b'e', 0xdd, 0xff, 0xff, 0xff, 0xff])
    }),
    attacker("messagepack-depth", 10.0, 1, Way::Packed, |_, _| frame(0x82, &[0x91; 60_000])),
    attacker("json-depth", 10.0, 2, Way::Socket, |_, _| frame(0x81, "[".repeat(60_000).as_bytes())),
    attacker("hash-flood", 10.0, 1, Way::Unread, |m, n| {
        [m.upgrade("tidings.v1.json", false), many_keys(m, n)].concat()
    }),
    attacker("gzip-bomb", 30.0, 1, Way::Kept, |m, _| {
        m.request("PATCH", "/v1/me", "Content-Encoding: gzip\r\n", "\u{1f}x\u{8}\0\0\0\0\0\0\u{3}not much")
    }),
    attacker("large-bodies", 20.0, 1, Way::Kept, |m, _| {
        m.call("PATCH", "/v1/me", &json!({ "display_name": FILLER.repeat(900) }))
    }),
    attacker("header-flood", 20.0, 1, Way::Fresh, |m, _| {
        let headers: String = (0..90).map(|n| format!("X-Filler-{n}: {FILLER}{FILLER}\r\n")).collect();
        m.request("GET", "/v1/me", &headers, "")
    }),
    attacker("endless-head", 20.0, 1, Way::Fresh, |m, _| {
        format!("GET /{} HTTP/1.1\r\nHost: {}\r\n", FILLER.repeat(2_000), m.host).into_bytes()
    }),
    attacker("bad-framing", 30.0, 1, Way::Fresh, |m, _| {
        [m.upgrade("tidings.v1.json", false), vec![0xff; 64]].concat()
    }),
    // Calls.
    attacker("export-loop", 4.0, 1, Way::Kept, |m, _| m.get("/v1/me/export")),
    attacker("history-loop", 20.0, 1, Way::Kept, |m, _| m.get(&history(m))),
    attacker("search-scraping", 40.0, 1, Way::Kept, |m, n| {
        m.get(&format!("/v1/users?name={}&limit=50", letters(n)))
    }),
    attacker("prefix-scraping", 40.0, 1, Way::Kept, |m, n| {
        m.get(&format!("/v1/users?prefix={}&limit=50", letters(n)))
    }),
    attacker("channel-scraping", 40.0, 1, Way::Kept, |m, _| m.get("/v1/channels?limit=100")),
    attacker("path-scan", 50.0, 1, Way::Kept, |m, n| m.get(&format!("/v1/{}/{n}", letters(n)))),
    attacker("group-spam", 20.0, 1, Way::Kept, |m, _| {
        let members: Vec<&str> = m.peers.iter().map(|user| user.as_str()).collect();
        m.call("POST", "/v1/conversations", &json!({ "kind": "group", "members": members }))
    }),
    attacker("invitation-spam", 20.0, 1, Way::Kept, |m, _| {
        m.call(
            "POST",
            "/v1/conversations",
            &json!({ "kind": "group", "members": m.pair.each_ref().map(|user| user.as_str()) }),
        )
    }),
    attacker("channel-spam", 20.0, 1, Way::Kept, |m, n| {
        let name = format!("{FILLER:.20} {} {n}", m.number);
        m.call("POST", "/v1/conversations", &json!({ "kind": "channel", "name": name, "join": "open" }))
    }),
    attacker("name-squatting", 20.0, 1, Way::Kept, |m, n| {
        let name = format!("{}{:04x}", letters(n), rand::random::<u16>());
        m.unsigned("POST", "/v1/accounts", &json!({ "username": name, "password": "a long enough one 7" }))
    }),
    attacker("guest-flood", 20.0, 1, Way::Kept, |m, _| m.unsigned("POST", "/v1/accounts/guest", &json!({}))),
    attacker("claim-loop", 10.0, 1, Way::Kept, |m, _| {
        m.call("POST", "/v1/me/claim", &json!({ "username": m.taken, "password": "a long enough one 7" }))
    }),
    attacker("password-guessing", 20.0, 1, Way::Kept, |m, n| {
        m.unsigned(
            "POST",
            "/v1/tokens",
            &json!({ "username": m.taken, "password": format!("guess {n} of many") }),
        )
    }),
    attacker("refresh-guessing", 50.0, 1, Way::Kept, |m, _| {
        m.unsigned(
            "POST",
            "/v1/tokens/refresh",
            &json!({ "refresh_token": new_client_id().simple().to_string().repeat(2) }),
        )
    }),
    attacker("bad-tokens", 50.0, 1, Way::Kept, |m, _| {
        let request =
            format!("GET /v1/me HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {BAD_TOKEN}\r\n\r\n", m.host);
        request.into_bytes()
    }),
    // Connections.
    attacker("connect-loop", 50.0, 1, Way::Fresh, |_, _| Vec::new()),
    attacker("upgrade-loop", 30.0, 1, Way::Fresh, |m, _| m.upgrade("tidings.v1.json", false)),
    attacker("hello-storm", 20.0, 1, Way::Fresh, |m, _| m.upgrade("tidings.v1.json", true)),
    attacker("reconnect-loop", 20.0, 1, Way::Fresh, |m, n| {
        let hello = json!({ "type": "hello", "token": m.account.access_token, "cursor": letters(n) });
        [m.upgrade("tidings.v1.json", false), text(&hello)].concat()
    }),
];

/// A token with the right shape and a wrong signature.
const BAD_TOKEN: &str = "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ1XzAxIiwiZXhwIjo0MTAyNDQ0ODAwfQ.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn room(member: &Member) -> String {
    format!("/v1/conversations/{}", member.room)
}

fn history(member: &Member) -> String {
    format!("{}/messages?limit=200", room(member))
}

fn letters(n: u64) -> String {
    let letter = |shift: u32| char::from(b'a' + (n / 26_u64.pow(shift) % 26) as u8);
    [letter(0), letter(1), letter(2)].iter().collect()
}

fn say(_: &Member, n: u64, to: &str, whom: &str) -> Vec<u8> {
    let key = new_client_id();
    text(&json!({ "type": "send", "id": n, to: whom, "client_id": key, "body": "buy gold" }))
}

fn sync(member: &Member, n: u64, ranges: usize) -> Vec<u8> {
    let range = json!({ "conversation": member.room.as_str(), "after": 0 });
    text(&json!({ "type": "sync", "id": n, "ranges": vec![range; ranges] }))
}

fn mark(n: u64) -> Vec<u8> {
    let unknown = format!("g_{:032x}", u128::from(n) * 0x9e37_79b9_7f4a_7c15);
    text(
        &json!({ "type": if n.is_multiple_of(2) { "read" } else { "delivered" }, "conversation": unknown, "seq": n + 1 }),
    )
}

/// A message in fragments of a byte.
fn fragments(n: u64) -> Vec<u8> {
    let message = json!({ "type": "ping", "id": n }).to_string();
    let (last, parts) = message.as_bytes().split_last().unwrap_or((&b' ', &[]));
    let mut bytes = Vec::new();
    for (at, byte) in parts.iter().enumerate() {
        bytes.extend(frame(u8::from(at == 0), &[*byte]));
    }
    bytes.extend(frame(0x80, &[*last]));
    bytes
}

fn half_frame(member: &Member) -> Vec<u8> {
    let mut bytes = member.upgrade("tidings.v1.json", false);
    let frame = frame(0x81, &[b' '; 60_000]);
    bytes.extend(&frame[..59_000]);
    bytes
}

/// A hello with as many positions as a frame has room for.
fn many_keys(member: &Member, n: u64) -> Vec<u8> {
    let positions: serde_json::Map<String, Value> = (0..1_100_u64)
        .map(|key| (format!("g_{:032x}", u128::from(n) << 64 | u128::from(key)), json!(1)))
        .collect();
    text(&json!({ "type": "hello", "token": member.account.access_token, "positions": positions }))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::{ids::UserId, rest::Account};

    #[test]
    fn every_attacker_has_a_name_of_its_own_and_bytes_to_send() {
        let user = UserId::from("u_1");
        let account =
            Account { user: user.clone(), access_token: "token".into(), refresh_token: "another".into() };
        let member = Member {
            number: 0,
            account,
            room: "g_1".into(),
            peers: vec![user.clone()],
            pair: [user.clone(), user],
            taken: "taken".into(),
            server: ([127, 0, 0, 1], 1).into(),
            host: "localhost".into(),
            source: None,
        };
        let names: HashSet<&str> = ATTACKERS.iter().map(|attacker| attacker.name).collect();
        assert!(names.len() == ATTACKERS.len() && names.len() > 50, "{}", names.len());
        for attacker in ATTACKERS {
            let bytes = (attacker.bytes)(&member, 3);
            assert_eq!(
                bytes.is_empty(),
                attacker.name.contains("conne") && !attacker.name.starts_with("reco")
            );
            assert!(attacker.held > 0 && (1.0..=300.0).contains(&attacker.per_second), "{}", attacker.name);
        }
    }
}
