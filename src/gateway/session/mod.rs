//! Session: one per connection; owns the socket, speaks the protocol, feeds on live events.
//!
//! - *Owns*: its TCP stream, its outbound queue, its rules' state ([`state`]), its way in ([`entering`]), which live events it
//!   wants ([`feed`]).
//! - *Receives*: bytes from the client; events, signals and replies from the worker's [`super::hub`]; ticks of its wheel.
//! - *Emits*: [`effect`]s, carried out by the hub.
//! - *Limits*: bytes that wait for the client, requests under way, malformed and rate-limited frames per minute.
//! - *On restart*: there is none; the client reconnects and resumes by cursor.
//! - *On full*: a full queue switches the client to pulling (`lagging`); at the bound of requests nothing more is read.

mod actor;
pub mod assembler;
pub mod blocks;
pub mod connection;
mod context;
pub mod cursor;
pub mod effect;
pub mod entering;
#[cfg(test)]
mod entering_tests;
pub mod feed;
mod given;
mod hearing;
mod minute_counter;
pub mod outbox;
pub mod state;
#[cfg(test)]
mod state_tests;
pub mod stream;
mod watches;

pub(super) use actor::Session;
