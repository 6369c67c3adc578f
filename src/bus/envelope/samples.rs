//! Messages to test with: one of every kind, and strategies that draw any.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use uuid::Uuid;

use crate::bus::{BusMessage, Digest, Moved, Payload, Presence, Signal};
use crate::domain::{
    Audience, Changes, ClientId, Committed, Content, ConversationId, ConversationKind, Event, EventKind,
    FamilyId, HistoryPolicy, JoinPolicy, JsonText, LeaveReason, Message, Position, Revocation,
    RevocationKind, Role, Seq, Timestamp, Topic, UserId, with_changes,
};

pub fn users() -> impl Strategy<Value = UserId> {
    any::<u128>().prop_map(|bits| UserId::from_uuid(Uuid::from_u128(bits)))
}

fn audiences() -> impl Strategy<Value = Arc<[UserId]>> {
    vec(users(), 0..4).prop_map(Arc::from)
}

fn conversations() -> impl Strategy<Value = ConversationId> {
    let kinds = prop_oneof![
        Just(ConversationKind::Direct),
        Just(ConversationKind::Group),
        Just(ConversationKind::Channel)
    ];
    (kinds, any::<u128>()).prop_map(|(kind, bits)| ConversationId::from_random(kind, Uuid::from_u128(bits)))
}

fn seqs() -> impl Strategy<Value = Seq> {
    (0..=Seq::MAX.get()).prop_map(|number| Seq::new(number).unwrap())
}

fn times() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp::from_unix_ms)
}

fn roles() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Member), Just(Role::Admin), Just(Role::Owner)]
}

fn messages() -> impl Strategy<Value = Message> {
    let json = || of(".*".prop_map(JsonText));
    let content = (of(".*"), of(seqs()), vec(users(), 0..3), json(), json());
    (any::<u128>(), content, of(times()), any::<bool>()).prop_map(|(client, content, edited_at, deleted)| {
        let (body, reply_to, mentions, attachments, data) = content;
        let content = Content { body, reply_to, mentions, attachments, data };
        Message { client_id: ClientId::from_uuid(Uuid::from_u128(client)), content, edited_at, deleted }
    })
}

/// What any value of a field of [`Changes`] is drawn from.
trait Drawn: Sized + std::fmt::Debug + 'static {
    fn drawn() -> BoxedStrategy<Self>;
}

macro_rules! drawn {
    ($($kind:ty: $strategy:expr;)+) => { $(
        impl Drawn for $kind {
            fn drawn() -> BoxedStrategy<Self> {
                $strategy.boxed()
            }
        }
    )+ };
}

drawn! {
    String: ".*";
    HistoryPolicy: prop_oneof![Just(HistoryPolicy::FromJoin), Just(HistoryPolicy::All)];
    JoinPolicy: prop_oneof![Just(JoinPolicy::Open), Just(JoinPolicy::Invite)];
    Role: roles();
    Timestamp: times();
}

