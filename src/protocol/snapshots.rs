//! Every frame's bytes, kept in `tests/golden`: a change to the wire is a change to a file that somebody
//! reviews.
//!
//! After a change that is meant, run these tests with `UPDATE_DOCS=1`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use super::client::RequestId;
use super::codec::Encoding;
use super::error::{Error, ErrorCode, Failure};
use super::event::{EventList, EventView};
use super::server::{HeadEntry, HeadView, LimitsView, PresenceState, ServerFrame, Welcome};
use crate::domain::{
    Changes, ClientId, Content, ConversationId, ConversationKind, Event, EventKind, HistoryPolicy,
    JoinPolicy, JsonText, LeaveReason, Limits, Message, MessageId, Role, Seq, SessionId, Timestamp, UserId,
    with_changes,
};

fn golden(side: &str, name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(side).join(format!("{name}.txt"))
}

/// Holds `text` against its file, or writes the file.
#[expect(clippy::disallowed_methods, reason = "a switch for maintainers of the wire, not a setting")]
fn keep(side: &str, name: &str, text: &str) -> Result<(), String> {
    let path = golden(side, name);
    if std::env::var("UPDATE_DOCS").is_ok_and(|value| value == "1") {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    if kept == text { Ok(()) } else { Err(format!("{}:\n{text}", path.display())) }
}

fn hex(bytes: &[u8]) -> String {
    let lines =
        bytes.chunks(48).map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    lines.collect::<Vec<_>>().join("\n")
}

/// What stands behind a server frame's header.
fn payload(frame: &[u8]) -> &[u8] {
    let header = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    &frame[header..]
}

fn both(frame: &impl Serialize) -> String {
    let (json, packed) = (Encoding::Json.encode(frame), Encoding::MessagePack.encode(frame));
    format!("{}\n\n{}\n", String::from_utf8_lossy(payload(&json)), hex(payload(&packed)))
}

fn seq(number: u64) -> Seq {
    Seq::new(number).unwrap_or_default()
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(1_767_225_600_000 + ms)
}

const ADA: UserId = UserId::from_uuid(Uuid::from_u128(0xada));
const BEN: UserId = UserId::from_uuid(Uuid::from_u128(0xbe));

fn group() -> ConversationId {
    ConversationId::from_random(ConversationKind::Group, Uuid::from_u128(0x100))
}

fn key() -> ClientId {
    "0197f3c0-1111-7222-8333-444455556666".parse().unwrap()
}

fn message(full: bool) -> Message {
    let json = |text: &str| full.then(|| JsonText(text.to_owned()));
    Message {
        client_id: key(),
        content: Content {
            body: full.then(|| "Grüße 👋".to_owned()),
            reply_to: full.then(|| seq(3)),
            mentions: if full { vec![BEN] } else { Vec::new() },
            attachments: json(r#"[{"url":"https://files.example/1"}]"#),
            data: json(r#"{"mood":["fine",1.5,null]}"#),
        },
        edited_at: full.then(|| at(5)),
        deleted: !full,
    }
}

fn event(kind: EventKind) -> Event {
    Event { conversation: group(), seq: seq(300), sender: ADA, sent_at: at(1), kind }
}

/// A value of a field of [`Changes`].
trait Sample {
    fn sample() -> Self;
}

macro_rules! samples {
    ($($kind:ty: $sample:expr;)+) => { $(
        impl Sample for $kind {
            fn sample() -> Self {
                $sample
            }
        }
    )+ };
}

samples! {
    String: "Hall".to_owned();
    HistoryPolicy: HistoryPolicy::All;
    JoinPolicy: JoinPolicy::Open;
    Role: Role::Admin;
    Timestamp: at(7);
}

macro_rules! all_changes {
    (
        { $($(#[$doc:meta])* $name:ident: $kind:ty;)+ }
        { $($(#[$about:meta])* $of_member:ident: $value:ty as $key:ident;)+ }
    ) => {
        Changes {
            $($name: Some(Sample::sample()),)+
            $($of_member: Some((BEN, Sample::sample())),)+
            deleted: true,
        }
    };
}

fn events() -> Vec<(&'static str, Event)> {
    let changes = with_changes!(all_changes);
    vec![
        ("message", event(EventKind::Message(message(true)))),
        ("message_deleted", event(EventKind::Message(message(false)))),
        ("edit", event(EventKind::Edit { target: seq(4), body: Some("new".to_owned()) })),
        ("edit_deleted", event(EventKind::Edit { target: seq(4), body: None })),
        ("delete", event(EventKind::Delete { target: seq(4) })),
        ("reaction", event(EventKind::Reaction { target: seq(4), emoji: "👍".to_owned(), on: false })),
        ("member_joined", event(EventKind::MemberJoined { user: BEN, role: Role::Member })),
        ("member_left", event(EventKind::MemberLeft { user: BEN, reason: LeaveReason::Erased })),
        ("conversation_changed", event(EventKind::ConversationChanged(changes))),
    ]
}

fn heads() -> Vec<HeadEntry> {
    let head = HeadView {
        conversation: group(),
        kind: ConversationKind::Group,
        last_seq: seq(300),
        read_seq: seq(299),
        unread: 1,
        first_seq: seq(1),
        name: Some("Hall".to_owned()),
        peer: None,
        stranger: false,
    };
    let direct = ConversationId::direct(ADA, BEN);
    let other = HeadView {
        conversation: direct,
        kind: ConversationKind::Direct,
        name: None,
        peer: Some(BEN),
        stranger: true,
        ..head
    };
    vec![HeadEntry::Moved(head), HeadEntry::Moved(other), HeadEntry::from(ConversationId::direct(BEN, BEN))]
}

fn welcome(reset: bool) -> ServerFrame<'static> {
    ServerFrame::Welcome(Box::new(Welcome {
        session: SessionId::from_uuid(Uuid::from_u128(0x5e)),
        user: ADA,
        server_time: at(2),
        heartbeat_ms: 25_000,
        limits: LimitsView::from(&Limits::default()),
        cursor: Some("AQAA".to_owned()),
        heads: heads(),
        more_heads: false,
        reset,
        token_expires_in_ms: 899_000,
    }))
}

#[test]
fn server_frames() {
    let (id, text) = (RequestId::Number(7), RequestId::Text("seven".to_owned()));
    let (conversation, list) = (group(), heads());
    // Two are enough to show a list; each kind has a file of its own below.
    let listed: Vec<_> = events().into_iter().take(2).map(|(_, event)| Arc::new(event)).collect();
    let refused = Error::new(ErrorCode::Invalid, "body: must not be blank");
    let limited = Error::from(Failure::RateLimited { retry_after_ms: 250 });
    let ack = |sent: bool| ServerFrame::Ack {
        id: if sent { &id } else { &text },
        conversation,
        seq: seq(70_000),
        message_id: sent.then(|| MessageId::derive(ADA, key())),
        sent_at: sent.then(|| at(3)),
        duplicate: sent.then_some(false),
    };
    let (delivered_seq, read_seq) = (Some(seq(4)), Some(seq(3)));
    let frames = [
        ("welcome", welcome(false)),
        ("welcome_reset", welcome(true)),
        (
            "events",
            ServerFrame::Events { id: &id, conversation, events: EventList { events: &listed, viewer: ADA } },
        ),
        ("synced", ServerFrame::Synced { id: &id, more: true }),
        ("ack", ack(true)),
        ("ack_change", ack(false)),
        ("heads", ServerFrame::Heads { cursor: Some("AQAA"), heads: &list, reset: false }),
        ("heads_first", ServerFrame::Heads { cursor: None, heads: &[], reset: false }),
        ("heads_reset", ServerFrame::Heads { cursor: None, heads: &list, reset: true }),
        ("lagging", ServerFrame::Lagging { conversation: None }),
        ("receipt", ServerFrame::Receipt { conversation, user: BEN, delivered_seq, read_seq }),
        ("typing", ServerFrame::Typing { conversation, user: BEN, on: true }),
        (
            "presence",
            ServerFrame::Presence { user: BEN, state: PresenceState::Offline, last_seen: Some(at(4)) },
        ),
        (
            "presence_online",
            ServerFrame::Presence { user: BEN, state: PresenceState::Online, last_seen: None },
        ),
        ("invited", ServerFrame::Invited { conversation, user: BEN }),
        ("reconnect", ServerFrame::Reconnect { after_ms: 250, deadline_ms: 10_000, handover: false }),
        ("token_expiring", ServerFrame::TokenExpiring { expires_in_ms: 60_000 }),
        ("ok", ServerFrame::Ok { id: &text }),
        ("pong", ServerFrame::Pong { id: Some(&id), server_time: at(6) }),
        ("error", ServerFrame::Error { id: Some(&id), error: &refused }),
        ("error_wait", ServerFrame::Error { id: None, error: &limited }),
    ];
    let mut changed = Vec::new();
    let mut seen = BTreeSet::from(["event".to_owned()]);
    for (name, frame) in &frames {
        changed.extend(keep("server", name, &both(frame)).err());
        let value = serde_json::to_value(frame).unwrap();
        seen.insert(value["type"].as_str().unwrap_or_default().to_owned());
    }
    for (name, event) in events() {
        for (whose, own) in [("", false), ("_own", true)] {
            if own && !name.starts_with("message") {
                continue;
            }
            let frame = EventView::live(&event, own);
            changed.extend(keep("server", &format!("event_{name}{whose}"), &both(&frame)).err());
        }
    }
    assert!(changed.is_empty(), "the wire changed:\n{}", changed.join("\n"));
    assert_eq!(seen, promised("### 1.2 "), "a frame without a golden file");
}

/// The frame types of a table of the protocol page.
fn promised(heading: &str) -> BTreeSet<String> {
    let page = include_str!("../../docs/PROTOCOL.md");
    let section = page.split(heading).nth(1).and_then(|rest| rest.split("\n### ").next()).unwrap_or_default();
    let cells = section.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let names = cells.flat_map(|cell| cell.split(['`', ',', ' '])).filter(|name| !name.is_empty());
    names.filter(|name| *name != "type").map(str::to_owned).collect()
}

#[test]
fn client_frames() {
    let (group, user) = (group(), BEN);
    let frames = [
        format!(
            r#"{{"type":"hello","token":"t","device":"phone","cursor":"AQAA","positions":{{"{group}":7}},"handover":"s_0000000000000000000000000000005e"}}"#
        ),
        format!(
            r#"{{"type":"send","id":1,"conversation":"{group}","client_id":"0197f3c0-1111-7222-8333-444455556666","body":"b","reply_to":3,"mentions":["{user}"],"attachments":[{{"a":1}}],"data":{{"b":[2]}}}}"#
        ),
        format!(r#"{{"type":"edit","id":"e","conversation":"{group}","seq":3,"body":"b"}}"#),
        format!(r#"{{"type":"delete","id":1,"conversation":"{group}","seq":3}}"#),
        format!(r#"{{"type":"react","id":1,"conversation":"{group}","seq":3,"emoji":"👍"}}"#),
        format!(r#"{{"type":"unreact","id":1,"conversation":"{group}","seq":3,"emoji":"👍"}}"#),
        format!(r#"{{"type":"read","id":1,"conversation":"{group}","seq":3}}"#),
        format!(r#"{{"type":"delivered","conversation":"{group}","seq":3}}"#),
        format!(r#"{{"type":"typing","conversation":"{group}","on":true}}"#),
        format!(r#"{{"type":"watch","id":1,"users":["{user}"]}}"#),
        format!(r#"{{"type":"unwatch","id":1,"users":["{user}"]}}"#),
        format!(r#"{{"type":"sync","id":1,"ranges":[{{"conversation":"{group}","after":0,"limit":10}}]}}"#),
        r#"{"type":"auth","id":1,"token":"t"}"#.to_owned(),
        r#"{"type":"background","id":1}"#.to_owned(),
        r#"{"type":"foreground"}"#.to_owned(),
        r#"{"type":"ping","id":-1}"#.to_owned(),
    ];
    let mut changed = Vec::new();
    let mut seen = BTreeSet::new();
    for text in &frames {
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        let packed = rmp_serde::to_vec_named(&value).unwrap();
        let read = Encoding::Json.decode(text.as_bytes()).unwrap();
        assert_eq!(format!("{read:?}"), format!("{:?}", Encoding::MessagePack.decode(&packed).unwrap()));
        let kept = format!("{text}\n\n{}\n\n{read:#?}\n", hex(&packed));
        changed.extend(keep("client", read.name(), &kept).err());
        seen.insert(read.name().to_owned());
    }
    assert!(changed.is_empty(), "the wire changed:\n{}", changed.join("\n"));
    assert_eq!(seen, promised("### 1.1 "), "a frame without a golden file");
}
