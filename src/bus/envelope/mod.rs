//! How a message is encoded between processes.
//!
//! ```text
//! byte 0        version 1
//! bytes 1..9    the node that published it, big-endian
//! bytes 9..17   its number there, big-endian
//! the rest      the message, MessagePack maps with one-letter keys (`wire`); what a change says has the
//!               names that clients know
//! ```
//!
//! The head is read alone, so that a node skips its own envelopes, and those that it already received for
//! another topic, at no cost. Two releases run side by side in every rolling release. Within a version fields
//! may be added: a reader ignores unknown keys. Any other change needs a new version: first a release that
//! reads it, then one that writes it. An envelope that cannot be read is dropped, because the log has its
//! content. Version 2 has a MAC between head and message (`mac`).

mod event;
mod mac;
#[cfg(test)]
mod mac_tests;
#[cfg(test)]
mod samples;
mod signal;
#[cfg(test)]
mod tests;
mod values;
mod wire;

use thiserror::Error;

pub use self::mac::{MacKeys, Unsigned};
use super::BusMessage;

/// The version without a MAC.
pub const VERSION: u8 = 1;
/// The version with one; see [`MacKeys`].
pub const SIGNED_VERSION: u8 = 2;
/// The oldest version that is read.
const OLDEST_VERSION: u8 = 1;
/// The bytes before the message itself.
const HEAD_BYTES: usize = 17;

/// A process on the bus. Drawn at random at its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

/// Identifies an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BusMessageId {
    /// The node that published it.
    pub node: NodeId,
    /// How many envelopes that node had published before.
    pub number: u64,
}

/// Why an envelope cannot be used. Drop it: the log has its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EnvelopeError {
    /// Written by a release that is too new or too old.
    #[error("an envelope of the unknown version {0}")]
    UnknownVersion(u8),
    /// Without a MAC, although one is required.
    #[error("an envelope without a MAC")]
    Unsigned,
    /// Made with a key that this process does not have.
    #[error("an envelope by an unknown key")]
    UnknownKey,
    /// Its MAC is not that of its bytes.
    #[error("an envelope with a wrong MAC")]
    Forged,
    /// Not an envelope, or one with content that this release does not know.
    #[error("an envelope that cannot be read")]
    Unreadable,
}

/// Writes an envelope without a MAC.
///
/// # Errors
/// [`EnvelopeError::Unreadable`] when the message cannot be written; no message made of [`crate::domain`]'s
/// values is one.
pub fn encode(id: BusMessageId, message: &BusMessage) -> Result<Vec<u8>, EnvelopeError> {
    let mut bytes = write_head(VERSION, id);
    write_body(&mut bytes, message)?;
    Ok(bytes)
}

fn write_head(version: u8, id: BusMessageId) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    bytes.push(version);
    bytes.extend_from_slice(&id.node.0.to_be_bytes());
    bytes.extend_from_slice(&id.number.to_be_bytes());
    bytes
}

fn write_body(bytes: &mut Vec<u8>, message: &BusMessage) -> Result<(), EnvelopeError> {
    let body = wire::WireMessage::from(message);
    rmp_serde::encode::write_named(bytes, &body).map_err(|_| EnvelopeError::Unreadable)
}

fn read_body(body: &[u8]) -> Result<BusMessage, EnvelopeError> {
    let wire: wire::WireMessage<'_> = rmp_serde::from_slice(body).map_err(|_| EnvelopeError::Unreadable)?;
    BusMessage::try_from(wire).map_err(|values::Unknown| EnvelopeError::Unreadable)
}

/// Reads the head of an envelope only.
///
/// # Errors
/// [`EnvelopeError`].
pub fn id(bytes: &[u8]) -> Result<BusMessageId, EnvelopeError> {
    let version = *bytes.first().ok_or(EnvelopeError::Unreadable)?;
    if !(OLDEST_VERSION..=SIGNED_VERSION).contains(&version) {
        return Err(EnvelopeError::UnknownVersion(version));
    }
    let node = number_at(bytes, 1).ok_or(EnvelopeError::Unreadable)?;
    let number = number_at(bytes, 9).ok_or(EnvelopeError::Unreadable)?;
    Ok(BusMessageId { node: NodeId(node), number })
}

/// Reads an envelope without a MAC.
///
/// # Errors
/// [`EnvelopeError`].
pub fn decode(bytes: &[u8]) -> Result<(BusMessageId, BusMessage), EnvelopeError> {
    let id = id(bytes)?;
    if bytes[0] != VERSION {
        return Err(EnvelopeError::UnknownKey);
    }
    let body = bytes.get(HEAD_BYTES..).ok_or(EnvelopeError::Unreadable)?;
    Ok((id, read_body(body)?))
}

fn number_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes: [u8; 8] = bytes.get(at..at + 8)?.try_into().ok()?;
    Some(u64::from_be_bytes(bytes))
}
