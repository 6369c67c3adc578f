//! Session: one per connection; owns the socket, speaks the protocol, feeds on live events.
//!
//! - *Owns*: its TCP stream, its outbound queue, its rules' state ([`state`]), its way in ([`entering`]), which live events it
//!   wants ([`feed`]).
//! - *Receives*: bytes from the client; events, signals and replies from the worker's [`super::switchboard`]; ticks of its wheel.
//! - *Emits*: [`effect`]s, carried out by the switchboard.
//! - *Limits*: bytes that wait for the client, requests under way, malformed and rate-limited frames per minute.
//! - *On restart*: there is none; the client reconnects and resumes by cursor.
//! - *On full*: a full queue switches the client to pulling (`lagging`); at the bound of requests nothing more is read.

mod actor;
pub mod blocks;
pub mod effect;
pub mod entering;
pub mod feed;
mod given;
mod hearing;
pub mod state;
#[cfg(test)]
mod story;
#[cfg(test)]
mod tests;
mod watches;
mod window;

pub(super) use actor::Session;
