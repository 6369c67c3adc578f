//! The rules of the store, each written once, over a narrow connection trait of both databases.
//!
//! **Adding a rule**
//! 1. One file of rules here. A rule is `async fn rule<C: Connection>(connection: &mut C, …) -> Result<T>`,
//!    or `-> Decision<T>` when it can refuse. It runs inside a transaction that the caller begins and ends.
//! 2. Its statements as constants in the same file: `statement!("…")` where the databases agree,
//!    `statement!(postgres: "…", sqlite: "…")` where they do not. A part that several statements share has a
//!    name in braces (`text.rs`). Parameters are `$1`, `$2`, … in both. Use the same SQL for both where it
//!    exists (`ON CONFLICT … DO UPDATE`, `RETURNING`, `TRUE`).
//! 3. The store's trait for every [`Backend`] at the end of the file: pass the rule and its owned arguments
//!    to [`Backend::write`], [`Backend::once`] or [`Backend::read`]. Only these decide on transaction, retry,
//!    deadline, and whether a failure is definite.
//! 4. One test in `tests/contract/suite`, which runs on both databases.
//!
//! `consumers.rs` is the smallest example.
//!
//! **What to watch for**
//! - A rule may run again from its beginning, so it keeps no state outside the transaction. Its result
//!   contains the data for work after the commit (caching a roster, publishing).
//! - On Postgres each call of a [`Connection`] is a round trip, and a lock is held until the last of them.
//! - An embedded operation runs on the database's thread: a rule awaits only its connection.

pub(in crate::store) mod accounts;
mod audit;
pub(in crate::store) mod authorize;
mod backend;
mod change;
mod connection;
mod consent;
mod consumers;
pub(in crate::store) mod conversations;
mod erasure;
mod guests;
mod heads;
mod history;
mod invitations;
pub(in crate::store) mod job;
mod jobs;
pub(in crate::store) mod journal;
mod log;
mod operation;
mod page;
pub(in crate::store) mod permissions;
mod purge;
mod quotas;
pub(in crate::store) mod range;
mod receipts;
mod roster;
mod tail;
pub(in crate::store) mod text;
mod value;

pub(in crate::store) use super::shared::error::{Decision, Error, Result, Stop, before_commit};
pub(in crate::store) use backend::{Backend, operate_here, unrefused};
pub(in crate::store) use connection::Connection;
pub(in crate::store) use operation::{ATTEMPTS, Phase, Purpose, Rule, Transaction, Transactions, drive};
pub(in crate::store) use text::{batch, filled, statement};
pub(in crate::store) use value::{Batch, Sql, Value, rows, values};
