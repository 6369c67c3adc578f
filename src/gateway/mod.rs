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
mod place;
mod refused;
pub mod session;
pub mod upgrade;
mod user_connections;

use std::time::Duration;

use crate::config;
use crate::domain::{AllowedOrigins, Limits};

/// The limits of connections, shared by all sessions of a worker.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// Deadlines and sizes of connections, as the operator set them.
    pub gateway: config::GatewaySettings,
    /// Sizes of requests.
    pub limits: Limits,
    /// Which web pages may connect: `gateway.allowed_origins` and the server's own address.
    pub allowed_origins: AllowedOrigins,
    /// Clients reach the server by https only.
    pub https: bool,
    /// How long an upgrade's answer may take to be written.
    pub handshake_timeout: Duration,
}

#[cfg(test)]
impl Bounds {
    /// The defaults.
    fn for_tests() -> Self {
        Self {
            gateway: config::Settings::for_tests().gateway,
            limits: Limits::default(),
            allowed_origins: AllowedOrigins::default(),
            https: false,
            handshake_timeout: Duration::from_secs(1),
        }
    }
}
