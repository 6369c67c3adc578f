//! The opaque text with which a listing continues.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use super::Problem;
use crate::domain::{ConversationId, UserId};

/// A key that a listing is ordered by.
pub trait CursorKey: Sized {
    /// The listing. A cursor of one listing is not valid for another.
    const TAG: u8;
    /// The key's bytes.
    fn uuid(&self) -> Uuid;
    /// The key of these bytes; `None` when they are not a key.
    fn from_uuid(uuid: Uuid) -> Option<Self>;
}

impl CursorKey for ConversationId {
    const TAG: u8 = 1;

    fn uuid(&self) -> Uuid {
        *self.as_uuid()
    }

    fn from_uuid(uuid: Uuid) -> Option<Self> {
        Self::from_uuid(uuid)
    }
}

impl CursorKey for UserId {
    const TAG: u8 = 2;

    fn uuid(&self) -> Uuid {
        *self.as_uuid()
    }

    fn from_uuid(uuid: Uuid) -> Option<Self> {
        Some(Self::from_uuid(uuid))
    }
}

/// Writes a cursor.
pub fn encode<K: CursorKey>(key: &K) -> String {
    let mut bytes = [K::TAG; 17];
    bytes[1..].copy_from_slice(key.uuid().as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads a cursor. Without one the listing begins at its start.
///
/// # Errors
/// 422 when it was not made by [`encode`] for the same listing.
pub fn decode<K: CursorKey>(text: Option<&str>) -> Result<Option<K>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| <[u8; 17]>::try_from(bytes).ok());
    let key = bytes.filter(|bytes| bytes[0] == K::TAG).and_then(|bytes| Uuid::from_slice(&bytes[1..]).ok());
    match key.and_then(K::from_uuid) {
        Some(key) => Ok(Some(key)),
        None => Err(Problem::invalid("cursor: not one of this listing")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_back_to_its_key_and_to_no_other_listing() {
        let user = UserId::from_uuid(Uuid::from_u128(7));
        let cursor = encode(&user);
        assert_eq!(decode::<UserId>(Some(&cursor)).ok().flatten(), Some(user));
        assert!(decode::<ConversationId>(Some(&cursor)).is_err());
        for bad in ["", "AAAA", "nonsense", "../..", "-1", "\0"] {
            assert!(decode::<UserId>(Some(bad)).is_err(), "{bad}");
        }
    }
}
