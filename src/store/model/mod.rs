//! A model of a database server that several processes share, for the simulation: one thread, tokio's timers,
//! and no clock or randomness of its own.
//!
//! It takes the place of Postgres below the rules. The pools of connections, the retries, the deadlines and
//! the choice of replicas are those of the store on Postgres ([`super::pooled`]), and the rules are those of
//! every store. The tables are SQLite's, in memory.
//!
//! **What it has in common with Postgres**
//! - Each statement sees what was committed before it began, and its own transaction's writes. Time may pass
//!   between two statements of a read.
//! - A transaction takes its number when it first writes, locks, or asks for its position, and it takes it
//!   before it waits for a lock. So transactions commit in another order than that of their numbers. A
//!   position is the number of the transaction, or the position of the event before in its conversation if
//!   that is higher.
//! - The end of the log is the lowest number of an open transaction.
//! - A commit that the server has received happens, even if the process no longer waits.
//! - A replica applies the same statements later. Another primary has a part of the same history, gives the
//!   numbers after the last one in it once more, and has another epoch.
//!
//! **What is different**: one lock stands for all row locks. It is taken with the first write and held until
//! the end of the transaction. So transactions on different conversations wait for each other too.
//!
//! [`Fates`] decides what becomes of every round trip.

mod cluster;
mod connection;
mod copy;
mod fates;
mod history;
mod inside;
mod inspect;
mod journal;
mod replica;
mod server;
mod state;
mod store;
pub mod warm;

pub use cluster::Former;
pub use fates::{Delays, Destination, Fate, Fates, NoFaults, RoundTrip, Trip, TripOutcome};
pub use inspect::{LogContents, LogMember};
pub use server::{ForeignTransaction, ModelServer};
pub use store::{ModelOptions, ModelStore};
