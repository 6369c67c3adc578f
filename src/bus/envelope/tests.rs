use std::sync::Arc;

use proptest::prelude::*;
use serde::Serialize;
use smallvec::smallvec;
use uuid::Uuid;

use super::samples::bus_messages;
use super::*;
use crate::bus::{Digest, Moved, Payload, Presence, Signal};
use crate::domain::{
    Audience, Changes, ClientId, Committed, Content, ConversationId, ConversationKind, Event, EventKind,
    FamilyId, HistoryPolicy, JoinPolicy, JsonText, LeaveReason, Message, Position, Revocation,
    RevocationKind, Role, Seq, Timestamp, Topic, UserId,
};

const ID: BusMessageId = BusMessageId { node: NodeId(0x0102_0304_0506_0708), number: 9 };

fn user(number: u128) -> UserId {
    UserId::from_uuid(Uuid::from_u128(number))
}

fn seq(number: u64) -> Seq {
    Seq::new(number).unwrap()
}

fn channel() -> ConversationId {
    ConversationId::from_random(ConversationKind::Channel, Uuid::from_u128(0xC0))
}

fn event(kind: EventKind) -> BusMessage {
    let event = Event {
        conversation: channel(),
        seq: seq(5),
        sender: user(1),
        sent_at: Timestamp::from_unix_ms(1_000),
        kind,
    };
    let audience = Audience { users: Arc::new([user(2)]) };
    let one = Committed { event: Arc::new(event), position: Position(70), previous: Position(60), audience };
    BusMessage {
        topics: smallvec![Topic::Channel(channel()), Topic::User(user(2))],
        epoch: Some(7),
        payload: Payload::Events(vec![one]),
    }
}

fn signal(topic: Topic, signal: Signal) -> BusMessage {
    BusMessage { topics: smallvec![topic], epoch: None, payload: Payload::Signal(signal) }
}

/// One message of every kind, in the order of the lines of [`GOLDEN`].
fn golden() -> Vec<BusMessage> {
    let message = Message {
        client_id: ClientId::from_uuid(Uuid::from_u128(0xABC)),
        content: Content {
            body: Some("hi".to_owned()),
            reply_to: Some(seq(3)),
            mentions: vec![user(2)],
            attachments: Some(JsonText("[]".to_owned())),
            data: Some(JsonText("{}".to_owned())),
        },
        edited_at: Some(Timestamp::from_unix_ms(2_000)),
        deleted: true,
    };
    let changes = Changes {
        name: Some("n".to_owned()),
        history: Some(HistoryPolicy::All),
        join: Some(JoinPolicy::Invite),
        role: Some((user(3), Role::Admin)),
        deleted: true,
        ..Changes::default()
    };
    let revocation = Revocation {
        user: user(1),
        family: Some(FamilyId::from_uuid(Uuid::from_u128(4))),
        at: Timestamp::from_unix_ms(3_000),
        kind: RevocationKind::Erasure,
    };
    let moved = Moved { conversation: channel(), first: seq(4), last: seq(6), users: Arc::new([user(2)]) };
    let digest =
        Digest { epoch: 7, from: Position(60), to: Position(70), held_back: true, moved: vec![moved] };
    let (conversation, left) = (channel(), LeaveReason::Left);
    let offline = Presence::Offline { last_seen: Some(Timestamp::from_unix_ms(4_000)) };
    vec![
        event(EventKind::Message(message)),
        event(EventKind::Edit { target: seq(3), body: Some("b".to_owned()) }),
        event(EventKind::Delete { target: seq(3) }),
        event(EventKind::Reaction { target: seq(3), emoji: "+".to_owned(), on: true }),
        event(EventKind::MemberJoined { user: user(2), role: Role::Owner }),
        event(EventKind::MemberLeft { user: user(2), reason: left }),
        event(EventKind::ConversationChanged(changes)),
        signal(Topic::User(user(2)), Signal::Typing { conversation, user: user(1), on: true }),
        signal(
            Topic::Channel(conversation),
            Signal::Receipt { conversation, user: user(1), delivered: Some(seq(2)), read: Some(seq(1)) },
        ),
        signal(Topic::Presence(user(1)), Signal::Presence { user: user(1), presence: offline }),
        signal(Topic::User(user(1)), Signal::Revoked(revocation)),
        BusMessage {
            topics: smallvec![Topic::Published],
            epoch: Some(7),
            payload: Payload::Published(vec![(conversation, seq(5))]),
        },
        BusMessage {
            topics: smallvec![Topic::Digest],
            epoch: Some(7),
            payload: Payload::Digest(Arc::new(digest)),
        },
        signal(Topic::Presence(user(1)), Signal::Hidden { user: user(1) }),
        signal(Topic::User(user(2)), Signal::Invited { by: user(1), user: user(2), conversation }),
    ]
}

