//! The gateway: one session per connection that owns its socket, and one hub per worker thread that feeds them.
//!
//! [`upgrade`] checks the HTTP handshake, asks [`admission`] and takes the TCP stream over. A [`session`] reads frames
//! ([`session::assembler`]), decides ([`session::state`], pure) and writes ([`session::outbox`], bounded in bytes). What other
//! people say comes through the [`hub`], which empties the worker's inbox and writes to every session concerned, a batch at a
//! time.
//!
//! Measured reasons for owning the socket are in ADR 0001.

pub mod admission;
pub mod hub;
pub mod session;
pub mod upgrade;
mod user_connections;

use std::time::Duration;

use crate::domain::AllowedOrigins;

/// Bounds and deadlines of connections.
#[derive(Debug, Clone)]
pub struct GatewayOptions {
    /// How long a connection may take to say `hello`.
    pub hello_timeout_ms: u64,
    /// How often the server pings.
    pub heartbeat_ms: u64,
    /// How long a socket may take no byte before it is closed.
    pub write_deadline_ms: u64,
    /// Bytes that may wait for a client before it is switched to pulling.
    pub outbox_bytes: usize,
    /// A lagging client is live again when no more than this waits.
    pub lag_resume_bytes: usize,
    /// Malformed frames per minute before the connection is closed.
    pub malformed_per_minute: u32,
    /// Requests of one connection that may be under way.
    pub in_flight_requests: u16,
    /// How long before its end a token's owner is warned.
    pub token_warning_ms: u64,
    /// Which web pages may connect.
    pub allowed_origins: AllowedOrigins,
    /// Connections of one user to one node.
    pub connections_per_user: usize,
    /// How often a connection's positions are compared with the log; `None`: never.
    pub anti_entropy_ms: Option<u64>,
    /// How long an upgrade's answer may take to be written.
    pub handshake_timeout: Duration,
}

#[cfg(test)]
impl GatewayOptions {
    /// What the tests of sessions count on.
    fn for_tests() -> Self {
        Self {
            hello_timeout_ms: 5_000,
            heartbeat_ms: 25_000,
            write_deadline_ms: 10_000,
            outbox_bytes: 1 << 20,
            lag_resume_bytes: 1 << 16,
            malformed_per_minute: 20,
            in_flight_requests: 2,
            token_warning_ms: 60_000,
            allowed_origins: AllowedOrigins::default(),
            connections_per_user: 50,
            anti_entropy_ms: Some(60_000),
            handshake_timeout: Duration::from_secs(1),
        }
    }
}
