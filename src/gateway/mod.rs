//! The gateway: one session per connection, which owns the socket, and one hub per worker thread, which
//! delivers to the sessions.
//!
//! [`upgrade`] checks the HTTP handshake, asks [`admission`] and takes over the TCP stream. A [`session`]
//! reads frames ([`session::assembler`]), decides ([`session::state`], pure) and writes ([`session::outbox`],
//! bounded in bytes). Events of other users come through the [`hub`], which empties the worker's inbox and
//! writes to every session concerned, one batch at a time.
//!
//! ADR 0001 has the measured reasons for owning the socket.

pub mod admission;
pub mod hub;
pub mod session;
pub mod upgrade;
mod user_connections;

use std::time::Duration;

use crate::domain::AllowedOrigins;

/// Limits and deadlines of connections.
#[derive(Debug, Clone)]
pub struct GatewayOptions {
    /// How long a connection may take to say `hello`.
    pub hello_timeout_ms: u64,
    /// How often the server pings.
    pub heartbeat_ms: u64,
    /// After how long without room for a byte a socket is closed.
    pub write_deadline_ms: u64,
    /// Bytes that may wait for a client before it must read for itself (`lagging`).
    pub outbox_bytes: usize,
    /// A lagging client is live again when at most this many bytes wait.
    pub lag_resume_bytes: usize,
    /// Malformed frames per minute before the connection is closed.
    pub malformed_per_minute: u32,
    /// Requests of one connection that may be in progress.
    pub in_flight_requests: u16,
    /// How long before a token expires its client is warned.
    pub token_warning_ms: u64,
    /// Which web pages may connect.
    pub allowed_origins: AllowedOrigins,
    /// Connections that one user may have to one node.
    pub connections_per_user: usize,
    /// How often a connection's positions are compared with the log; `None`: never.
    pub anti_entropy_ms: Option<u64>,
    /// How long writing the answer to an upgrade may take.
    pub handshake_timeout: Duration,
}

#[cfg(test)]
impl GatewayOptions {
    /// The values that the tests of sessions rely on.
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
