//! Real servers for tests: each started for one test, in a directory of its own, and ended with it, apart
//! from those of [`lent`], which end soon after the last test.
//!
//! A server hangs on a small shell that reads from a pipe which the test holds open. When the test ends,
//! however it ends, the pipe closes, and the shell stops the server and removes its directory. Nothing is
//! left behind by a test that panics, is killed or runs out of time.

#[path = "certificates.rs"]
pub mod certificates;
#[path = "lent.rs"]
pub mod lent;
#[path = "pgbouncer.rs"]
pub mod pgbouncer;
#[path = "ports.rs"]
pub mod ports;
#[path = "postgres.rs"]
pub mod postgres;
#[path = "process.rs"]
pub mod process;
