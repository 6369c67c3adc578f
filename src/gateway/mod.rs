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

/// Frames of a connection in a minute, for each send that its user may make in a second. Honest clients send
/// typing, receipts and pings beside their messages; they stay far below.
const FRAMES_PER_SEND: u32 = 600;
/// The frames of a minute that are taken at any rate of sends.
const LEAST_FRAMES_PER_MINUTE: u32 = 6_000;

impl Bounds {
    /// After so many frames within a minute a connection is closed with 4429. It bounds what costs nothing
    /// else: pings, refused frames and unknown ones.
    pub fn frames_per_minute(&self) -> u32 {
        match self.limits.sends_per_second {
            0 => u32::MAX,
            rate => rate.saturating_mul(FRAMES_PER_SEND).max(LEAST_FRAMES_PER_MINUTE),
        }
    }
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
