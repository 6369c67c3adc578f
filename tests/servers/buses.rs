//! Redis servers as child processes, one, behind Sentinels or in a Cluster. Included with `#[path]`.

#[path = "certificates.rs"]
pub mod certificates;
#[path = "cluster.rs"]
pub mod cluster;
#[path = "ports.rs"]
pub mod ports;
#[path = "process.rs"]
pub mod process;
#[path = "redis.rs"]
pub mod redis;
#[path = "sentinel.rs"]
pub mod sentinel;

pub use self::ports::free_port;
pub use self::redis::Redis;
