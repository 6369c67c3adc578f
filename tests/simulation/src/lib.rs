//! Deterministic simulation of whole fleets: see docs/TESTING.md.
//!
//! - [`plan`]: what a run does, from its seed.
//! - [`edges`]: models of what is outside the product: log faults, bus, sockets, clocks, randomness.
//! - [`net`]: what devices see of the fleet.
//! - [`clients`]: devices, written from docs/PROTOCOL.md.
//! - [`history`]: what happened.
//! - [`checker`]: whether the promises held.

pub mod checker;
pub mod clients;
pub mod dice;
pub mod edges;
pub mod history;
pub mod net;
pub mod plan;
