//! Envelopes with a keyed MAC, which shows that a process of this installation wrote them.
//!
//! ```text
//! byte 0         version 2
//! bytes 1..17    the publisher and its number, as in version 1
//! bytes 17..21   which key
//! bytes 21..37   HMAC-SHA-256 of everything else, cut to 16 bytes
//! the rest       the message, as in version 1
//! ```
//!
//! The first key signs, and all keys are accepted. So a key can be exchanged: first every process learns the
//! new one, then it signs. A person who can read and write in Redis can still read, drop and repeat
//! envelopes. A repeated event is recognised by its seq; a repeated signal says what was true a moment ago.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{hkdf, hmac};

use super::{BusMessageId, EnvelopeError, HEAD_BYTES, SIGNED_VERSION, id, read_body, write_body, write_head};
use crate::bus::BusMessage;

/// The purpose of the key: for another purpose the same secret gives another key.
const PURPOSE: &[u8] = b"tidings bus envelope mac 1";
const ID_BYTES: usize = 4;
const MAC_BYTES: usize = 16;
const ID_END: usize = HEAD_BYTES + ID_BYTES;
const MAC_END: usize = ID_END + MAC_BYTES;

/// What to do with envelopes without a MAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsigned {
    /// They are accepted, while a fleet begins to sign.
    Taken,
    /// They are dropped.
    Dropped,
}

#[derive(Debug)]
struct MacKey {
    id: [u8; ID_BYTES],
    key: hmac::Key,
}

impl MacKey {
    fn derive(secret: &[u8]) -> Option<Self> {
        let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(secret);
        let key = hmac::Key::from(extracted.expand(&[PURPOSE], hmac::HMAC_SHA256).ok()?);
        let name = hmac::sign(&key, b"id");
        let id = name.as_ref().get(..ID_BYTES)?.try_into().ok()?;
        Some(Self { id, key })
    }

    fn mac(&self, before: &[u8], body: &[u8]) -> [u8; MAC_BYTES] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(before);
        context.update(body);
        let tag = context.sign();
        let mut mac = [0; MAC_BYTES];
        mac.copy_from_slice(&tag.as_ref()[..MAC_BYTES]);
        mac
    }
}

/// The keys of this process.
#[derive(Debug)]
pub struct MacKeys {
    keys: Vec<MacKey>,
    unsigned: Unsigned,
}

impl MacKeys {
    /// Keys derived from secrets; the first signs. `None` without any secret.
    pub fn derive<S: AsRef<[u8]>>(secrets: &[S], unsigned: Unsigned) -> Option<Self> {
        let keys =
            secrets.iter().map(|secret| MacKey::derive(secret.as_ref())).collect::<Option<Vec<_>>>()?;
        (!keys.is_empty()).then_some(Self { keys, unsigned })
    }

    /// Writes an envelope with a MAC.
    ///
    /// # Errors
    /// As [`super::encode`].
    pub fn encode(&self, id: BusMessageId, message: &BusMessage) -> Result<Vec<u8>, EnvelopeError> {
        let key = self.keys.first().ok_or(EnvelopeError::UnknownKey)?;
        let mut bytes = write_head(SIGNED_VERSION, id);
        bytes.extend_from_slice(&key.id);
        bytes.extend_from_slice(&[0; MAC_BYTES]);
        write_body(&mut bytes, message)?;
        let mac = key.mac(&bytes[..ID_END], &bytes[MAC_END..]);
        bytes[ID_END..MAC_END].copy_from_slice(&mac);
        Ok(bytes)
    }

    /// Reads an envelope with a MAC by one of the keys, or one without a MAC if those are accepted.
    ///
    /// # Errors
    /// [`EnvelopeError`].
    pub fn decode(&self, bytes: &[u8]) -> Result<(BusMessageId, BusMessage), EnvelopeError> {
        let message_id = id(bytes)?;
        if bytes[0] != SIGNED_VERSION {
            return match self.unsigned {
                Unsigned::Taken => super::decode(bytes),
                Unsigned::Dropped => Err(EnvelopeError::Unsigned),
            };
        }
        let (Some(key_id), Some(mac), Some(body)) =
            (bytes.get(HEAD_BYTES..ID_END), bytes.get(ID_END..MAC_END), bytes.get(MAC_END..))
        else {
            return Err(EnvelopeError::Unreadable);
        };
        let key = self.keys.iter().find(|key| key.id == key_id).ok_or(EnvelopeError::UnknownKey)?;
        verify_slices_are_equal(&key.mac(&bytes[..ID_END], body), mac).map_err(|_| EnvelopeError::Forged)?;
        Ok((message_id, read_body(body)?))
    }
}
