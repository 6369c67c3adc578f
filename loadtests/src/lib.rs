//! Black-box tests for a Tidings server: replay of real conversations, load, and the ledger that says which
//! promises were kept. It speaks `docs/PROTOCOL.md` and shares no code with the server, so that one
//! misreading cannot hide another.

pub mod cli;
pub mod client;
pub mod clock;
mod crowd;
mod direct;
mod fanout;
mod floor;
mod hostile;
mod idle;
pub mod ids;
mod irc;
pub mod latency;
pub mod ledger;
mod pace;
mod picture;
mod procfs;
mod replay;
mod report;
pub mod rest;
mod services;
mod stage;
mod storm;
pub mod wire;
