//! Ids as newtypes, and the numbers that order things.
//!
//! On the wire an id is a prefix for its kind and 32 hexadecimal digits; in memory it is 16 bytes. Clients
//! treat the text as opaque.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::ConversationKind;

/// A text that is not an id of the expected kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdError;

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an id of this kind")
    }
}

impl std::error::Error for IdError {}

fn parse_prefixed(text: &str, prefix: &str) -> Result<Uuid, IdError> {
    let digits = text.strip_prefix(prefix).ok_or(IdError)?;
    // Only the canonical spelling is an id: two spellings of one id would break comparisons of the text.
    if digits.len() != 32 || digits.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(IdError);
    }
    Uuid::try_parse(digits).map_err(|_| IdError)
}

/// Hashes labelled parts into the 16 bytes of a version 8 UUID (RFC 9562 section 5.8).
fn derive(label: &str, parts: &[&[u8]]) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(label.as_bytes());
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    let mut bytes = [0_u8; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

macro_rules! prefixed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps the 16 bytes of an id.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The 16 bytes behind the id.
            pub const fn as_uuid(&self) -> &Uuid {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                parse_prefixed(text, $prefix).map(Self)
            }
        }
    };
}

prefixed_id!(
    /// A user: an account, a guest, or the profile of an external issuer's subject.
    UserId,
    "u_"
);
prefixed_id!(
    /// A message. The id is derived from its sender and client id, so a retry has the same id without a
    /// look-up.
    MessageId,
    "m_"
);
prefixed_id!(
    /// One connection's session.
    SessionId,
    "s_"
);
prefixed_id!(
    /// A family of refresh tokens: one sign-in on one device. Revoking it ends that sign-in.
    FamilyId,
    "f_"
);

impl UserId {
    /// The id of an external issuer's subject. The same subject has the same id on every node, without a
    /// look-up.
    pub fn derive_external(issuer: &str, subject: &str) -> Self {
        Self(derive("tidings external user", &[issuer.as_bytes(), subject.as_bytes()]))
    }
}

impl MessageId {
    /// The id of the message that `sender` sends under `client_id`.
    pub fn derive(sender: UserId, client_id: ClientId) -> Self {
        Self(derive("tidings message", &[sender.0.as_bytes(), client_id.0.as_bytes()]))
    }
}

/// A conversation. The two lowest bits of its last byte are its kind, so routing needs no look-up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConversationId(Uuid);

impl ConversationId {
    /// Marks `uuid` as the id of a conversation of this kind.
    pub fn from_random(kind: ConversationKind, uuid: Uuid) -> Self {
        let mut bytes = *uuid.as_bytes();
        bytes[15] = (bytes[15] & 0b1111_1100) | kind.as_bits();
        Self(Uuid::from_bytes(bytes))
    }

    /// The direct conversation of two users (or of one with themself). The id does not depend on their order.
    pub fn direct(one: UserId, other: UserId) -> Self {
        let (low, high) = if one <= other { (one, other) } else { (other, one) };
        Self::from_random(
            ConversationKind::Direct,
            derive("tidings direct", &[low.0.as_bytes(), high.0.as_bytes()]),
        )
    }

    /// The conversation that `creator` creates under `client_id`. Repeating the request gives the same id.
    pub fn derive(kind: ConversationKind, creator: UserId, client_id: ClientId) -> Self {
        Self::from_random(
            kind,
            derive("tidings conversation", &[creator.0.as_bytes(), client_id.0.as_bytes()]),
        )
    }

    /// The channel that a server begins with, by its name: the same id on every node, and at every start.
    pub fn default_channel(name: &str) -> Self {
        Self::from_random(
            ConversationKind::Channel,
            derive("tidings default conversation", &[name.as_bytes()]),
        )
    }

    /// Reads an id from its stored 16 bytes; `None` when the kind bits name no kind.
    pub fn from_uuid(uuid: Uuid) -> Option<Self> {
        ConversationKind::from_bits(uuid.as_bytes()[15] & 0b11).map(|_| Self(uuid))
    }

    /// The 16 bytes behind the id.
    pub const fn as_uuid(&self) -> &Uuid {
        &self.0
    }

    /// The kind in the id.
    pub fn kind(&self) -> ConversationKind {
        ConversationKind::from_bits(self.0.as_bytes()[15] & 0b11).unwrap_or(ConversationKind::Channel)
    }
}

