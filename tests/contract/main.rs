//! The contract of every store, as one suite. [`harness::Harness`] creates an empty store, and the tests use
//! only the traits. To add a backend, implement the factory and include the suite under a new name, which
//! [`harness::fresh`] receives. Tests of promises of one backend only are beside the suite.

#![expect(clippy::duplicate_mod, reason = "the suite is included once for each backend")]

mod costs;
mod harness;
mod model;
mod postgres;
mod sqlite;

#[path = "../servers/mod.rs"]
mod servers;

#[path = "suite/mod.rs"]
mod over_model;
#[path = "suite/mod.rs"]
mod over_postgres;
#[path = "suite/mod.rs"]
mod over_sqlite;
