//! What every store has to do, as one suite over a factory: [`harness::Harness`] makes an empty store, the
//! tests speak to the traits alone. A backend joins by implementing the factory and including the suite under
//! a name of its own, which it is given in [`harness::fresh`]. What only one backend promises is beside the
//! suite.

#![expect(clippy::duplicate_mod, reason = "the suite is included once for each backend")]

mod costs;
mod harness;
mod postgres;
mod sqlite;

#[path = "../servers/mod.rs"]
mod servers;

#[path = "suite/mod.rs"]
mod over_postgres;
#[path = "suite/mod.rs"]
mod over_sqlite;
