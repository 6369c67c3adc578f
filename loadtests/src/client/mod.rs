//! A client of the protocol, built the way `docs/PROTOCOL.md` tells client authors to:
//!
//! - [`connection`]: one WebSocket, frames in and out, every wait bounded.
//! - [`resume`]: pure; what the client has, what it lacks, what to ask for.
//! - [`outbox`]: pure; what was sent and not yet answered, sent again with the same `client_id`.
//! - [`setup`]: the inputs, commands and results of a session.
//! - [`session`]: drives the three, reconnects with backoff, and records everything for the ledger.

pub mod connection;
pub mod outbox;
pub mod resume;
pub mod session;
pub mod setup;
