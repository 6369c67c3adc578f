//! The parcel as it is written: mirrors of the domain's values, since those know no encoding.
//!
//! Keys and variants are single letters; within a struct no letter is ever given a second meaning. Everything optional is
//! left out when it is absent, so that adding a field costs nothing where it is not used.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::event::WireCommitted;
use super::signal::WireSignal;
use crate::bus::{Cargo, Digest, Moved, Parcel};
use crate::domain::{ConversationId, Position, Seq, Topic, UserId, topics};

/// A value that this release has no word for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unknown;

/// See [`Parcel`].
#[derive(Serialize, Deserialize)]
pub struct WireParcel<'a> {
    /// Left out when they are those that the events themselves name: for a group they would double the envelope.
    #[serde(rename = "t", default, skip_serializing_if = "Vec::is_empty")]
    topics: Vec<WireTopic>,
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    epoch: Option<u64>,
    #[serde(rename = "c")]
    cargo: WireCargo<'a>,
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
enum WireCargo<'a> {
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

/// The topics that a parcel's events name by themselves.
fn own_topics(cargo: &Cargo) -> Option<impl Iterator<Item = Topic> + '_> {
    let Cargo::Events(events) = cargo else { return None };
    events.first().map(|first| topics(first.event.conversation, &first.audience.users))
}

pub(super) fn users_to_wire(users: &[UserId]) -> Vec<Uuid> {
    users.iter().map(|user| *user.as_uuid()).collect()
}

pub(super) fn users_from_wire(users: Vec<Uuid>) -> Arc<[UserId]> {
    users.into_iter().map(UserId::from_uuid).collect()
}

pub(super) fn conversation_from_wire(uuid: Uuid) -> Result<ConversationId, Unknown> {
    ConversationId::from_uuid(uuid).ok_or(Unknown)
}

pub(super) fn seq_from_wire(number: u64) -> Result<Seq, Unknown> {
    Seq::new(number).ok_or(Unknown)
}

impl<'a> From<&'a Parcel> for WireParcel<'a> {
    fn from(parcel: &'a Parcel) -> Self {
        let implied = own_topics(&parcel.cargo).is_some_and(|own| own.eq(parcel.topics.iter().copied()));
        let topics =
            if implied { Vec::new() } else { parcel.topics.iter().map(|topic| (*topic).into()).collect() };
        Self { topics, epoch: parcel.epoch, cargo: (&parcel.cargo).into() }
    }
}

impl TryFrom<WireParcel<'_>> for Parcel {
    type Error = Unknown;

    fn try_from(wire: WireParcel<'_>) -> Result<Self, Unknown> {
        let cargo = wire.cargo.try_into()?;
        let topics = if wire.topics.is_empty() {
            own_topics(&cargo).map(Iterator::collect).unwrap_or_default()
        } else {
            wire.topics.into_iter().map(Topic::try_from).collect::<Result<_, _>>()?
        };
        Ok(Self { topics, epoch: wire.epoch, cargo })
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

impl<'a> From<&'a Cargo> for WireCargo<'a> {
    fn from(cargo: &'a Cargo) -> Self {
        match cargo {
            Cargo::Events(events) => Self::Events(events.iter().map(WireCommitted::from).collect()),
            Cargo::Signal(signal) => Self::Signal(signal.into()),
            Cargo::Published(places) => Self::Published(
                places.iter().map(|(conversation, seq)| (*conversation.as_uuid(), seq.get())).collect(),
            ),
            Cargo::Digest(digest) => Self::Digest(digest.as_ref().into()),
        }
    }
}

impl TryFrom<WireCargo<'_>> for Cargo {
    type Error = Unknown;

    fn try_from(wire: WireCargo<'_>) -> Result<Self, Unknown> {
        Ok(match wire {
            WireCargo::Events(events) => {
                Self::Events(events.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?)
            }
            WireCargo::Signal(signal) => Self::Signal(signal.try_into()?),
            WireCargo::Published(places) => {
                let places = places.into_iter().map(|(conversation, seq)| {
                    Ok((conversation_from_wire(conversation)?, seq_from_wire(seq)?))
                });
                Self::Published(places.collect::<Result<_, _>>()?)
            }
            WireCargo::Digest(digest) => Self::Digest(Arc::new(digest.try_into()?)),
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
