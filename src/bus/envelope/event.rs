//! Committed events as they are written.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::values::{Unknown, conversation_from_wire, seq_from_wire, users_from_wire, users_to_wire};
use crate::domain::{
    Audience, Changes, ClientId, Committed, Content, Event, EventKind, JsonText, LeaveReason, Message,
    Position, Role, Seq, Timestamp, UserId,
};

type Text<'a> = Cow<'a, str>;

/// See [`Committed`] and [`Event`].
#[derive(Serialize, Deserialize)]
pub struct WireCommitted<'a> {
    #[serde(rename = "c")]
    conversation: Uuid,
    #[serde(rename = "q")]
    seq: u64,
    #[serde(rename = "s")]
    sender: Uuid,
    #[serde(rename = "a")]
    sent_at_ms: i64,
    #[serde(rename = "p")]
    position: u64,
    #[serde(rename = "r")]
    previous: u64,
    #[serde(rename = "u", default, skip_serializing_if = "Vec::is_empty")]
    users: Vec<Uuid>,
    #[serde(rename = "k")]
    kind: WireKind<'a>,
}

#[derive(Serialize, Deserialize)]
enum WireKind<'a> {
    #[serde(rename = "m")]
    Message(Box<WireMessage<'a>>),
    #[serde(rename = "e")]
    Edit {
        #[serde(rename = "t")]
        target: u64,
        #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
        body: Option<Text<'a>>,
    },
    #[serde(rename = "d")]
    Delete {
        #[serde(rename = "t")]
        target: u64,
    },
    #[serde(rename = "r")]
    Reaction {
        #[serde(rename = "t")]
        target: u64,
        #[serde(rename = "e")]
        emoji: Text<'a>,
        #[serde(rename = "o")]
        on: bool,
    },
    #[serde(rename = "j")]
    MemberJoined {
        #[serde(rename = "u")]
        user: Uuid,
        #[serde(rename = "r")]
        role: i16,
    },
    #[serde(rename = "l")]
    MemberLeft {
        #[serde(rename = "u")]
        user: Uuid,
        #[serde(rename = "r")]
        reason: Text<'a>,
    },
    #[serde(rename = "c")]
    Changed(Cow<'a, Changes>),
}

#[derive(Serialize, Deserialize)]
struct WireMessage<'a> {
    #[serde(rename = "c")]
    client_id: Uuid,
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    body: Option<Text<'a>>,
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    reply_to: Option<u64>,
    #[serde(rename = "n", default, skip_serializing_if = "Vec::is_empty")]
    mentions: Vec<Uuid>,
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    attachments: Option<Text<'a>>,
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    data: Option<Text<'a>>,
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    edited_at_ms: Option<i64>,
    #[serde(rename = "x", default, skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
}

impl<'a> From<&'a Committed> for WireCommitted<'a> {
    fn from(committed: &'a Committed) -> Self {
        let event = committed.event.as_ref();
        Self {
            conversation: *event.conversation.as_uuid(),
            seq: event.seq.get(),
            sender: *event.sender.as_uuid(),
            sent_at_ms: event.sent_at.as_unix_ms(),
            position: committed.position.0,
            previous: committed.previous.0,
            users: users_to_wire(&committed.audience.users),
            kind: (&event.kind).into(),
        }
    }
}

impl TryFrom<WireCommitted<'_>> for Committed {
    type Error = Unknown;

    fn try_from(wire: WireCommitted<'_>) -> Result<Self, Unknown> {
        let event = Event {
            conversation: conversation_from_wire(wire.conversation)?,
            seq: seq_from_wire(wire.seq)?,
            sender: UserId::from_uuid(wire.sender),
            sent_at: Timestamp::from_unix_ms(wire.sent_at_ms),
            kind: wire.kind.try_into()?,
        };
        Ok(Self {
            event: Arc::new(event),
            position: Position(wire.position),
            previous: Position(wire.previous),
            audience: Audience { users: users_from_wire(wire.users) },
        })
    }
}

impl<'a> From<&'a EventKind> for WireKind<'a> {
    fn from(kind: &'a EventKind) -> Self {
        match kind {
            EventKind::Message(message) => Self::Message(Box::new(message.into())),
            EventKind::Edit { target, body } => {
                Self::Edit { target: target.get(), body: body.as_deref().map(Cow::Borrowed) }
            }
            EventKind::Delete { target } => Self::Delete { target: target.get() },
            EventKind::Reaction { target, emoji, on } => {
                Self::Reaction { target: target.get(), emoji: emoji.into(), on: *on }
            }
            EventKind::MemberJoined { user, role } => {
                Self::MemberJoined { user: *user.as_uuid(), role: role.as_stored() }
            }
            EventKind::MemberLeft { user, reason } => {
                Self::MemberLeft { user: *user.as_uuid(), reason: reason.as_str().into() }
            }
            EventKind::ConversationChanged(changes) => Self::Changed(Cow::Borrowed(changes)),
        }
    }
}

impl TryFrom<WireKind<'_>> for EventKind {
    type Error = Unknown;

    fn try_from(wire: WireKind<'_>) -> Result<Self, Unknown> {
        Ok(match wire {
            WireKind::Message(message) => Self::Message((*message).try_into()?),
            WireKind::Edit { target, body } => {
                Self::Edit { target: seq_from_wire(target)?, body: body.map(Cow::into_owned) }
            }
            WireKind::Delete { target } => Self::Delete { target: seq_from_wire(target)? },
            WireKind::Reaction { target, emoji, on } => {
                Self::Reaction { target: seq_from_wire(target)?, emoji: emoji.into_owned(), on }
            }
            WireKind::MemberJoined { user, role } => {
                Self::MemberJoined { user: UserId::from_uuid(user), role: Role::from_stored(role) }
            }
            WireKind::MemberLeft { user, reason } => Self::MemberLeft {
                user: UserId::from_uuid(user),
                reason: LeaveReason::parse(&reason).ok_or(Unknown)?,
            },
            WireKind::Changed(changes) => Self::ConversationChanged(changes.into_owned()),
        })
    }
}

impl<'a> From<&'a Message> for WireMessage<'a> {
    fn from(message: &'a Message) -> Self {
        let Content { body, reply_to, mentions, attachments, data } = &message.content;
        let json = |text: &'a Option<JsonText>| text.as_ref().map(|json| Cow::Borrowed(json.0.as_str()));
        Self {
            client_id: *message.client_id.as_uuid(),
            body: body.as_deref().map(Cow::Borrowed),
            reply_to: reply_to.map(Seq::get),
            mentions: users_to_wire(mentions),
            attachments: json(attachments),
            data: json(data),
            edited_at_ms: message.edited_at.map(Timestamp::as_unix_ms),
            deleted: message.deleted,
        }
    }
}

impl TryFrom<WireMessage<'_>> for Message {
    type Error = Unknown;

    fn try_from(wire: WireMessage<'_>) -> Result<Self, Unknown> {
        let json = |text: Option<Text<'_>>| text.map(|text| JsonText(text.into_owned()));
        let content = Content {
            body: wire.body.map(Cow::into_owned),
            reply_to: wire.reply_to.map(seq_from_wire).transpose()?,
            mentions: wire.mentions.into_iter().map(UserId::from_uuid).collect(),
            attachments: json(wire.attachments),
            data: json(wire.data),
        };
        Ok(Self {
            client_id: ClientId::from_uuid(wire.client_id),
            content,
            edited_at: wire.edited_at_ms.map(Timestamp::from_unix_ms),
            deleted: wire.deleted,
        })
    }
}
