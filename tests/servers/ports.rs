//! Ports for servers that a test starts.

use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;

/// A port that was free a moment ago, below those that the kernel gives to outgoing connections: one of those
/// may be taken by another test's client before a server listens there.
pub fn free_port() -> u16 {
    const PORTS: std::ops::Range<u64> = 12_000..32_000;
    loop {
        let random = RandomState::new().hash_one(std::process::id());
        let port = PORTS.start + random % (PORTS.end - PORTS.start);
        let port = u16::try_from(port).expect("it is in the range");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
