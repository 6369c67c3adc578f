//! A client of the protocol, built the way `docs/PROTOCOL.md` tells client authors to:
//!
//! - [`connection`]: one WebSocket, frames in and out, every wait bounded.
//! - [`resume`]: pure; what is held, what is lacking, what to ask for.
//! - [`outbox`]: pure; what was said and not yet answered, resent with the same `client_id`.
//! - [`setup`]: what a session is given, told and gives back.
//! - [`session`]: drives the three, reconnects with backoff, and records everything it saw for the ledger.

pub mod connection;
pub mod outbox;
pub mod resume;
pub mod session;
pub mod setup;
