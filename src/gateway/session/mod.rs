//! Session: one actor per connection; owns the socket, speaks the protocol, is pushed live events.
//!
//! - *Owns*: its [`connection`] (stream, assembler, outbox), its place in its [`life`], its rules ([`state`],
//!   [`request_rules`]), the steps of entering ([`entering`]), which live events it wants ([`feed`]).
//! - *Receives*: bytes from the client; control messages in its [`mailbox`]; events, signals and replies, a
//!   batch at a time, from the hub of its thread ([`deliveries`]); timers.
//! - *Emits*: [`effect`]s of its rules, performed by [`effects`]; frames into its queue ([`output`]); its
//!   subscriptions and timers to the hub ([`worker::Directory`]).
//! - *Limits*: bytes that wait for the client, requests in progress, control messages, malformed and
//!   rate-limited frames per minute.
//! - *On restart*: nothing is restored; the client reconnects and resumes by cursor.
//! - *On full*: a full queue switches the client to pulling (`lagging`); at the bound of requests nothing
//!   more is read; a full mailbox ends the session.
//!
//! A session is generic over its stream, and takes time and randomness from its node's environment, so that
//! all sessions of a process can run on one thread under a paused clock.

mod actor;
pub mod assembler;
pub mod blocks;
mod checked_token;
pub mod connection;
mod control;
pub mod cursor;
pub mod deliveries;
pub mod effect;
mod effects;
mod endings;
pub mod entering;
#[cfg(test)]
mod entering_tests;
pub mod feed;
mod given;
mod heads;
mod held_events;
pub mod life;
pub mod mailbox;
mod minute_counter;
pub mod outbox;
mod output;
mod request_rules;
mod requests;
mod resume;
mod session_ref;
pub mod state;
#[cfg(test)]
mod state_tests;
pub mod stream;
mod sync;
mod visibility;
mod watches;
pub mod worker;

pub use actor::Session;
