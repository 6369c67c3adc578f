//! Real servers as child processes, for the suites that need them. Included with `#[path]`.

pub mod cluster;
pub mod redis;
pub mod sentinel;

pub use self::redis::{Redis, free_port};
