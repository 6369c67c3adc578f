//! Signals as they are written.

use std::ops::Not;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::values::{Unknown, conversation_from_wire, seq_from_wire};
use crate::bus::{Presence, Signal};
use crate::domain::{FamilyId, Revocation, RevocationKind, Seq, Timestamp, UserId};

/// See [`Signal`].
#[derive(Serialize, Deserialize)]
pub enum WireSignal {
    #[serde(rename = "t")]
    Typing {
        #[serde(rename = "c")]
        conversation: Uuid,
        #[serde(rename = "u")]
        user: Uuid,
        #[serde(rename = "o")]
        on: bool,
    },
    #[serde(rename = "r")]
    Receipt {
        #[serde(rename = "c")]
        conversation: Uuid,
        #[serde(rename = "u")]
        user: Uuid,
        #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
        delivered: Option<u64>,
        #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
        read: Option<u64>,
    },
    #[serde(rename = "p")]
    Presence {
        #[serde(rename = "u")]
        user: Uuid,
        #[serde(rename = "p")]
        presence: WirePresence,
    },
    #[serde(rename = "x")]
    Revoked {
        #[serde(rename = "u")]
        user: Uuid,
        #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
        family: Option<Uuid>,
        #[serde(rename = "a")]
        at_ms: i64,
        /// The account is erased.
        #[serde(rename = "e", default)]
        erased: bool,
        /// The account's suspension changed.
        #[serde(rename = "s", default, skip_serializing_if = "Not::not")]
        suspension: bool,
    },
    #[serde(rename = "b")]
    Blocked {
        #[serde(rename = "b")]
        by: Uuid,
        #[serde(rename = "u")]
        user: Uuid,
        #[serde(rename = "o")]
        on: bool,
    },
    #[serde(rename = "h")]
    Hidden {
        #[serde(rename = "u")]
        user: Uuid,
    },
    #[serde(rename = "i")]
    Invited {
        #[serde(rename = "b")]
        by: Uuid,
        #[serde(rename = "u")]
        user: Uuid,
        #[serde(rename = "c")]
        conversation: Uuid,
    },
}

/// See [`Presence`].
#[derive(Serialize, Deserialize)]
pub enum WirePresence {
    #[serde(rename = "o")]
    Online,
    #[serde(rename = "a")]
    Away,
    #[serde(rename = "x")]
    Offline(Option<i64>),
}

impl From<&Signal> for WireSignal {
    fn from(signal: &Signal) -> Self {
        match signal {
            Signal::Typing { conversation, user, on } => {
                Self::Typing { conversation: *conversation.as_uuid(), user: *user.as_uuid(), on: *on }
            }
            Signal::Receipt { conversation, user, delivered, read } => Self::Receipt {
                conversation: *conversation.as_uuid(),
                user: *user.as_uuid(),
                delivered: delivered.map(Seq::get),
                read: read.map(Seq::get),
            },
            Signal::Presence { user, presence } => {
                Self::Presence { user: *user.as_uuid(), presence: (*presence).into() }
            }
            Signal::Revoked(revocation) => Self::Revoked {
                user: *revocation.user.as_uuid(),
                family: revocation.family.map(|family| *family.as_uuid()),
                at_ms: revocation.at.as_unix_ms(),
                erased: revocation.kind == RevocationKind::Erasure,
                suspension: revocation.kind == RevocationKind::Suspension,
            },
            Signal::Blocked { by, user, on } => {
                Self::Blocked { by: *by.as_uuid(), user: *user.as_uuid(), on: *on }
            }
            Signal::Hidden { user } => Self::Hidden { user: *user.as_uuid() },
            Signal::Invited { by, user, conversation } => Self::Invited {
                by: *by.as_uuid(),
                user: *user.as_uuid(),
                conversation: *conversation.as_uuid(),
            },
        }
    }
}

impl TryFrom<WireSignal> for Signal {
    type Error = Unknown;

    fn try_from(wire: WireSignal) -> Result<Self, Unknown> {
        Ok(match wire {
            WireSignal::Typing { conversation, user, on } => Self::Typing {
                conversation: conversation_from_wire(conversation)?,
                user: UserId::from_uuid(user),
                on,
            },
            WireSignal::Receipt { conversation, user, delivered, read } => Self::Receipt {
                conversation: conversation_from_wire(conversation)?,
                user: UserId::from_uuid(user),
                delivered: delivered.map(seq_from_wire).transpose()?,
                read: read.map(seq_from_wire).transpose()?,
            },
            WireSignal::Presence { user, presence } => {
                Self::Presence { user: UserId::from_uuid(user), presence: presence.into() }
            }
            WireSignal::Revoked { user, family, at_ms, erased, suspension } => Self::Revoked(Revocation {
                user: UserId::from_uuid(user),
                family: family.map(FamilyId::from_uuid),
                at: Timestamp::from_unix_ms(at_ms),
                kind: match (erased, suspension) {
                    (true, _) => RevocationKind::Erasure,
                    (false, true) => RevocationKind::Suspension,
                    (false, false) => RevocationKind::Tokens,
                },
            }),
            WireSignal::Blocked { by, user, on } => {
                Self::Blocked { by: UserId::from_uuid(by), user: UserId::from_uuid(user), on }
            }
            WireSignal::Hidden { user } => Self::Hidden { user: UserId::from_uuid(user) },
            WireSignal::Invited { by, user, conversation } => Self::Invited {
                by: UserId::from_uuid(by),
                user: UserId::from_uuid(user),
                conversation: conversation_from_wire(conversation)?,
            },
        })
    }
}

impl From<Presence> for WirePresence {
    fn from(presence: Presence) -> Self {
        match presence {
            Presence::Online => Self::Online,
            Presence::Away => Self::Away,
            Presence::Offline { last_seen } => Self::Offline(last_seen.map(Timestamp::as_unix_ms)),
        }
    }
}

impl From<WirePresence> for Presence {
    fn from(wire: WirePresence) -> Self {
        match wire {
            WirePresence::Online => Self::Online,
            WirePresence::Away => Self::Away,
            WirePresence::Offline(last_seen) => {
                Self::Offline { last_seen: last_seen.map(Timestamp::from_unix_ms) }
            }
        }
    }
}
