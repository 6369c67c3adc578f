//! Wire contract v1 as types: the frames of clients and server, and both encodings.
//!
//! `docs/PROTOCOL.md` is the authority; the schemas at `/asyncapi.json` are made from these types. Nothing
//! here waits, does I/O or decides anything.

mod answer_headers;
mod changes;
pub mod checks;
pub mod client;
pub mod close;
pub mod codec;
pub mod delivery;
mod encoded_size;
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

pub use answer_headers::answer_headers;
pub use client::{ClientFrame, RequestId};
pub use close::Close;
pub use codec::{Encoding, Rejected};
pub use encoded_size::json_text_bytes;
pub use error::{Error, ErrorCode, Failure};
