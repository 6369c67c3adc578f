//! Wire contract v1 as types: what clients send, what they are told, how both are encoded.
//!
//! The authority is `docs/PROTOCOL.md`; the schemas served at `/asyncapi.json` come from these types. Nothing here waits,
//! does I/O or decides anything.

pub mod checks;
pub mod client;
pub mod close;
pub mod codec;
pub mod delivery;
pub mod error;
pub mod event;
pub mod frame;
mod ids;
#[cfg(test)]
mod page;
pub mod server;
#[cfg(test)]
mod snapshots;
mod visible;
pub mod whole;

pub use client::{ClientFrame, RequestId};
pub use close::Close;
pub use codec::{Encoding, Rejected};
pub use error::{Error, ErrorCode, Failure};
