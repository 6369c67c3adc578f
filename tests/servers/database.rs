//! A Postgres server alone, for tests that need nothing else.

#[path = "lent.rs"]
pub mod lent;
#[path = "ports.rs"]
pub mod ports;
#[path = "postgres.rs"]
pub mod postgres;
#[path = "process.rs"]
pub mod process;