impl fmt::Display for ConversationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.kind().id_prefix(), self.0.simple())
    }
}

impl fmt::Debug for ConversationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ConversationId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let prefix = text.get(..2).ok_or(IdError)?;
        let id = Self::from_uuid(parse_prefixed(text, prefix)?).ok_or(IdError)?;
        if id.kind().id_prefix() == prefix { Ok(id) } else { Err(IdError) }
    }
}

/// A client's name for one of its sends: the idempotency key, unique per sender permanently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(Uuid);

impl ClientId {
    /// Wraps a UUID that the client made.
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// The UUID the client made.
    pub const fn as_uuid(&self) -> &Uuid {
        &self.0
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.hyphenated(), f)
    }
}

impl FromStr for ClientId {
    type Err = IdError;

    /// Accepts the hyphenated form (any case) or 32 digits. The nil UUID is refused, because it is usually a
    /// forgotten value.
    fn from_str(text: &str) -> Result<Self, IdError> {
        let well_formed = matches!(text.len(), 32 | 36);
        let uuid =
            if well_formed { Uuid::try_parse(text).map_err(|_| IdError)? } else { return Err(IdError) };
        if uuid.is_nil() { Err(IdError) } else { Ok(Self(uuid)) }
    }
}

/// The number of an event in its conversation: 1, 2, 3 … without holes. 0 means "before the first".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Seq(u64);

impl Seq {
    /// Before the first event.
    pub const ZERO: Self = Self(0);
    /// The highest seq: JSON numbers are exact below 2^53.
    pub const MAX: Self = Self((1 << 53) - 1);

    /// A seq from a number; `None` past [`Seq::MAX`].
    pub const fn new(value: u64) -> Option<Self> {
        if value <= Self::MAX.0 { Some(Self(value)) } else { None }
    }

    /// A seq that a store wrote; larger values are cut to the maximum.
    pub fn from_stored(value: i64) -> Self {
        Self(u64::try_from(value).unwrap_or(0).min(Self::MAX.0))
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number as databases store it.
    pub const fn as_stored(self) -> i64 {
        self.0 as i64
    }

    /// The next seq.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The seq `by` numbers later.
    #[must_use]
    pub const fn plus(self, by: u64) -> Self {
        Self(self.0 + by)
    }

    /// The seq before; [`Seq::ZERO`] stays.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A position in the whole log. It grows in commit order and contains no clock.
///
/// SQLite: the row number of the event. Postgres: the committing transaction's `xid8`, so several events may
/// share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    fn user(n: u128) -> UserId {
        UserId::from_uuid(Uuid::from_u128(n))
    }

    #[test]
    fn an_id_survives_its_text_and_only_its_own_kind_reads_it() {
        let id = user(7);
        assert_eq!(id.to_string().parse::<UserId>(), Ok(id));
        assert_eq!(id.to_string().parse::<MessageId>(), Err(IdError));
        assert_eq!(id.to_string().to_uppercase().parse::<UserId>(), Err(IdError));
        assert_eq!("".parse::<ConversationId>(), Err(IdError));
        assert_eq!("é".parse::<ConversationId>(), Err(IdError));
    }

    #[test]
    fn a_direct_conversation_has_one_id_from_both_sides() {
        let id = ConversationId::direct(user(1), user(2));
        assert_eq!(id, ConversationId::direct(user(2), user(1)));
        assert_ne!(id, ConversationId::direct(user(1), user(3)));
        assert_eq!(id.kind(), ConversationKind::Direct);
        assert!(id.to_string().starts_with("d_"));
    }

    #[test]
    fn a_conversation_id_with_another_kinds_prefix_is_refused() {
        let id = ConversationId::from_random(ConversationKind::Group, Uuid::from_u128(u128::MAX));
        let text = id.to_string();
        assert_eq!(text.parse::<ConversationId>(), Ok(id));
        assert_eq!(text.replacen("g_", "c_", 1).parse::<ConversationId>(), Err(IdError));
    }

    #[test]
    fn client_ids_are_uuids_but_not_nil() {
        assert!("0197f3c0-1111-7222-8333-444455556666".parse::<ClientId>().is_ok());
        assert!("00000000-0000-0000-0000-000000000000".parse::<ClientId>().is_err());
        assert!("{0197f3c0-1111-7222-8333-444455556666}".parse::<ClientId>().is_err());
    }
}
