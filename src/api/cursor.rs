//! The opaque text with which a listing continues.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use super::Problem;
use crate::domain::{ConversationId, UserId};
use crate::store::{ChannelOrder, ChannelPlace};

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
        None => Err(not_of_this_listing()),
    }
}

const BY_ACTIVITY: u8 = 3;
const BY_NAME: u8 = 4;

/// Writes a place in a listing of open channels.
pub fn encode_place(place: &ChannelPlace) -> String {
    let (tag, id, key) = match place {
        ChannelPlace::Activity(active_at, id) => (BY_ACTIVITY, id, active_at.to_be_bytes().to_vec()),
        ChannelPlace::Name(name, id) => (BY_NAME, id, name.clone().into_bytes()),
    };
    URL_SAFE_NO_PAD.encode([&[tag], &id.as_uuid().as_bytes()[..], &key].concat())
}

/// Reads a place in a listing of open channels in this order. Without one the listing begins at its start.
///
/// # Errors
/// 422 when it was not made by [`encode_place`] for this order.
pub fn decode_place(text: Option<&str>, order: &ChannelOrder) -> Result<Option<ChannelPlace>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let place = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| {
        let (tag, rest) = bytes.split_first()?;
        let (id, key) = rest.split_at_checked(16)?;
        let id = ConversationId::from_uuid(Uuid::from_slice(id).ok()?)?;
        match (*tag, order) {
            (BY_ACTIVITY, ChannelOrder::Activity) => {
                Some(ChannelPlace::Activity(i64::from_be_bytes(key.try_into().ok()?), id))
            }
            (BY_NAME, ChannelOrder::Name(_)) => {
                let name = String::from_utf8(key.to_vec()).ok()?;
                (!name.contains('\0')).then_some(ChannelPlace::Name(name, id))
            }
            _ => None,
        }
    });
    place.map(Some).ok_or_else(not_of_this_listing)
}

fn not_of_this_listing() -> Problem {
    Problem::invalid("cursor: not one of this listing")
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
            assert!(decode_place(Some(bad), &ChannelOrder::Activity).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_place_leads_back_to_itself_in_its_own_order_only() {
        let id = ConversationId::default_channel("lobby");
        let by_name = ChannelOrder::Name("l".to_owned());
        for (place, order, other) in [
            (ChannelPlace::Activity(i64::MAX, id), &ChannelOrder::Activity, &by_name),
            (ChannelPlace::Name("lobby é".to_owned(), id), &by_name, &ChannelOrder::Activity),
        ] {
            let text = encode_place(&place);
            assert_eq!(decode_place(Some(&text), order).ok().flatten(), Some(place));
            assert!(decode_place(Some(&text), other).is_err());
            assert!(decode::<ConversationId>(Some(&text)).is_err());
        }
    }
}
