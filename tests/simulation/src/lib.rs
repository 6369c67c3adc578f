//! Deterministic simulation of whole fleets: see docs/TESTING.md and ADR 0100.
//!
//! - [`plan`]: the steps of a run; [`generate`] makes it from a seed.
//! - [`world`]: a run. [`fleet`], [`process`] and [`workers`] run the product's own code. [`edges`] has
//!   models of everything outside of it. [`faults`] performs the faults.
//! - [`net`] and [`balancer`]: the part of the fleet that devices see. [`clients`]: devices, written from
//!   docs/PROTOCOL.md.
//! - [`operator`]: who suspends accounts. [`history`]: the record of a run. [`inspect`]: the log at the end.
//!   [`checker`]: whether the promises were kept. [`shrink`] and [`story`] explain a failing run.
//! - [`batch`]: many runs, each in a process of its own, because [`entropy`] and tokio's own counters begin
//!   anew there. On Linux `worker` makes these processes as copies of one that is prepared.

pub mod balancer;
pub mod batch;
pub mod checker;
pub mod clients;
pub mod dice;
pub mod edges;
pub mod entropy;
pub mod faults;
pub mod fleet;
pub mod generate;
pub mod history;
pub mod inspect;
pub mod net;
pub mod operator;
pub mod outcome;
pub mod plan;
pub mod process;
pub mod settings;
pub mod shrink;
pub mod story;
#[cfg(target_os = "linux")]
pub mod worker;
pub mod workers;
pub mod world;

pub use tidings::{bounds, rare};
