//! What a parcel looks like between processes.
//!
//! ```text
//! byte 0        version 1
//! bytes 1..9    the node that published it, big-endian
//! bytes 9..17   its number there, big-endian
//! the rest      the parcel, MessagePack maps with one-letter keys (`wire`)
//! ```
//!
//! The head is read without touching the rest, so that a node passes over its own envelopes, and over those it already has
//! from another topic, at no cost. Two releases run side by side in every rolling release. Inside a version fields may be
//! added: a reader ignores keys it does not know. Anything else takes a new version: first a release that reads it, then one
//! that writes it. An envelope of an unknown version, or one that cannot be read, is dropped; the log has what was in it.
//! Version 2 has a MAC between head and parcel (`mac`).

mod event;
mod mac;
#[cfg(test)]
mod mac_tests;
#[cfg(test)]
mod samples;
mod signal;
#[cfg(test)]
mod tests;
mod wire;

use thiserror::Error;

pub use self::mac::{MacKeys, Unsigned};
use super::Parcel;

/// The version without a MAC.
pub const VERSION: u8 = 1;
/// The version with one; see [`MacKeys`].
pub const SIGNED_VERSION: u8 = 2;
/// The oldest version that is read.
const OLDEST_VERSION: u8 = 1;
/// The bytes before the parcel itself.
const HEAD_BYTES: usize = 17;

/// A process on the bus, for as long as it runs: drawn at random at its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

/// What tells one envelope from all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// Who published it.
    pub node: NodeId,
    /// How many that node had published before.
    pub number: u64,
}

/// Why an envelope is of no use. Drop it; the log has what was in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EnvelopeError {
    /// Written by a release that is too new or too old.
    #[error("an envelope of the unknown version {0}")]
    UnknownVersion(u8),
    /// Without a MAC, where one is required.
    #[error("an envelope without a MAC")]
    Unsigned,
    /// Made with a key that this process does not have.
    #[error("an envelope by an unknown key")]
    UnknownKey,
    /// Its MAC is not that of its bytes.
    #[error("an envelope with a wrong MAC")]
    Forged,
    /// Not an envelope, or one that says what this release does not know.
    #[error("an envelope that cannot be read")]
    Unreadable,
}

/// Writes an envelope without a MAC.
///
/// # Errors
/// [`EnvelopeError::Unreadable`] when the parcel cannot be written; no parcel made of [`crate::domain`]'s values is one.
pub fn encode(stamp: Stamp, parcel: &Parcel) -> Result<Vec<u8>, EnvelopeError> {
    let mut bytes = write_head(VERSION, stamp);
    write_body(&mut bytes, parcel)?;
    Ok(bytes)
}

fn write_head(version: u8, stamp: Stamp) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    bytes.push(version);
    bytes.extend_from_slice(&stamp.node.0.to_be_bytes());
    bytes.extend_from_slice(&stamp.number.to_be_bytes());
    bytes
}

fn write_body(bytes: &mut Vec<u8>, parcel: &Parcel) -> Result<(), EnvelopeError> {
    let body = wire::WireParcel::from(parcel);
    rmp_serde::encode::write_named(bytes, &body).map_err(|_| EnvelopeError::Unreadable)
}

fn read_body(body: &[u8]) -> Result<Parcel, EnvelopeError> {
    let wire: wire::WireParcel<'_> = rmp_serde::from_slice(body).map_err(|_| EnvelopeError::Unreadable)?;
    Parcel::try_from(wire).map_err(|wire::Unknown| EnvelopeError::Unreadable)
}

/// Reads the head of an envelope only.
///
/// # Errors
/// [`EnvelopeError`].
pub fn stamp(bytes: &[u8]) -> Result<Stamp, EnvelopeError> {
    let version = *bytes.first().ok_or(EnvelopeError::Unreadable)?;
    if !(OLDEST_VERSION..=SIGNED_VERSION).contains(&version) {
        return Err(EnvelopeError::UnknownVersion(version));
    }
    let node = number_at(bytes, 1).ok_or(EnvelopeError::Unreadable)?;
    let number = number_at(bytes, 9).ok_or(EnvelopeError::Unreadable)?;
    Ok(Stamp { node: NodeId(node), number })
}

/// Reads an envelope without a MAC.
///
/// # Errors
/// [`EnvelopeError`].
pub fn decode(bytes: &[u8]) -> Result<(Stamp, Parcel), EnvelopeError> {
    let stamp = stamp(bytes)?;
    if bytes[0] != VERSION {
        return Err(EnvelopeError::UnknownKey);
    }
    let body = bytes.get(HEAD_BYTES..).ok_or(EnvelopeError::Unreadable)?;
    Ok((stamp, read_body(body)?))
}

fn number_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes: [u8; 8] = bytes.get(at..at + 8)?.try_into().ok()?;
    Some(u64::from_be_bytes(bytes))
}
