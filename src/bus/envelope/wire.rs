//! The encoded form of a message. It mirrors the domain's values, because those know no encoding.
//!
//! Keys and variants are single letters. Within a struct no letter is ever given a second meaning. Absent
//! optional values are left out, so that adding a field costs nothing where it is not used.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::event::WireCommitted;
use super::signal::WireSignal;
use super::values::{Unknown, conversation_from_wire, seq_from_wire, users_from_wire, users_to_wire};
use crate::bus::{BusMessage, Digest, Moved, Payload};
use crate::domain::{Position, Topic, UserId, topics};

/// See [`BusMessage`].
#[derive(Serialize, Deserialize)]
pub struct WireMessage<'a> {
    /// Left out when they follow from the events themselves: for a group they would double the envelope.
    #[serde(rename = "t", default, skip_serializing_if = "Vec::is_empty")]
    topics: Vec<WireTopic>,
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    epoch: Option<u64>,
    #[serde(rename = "c")]
    payload: WirePayload<'a>,
}

#[derive(Serialize, Deserialize)]
enum WireTopic {
    #[serde(rename = "u")]
    User(Uuid),
    #[serde(rename = "c")]
    Channel(Uuid),
    #[serde(rename = "p")]
    Presence(Uuid),
    #[serde(rename = "d")]
    Digest,
    #[serde(rename = "b")]
    Published,
}

#[derive(Serialize, Deserialize)]
enum WirePayload<'a> {
    #[serde(rename = "e")]
    Events(Vec<WireCommitted<'a>>),
    #[serde(rename = "s")]
    Signal(WireSignal),
    #[serde(rename = "p")]
    Published(Vec<(Uuid, u64)>),
    #[serde(rename = "d")]
    Digest(WireDigest),
}

#[derive(Serialize, Deserialize)]
struct WireDigest {
    #[serde(rename = "e")]
    epoch: u64,
    #[serde(rename = "f")]
    from: u64,
    #[serde(rename = "t")]
    to: u64,
    #[serde(rename = "h", default, skip_serializing_if = "std::ops::Not::not")]
    held_back: bool,
    #[serde(rename = "m")]
    moved: Vec<WireMoved>,
}

#[derive(Serialize, Deserialize)]
struct WireMoved {
    #[serde(rename = "c")]
    conversation: Uuid,
    #[serde(rename = "f")]
    first: u64,
    #[serde(rename = "l")]
    last: u64,
    #[serde(rename = "u", default, skip_serializing_if = "Vec::is_empty")]
    users: Vec<Uuid>,
}

/// The topics that follow from a message's events.
fn own_topics(payload: &Payload) -> Option<impl Iterator<Item = Topic> + '_> {
    let Payload::Events(events) = payload else { return None };
    events.first().map(|first| topics(first.event.conversation, &first.audience.users))
}

impl<'a> From<&'a BusMessage> for WireMessage<'a> {
    fn from(message: &'a BusMessage) -> Self {
        let implied = own_topics(&message.payload).is_some_and(|own| own.eq(message.topics.iter().copied()));
        let topics =
            if implied { Vec::new() } else { message.topics.iter().map(|topic| (*topic).into()).collect() };
        Self { topics, epoch: message.epoch, payload: (&message.payload).into() }
    }
}

impl TryFrom<WireMessage<'_>> for BusMessage {
    type Error = Unknown;

    fn try_from(wire: WireMessage<'_>) -> Result<Self, Unknown> {
        let payload = wire.payload.try_into()?;
        let topics = if wire.topics.is_empty() {
            own_topics(&payload).map(Iterator::collect).unwrap_or_default()
        } else {
            wire.topics.into_iter().map(Topic::try_from).collect::<Result<_, _>>()?
        };
        Ok(Self { topics, epoch: wire.epoch, payload })
    }
}

impl From<Topic> for WireTopic {
    fn from(topic: Topic) -> Self {
        match topic {
            Topic::User(user) => Self::User(*user.as_uuid()),
            Topic::Channel(conversation) => Self::Channel(*conversation.as_uuid()),
            Topic::Presence(user) => Self::Presence(*user.as_uuid()),
            Topic::Digest => Self::Digest,
            Topic::Published => Self::Published,
        }
    }
}

impl TryFrom<WireTopic> for Topic {
    type Error = Unknown;

    fn try_from(wire: WireTopic) -> Result<Self, Unknown> {
        Ok(match wire {
            WireTopic::User(uuid) => Self::User(UserId::from_uuid(uuid)),
            WireTopic::Channel(uuid) => Self::Channel(conversation_from_wire(uuid)?),
            WireTopic::Presence(uuid) => Self::Presence(UserId::from_uuid(uuid)),
            WireTopic::Digest => Self::Digest,
            WireTopic::Published => Self::Published,
        })
    }
}

impl<'a> From<&'a Payload> for WirePayload<'a> {
    fn from(payload: &'a Payload) -> Self {
        match payload {
            Payload::Events(events) => Self::Events(events.iter().map(WireCommitted::from).collect()),
            Payload::Signal(signal) => Self::Signal(signal.into()),
            Payload::Published(places) => Self::Published(
                places.iter().map(|(conversation, seq)| (*conversation.as_uuid(), seq.get())).collect(),
            ),
            Payload::Digest(digest) => Self::Digest(digest.as_ref().into()),
        }
    }
}

impl TryFrom<WirePayload<'_>> for Payload {
    type Error = Unknown;

    fn try_from(wire: WirePayload<'_>) -> Result<Self, Unknown> {
        Ok(match wire {
            WirePayload::Events(events) => {
                Self::Events(events.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?)
            }
            WirePayload::Signal(signal) => Self::Signal(signal.try_into()?),
            WirePayload::Published(places) => {
                let places = places.into_iter().map(|(conversation, seq)| {
                    Ok((conversation_from_wire(conversation)?, seq_from_wire(seq)?))
                });
                Self::Published(places.collect::<Result<_, _>>()?)
            }
            WirePayload::Digest(digest) => Self::Digest(Arc::new(digest.try_into()?)),
        })
    }
}

impl From<&Digest> for WireDigest {
    fn from(digest: &Digest) -> Self {
        let moved = digest.moved.iter().map(|moved| WireMoved {
            conversation: *moved.conversation.as_uuid(),
            first: moved.first.get(),
            last: moved.last.get(),
            users: users_to_wire(&moved.users),
        });
        Self {
            epoch: digest.epoch,
            from: digest.from.0,
            to: digest.to.0,
            held_back: digest.held_back,
            moved: moved.collect(),
        }
    }
}

impl TryFrom<WireDigest> for Digest {
    type Error = Unknown;

    fn try_from(wire: WireDigest) -> Result<Self, Unknown> {
        let moved = wire.moved.into_iter().map(|moved| {
            Ok(Moved {
                conversation: conversation_from_wire(moved.conversation)?,
                first: seq_from_wire(moved.first)?,
                last: seq_from_wire(moved.last)?,
                users: users_from_wire(moved.users),
            })
        });
        Ok(Self {
            epoch: wire.epoch,
            from: Position(wire.from),
            to: Position(wire.to),
            held_back: wire.held_back,
            moved: moved.collect::<Result<_, _>>()?,
        })
    }
}