macro_rules! any_changes {
    (
        { $($(#[$doc:meta])* $name:ident: $kind:ty;)+ }
        { $($(#[$about:meta])* $of_member:ident: $value:ty as $key:ident;)+ }
    ) => {{
        let settings = ($(of(<$kind>::drawn()),)+);
        let of_members = ($(of((users(), <$value>::drawn())),)+);
        (settings, of_members, any::<bool>()).prop_map(|(($($name,)+), ($($of_member,)+), deleted)| {
            Changes { $($name,)+ $($of_member,)+ deleted }
        })
    }};
}

fn changes() -> impl Strategy<Value = Changes> {
    with_changes!(any_changes)
}

fn kinds() -> impl Strategy<Value = EventKind> {
    let reasons = prop_oneof![Just(LeaveReason::Left), Just(LeaveReason::Removed), Just(LeaveReason::Erased)];
    prop_oneof![
        messages().prop_map(EventKind::Message),
        (seqs(), of(".*")).prop_map(|(target, body)| EventKind::Edit { target, body }),
        seqs().prop_map(|target| EventKind::Delete { target }),
        (seqs(), ".*", any::<bool>()).prop_map(|(target, emoji, on)| EventKind::Reaction {
            target,
            emoji,
            on
        }),
        (users(), roles()).prop_map(|(user, role)| EventKind::MemberJoined { user, role }),
        (users(), reasons).prop_map(|(user, reason)| EventKind::MemberLeft { user, reason }),
        changes().prop_map(EventKind::ConversationChanged),
    ]
}

fn committed() -> impl Strategy<Value = Committed> {
    let places = (any::<u64>(), any::<u64>(), audiences());
    (conversations(), seqs(), users(), times(), kinds(), places).prop_map(
        |(conversation, seq, sender, sent_at, kind, (position, previous, users))| Committed {
            event: Arc::new(Event { conversation, seq, sender, sent_at, kind }),
            position: Position(position),
            previous: Position(previous),
            audience: Audience { users },
        },
    )
}

fn presences() -> impl Strategy<Value = Presence> {
    let offline = of(times()).prop_map(|last_seen| Presence::Offline { last_seen });
    prop_oneof![Just(Presence::Online), Just(Presence::Away), offline]
}

fn kinds_of_revocation() -> impl Strategy<Value = RevocationKind> {
    prop_oneof![Just(RevocationKind::Tokens), Just(RevocationKind::Erasure), Just(RevocationKind::Suspension)]
}

fn signals() -> impl Strategy<Value = Signal> {
    let revocations =
        (users(), of(any::<u128>()), times(), kinds_of_revocation()).prop_map(|(user, family, at, kind)| {
            let family = family.map(|bits| FamilyId::from_uuid(Uuid::from_u128(bits)));
            Signal::Revoked(Revocation { user, family, at, kind })
        });
    prop_oneof![
        (conversations(), users(), any::<bool>()).prop_map(|(conversation, user, on)| Signal::Typing {
            conversation,
            user,
            on
        }),
        (conversations(), users(), of(seqs()), of(seqs())).prop_map(
            |(conversation, user, delivered, read)| {
                Signal::Receipt { conversation, user, delivered, read }
            }
        ),
        (users(), presences()).prop_map(|(user, presence)| Signal::Presence { user, presence }),
        revocations,
        (users(), users(), any::<bool>()).prop_map(|(by, user, on)| Signal::Blocked { by, user, on }),
        users().prop_map(|user| Signal::Hidden { user }),
        (users(), users(), conversations()).prop_map(|(by, user, conversation)| Signal::Invited {
            by,
            user,
            conversation
        }),
    ]
}

fn digests() -> impl Strategy<Value = Digest> {
    let moved = (conversations(), seqs(), seqs(), audiences())
        .prop_map(|(conversation, first, last, users)| Moved { conversation, first, last, users });
    let places = (any::<u64>(), any::<u64>(), any::<u64>(), any::<bool>());
    (places, vec(moved, 0..4)).prop_map(|((epoch, from, to, held_back), moved)| Digest {
        epoch,
        from: Position(from),
        to: Position(to),
        held_back,
        moved,
    })
}

fn topics() -> impl Strategy<Value = Topic> {
    prop_oneof![
        users().prop_map(Topic::User),
        conversations().prop_map(Topic::Channel),
        users().prop_map(Topic::Presence),
        Just(Topic::Digest),
        Just(Topic::Published),
    ]
}

/// Any message that goes somewhere.
pub fn bus_messages() -> impl Strategy<Value = BusMessage> {
    let payload = prop_oneof![
        4 => vec(committed(), 0..3).prop_map(Payload::Events),
        2 => signals().prop_map(Payload::Signal),
        1 => vec((conversations(), seqs()), 0..4).prop_map(Payload::Published),
        1 => digests().prop_map(|digest| Payload::Digest(Arc::new(digest))),
    ];
    (vec(topics(), 1..4), of(any::<u64>()), payload).prop_map(|(topics, epoch, payload)| BusMessage {
        topics: topics.into(),
        epoch,
        payload,
    })
}