/// Never change a line of it: a release that writes version 1 differently is not understood by the one beside
/// it.
const GOLDEN: &str = include_str!("version_1.txt");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn version_1_is_written_and_read_as_ever() {
    let messages = golden();
    assert_eq!(GOLDEN.lines().count(), messages.len());
    for (message, expected) in messages.into_iter().zip(GOLDEN.lines()) {
        let bytes = encode(ID, &message).unwrap();
        assert_eq!(hex(&bytes[..HEAD_BYTES]), "0101020304050607080000000000000009");
        assert_eq!(hex(&bytes[HEAD_BYTES..]), expected, "{message:?}");
        assert_eq!(decode(&bytes), Ok((ID, message)));
    }
}

#[test]
fn another_version_is_refused_by_its_number() {
    let mut bytes = encode(ID, &golden()[0]).unwrap();
    for version in [0, SIGNED_VERSION + 1, 255] {
        bytes[0] = version;
        assert_eq!(decode(&bytes), Err(EnvelopeError::UnknownVersion(version)));
        assert_eq!(id(&bytes), Err(EnvelopeError::UnknownVersion(version)));
    }
    assert_eq!(decode(&[]), Err(EnvelopeError::Unreadable));
    assert_eq!(decode(&[VERSION, 1, 2]), Err(EnvelopeError::Unreadable));
}

/// What a later release may write under version 1: the same fields and some more.
#[derive(Serialize)]
struct Later {
    c: LaterPayload,
    t: Vec<LaterTopic>,
    z: Vec<u8>,
}

#[derive(Serialize)]
enum LaterTopic {
    #[serde(rename = "d")]
    Digest,
}

#[derive(Serialize)]
enum LaterPayload {
    #[serde(rename = "d")]
    Digest { y: Option<u8>, e: u64, f: u64, t: u64, m: Vec<()>, x: &'static str },
    #[serde(rename = "q")]
    Unheard { e: u64 },
}

fn later(c: LaterPayload) -> Vec<u8> {
    let mut bytes = encode(ID, &golden()[0]).unwrap();
    bytes.truncate(HEAD_BYTES);
    rmp_serde::encode::write_named(&mut bytes, &Later { c, t: vec![LaterTopic::Digest], z: vec![1] })
        .unwrap();
    bytes
}

#[test]
fn fields_that_are_not_known_are_ignored() {
    let bytes = later(LaterPayload::Digest { y: None, e: 7, f: 1, t: 2, m: vec![], x: "new" });
    let digest = Digest { epoch: 7, from: Position(1), to: Position(2), held_back: false, moved: vec![] };
    let message = BusMessage {
        topics: smallvec![Topic::Digest],
        epoch: None,
        payload: Payload::Digest(Arc::new(digest)),
    };
    assert_eq!(decode(&bytes), Ok((ID, message)));
    let mut longer = bytes;
    longer.extend_from_slice(b"more");
    assert!(decode(&longer).is_ok(), "what follows the message is ignored too");
}

#[test]
fn a_kind_that_is_not_known_is_refused_not_guessed() {
    assert_eq!(decode(&later(LaterPayload::Unheard { e: 1 })), Err(EnvelopeError::Unreadable));
}

#[test]
fn a_groups_members_are_written_once() {
    let members: Arc<[UserId]> = (0..256).map(user).collect();
    let conversation = ConversationId::from_random(ConversationKind::Group, Uuid::from_u128(9));
    let kind = EventKind::Delete { target: seq(1) };
    let event = Event { conversation, seq: seq(2), sender: user(1), sent_at: Timestamp::default(), kind };
    let topics = crate::domain::topics(conversation, &members).collect();
    let audience = Audience { users: members };
    let one = Committed { event: Arc::new(event), position: Position(2), previous: Position(1), audience };
    let message = BusMessage { topics, epoch: Some(1), payload: Payload::Events(vec![one]) };
    let bytes = encode(ID, &message).unwrap();
    assert!(bytes.len() < 256 * 18 + 200, "{} bytes", bytes.len());
    assert_eq!(decode(&bytes), Ok((ID, message)));
}

proptest! {
    #[test]
    fn what_was_written_is_read(message in bus_messages(), node: u64, number: u64) {
        let sent = BusMessageId { node: NodeId(node), number };
        let bytes = encode(sent, &message).unwrap();
        prop_assert_eq!(id(&bytes), Ok(sent));
        prop_assert_eq!(decode(&bytes), Ok((sent, message)));
    }

    #[test]
    fn arbitrary_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes);
        let mut ours = vec![VERSION];
        ours.extend_from_slice(&bytes);
        let _ = decode(&ours);
    }

    #[test]
    fn damaged_envelopes_are_read_or_refused(
        message in bus_messages(), at: prop::sample::Index, to: u8, cut: prop::sample::Index,
    ) {
        let mut bytes = encode(ID, &message).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = to;
        let _ = decode(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        let _ = decode(&bytes);
    }
}
