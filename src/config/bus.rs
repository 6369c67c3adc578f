//! `[bus]`: how events reach other processes.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::choice::choice;
use super::problems::SectionProblems;

choice! {
    /// What carries events between gateways.
    BusBackend {
        /// Memory of this process.
        Local = "local",
        /// Redis pub/sub.
        Redis = "redis",
    }
}

/// `[bus]`; every key is explained in `config/default.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bus {
    /// Which backend.
    pub backend: BusBackend,
    /// Bound of what was received and not yet handed to the workers.
    pub queue_bytes: usize,
    /// With `backend = "redis"`.
    pub redis: Redis,
}

/// `[bus.redis]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    /// Where it is.
    pub url: SecretString,
    /// For connecting and for a command.
    pub timeout_ms: u64,
    /// Between pings on the subscriber's connection.
    pub ping_ms: u64,
}

impl Bus {
    pub(super) fn validate(&self, problems: &mut SectionProblems<'_>) {
        problems.range("queue_bytes", self.queue_bytes, 65_536, 1 << 40);
        problems.range("redis.timeout_ms", self.redis.timeout_ms, 10, 60_000);
        problems.range("redis.ping_ms", self.redis.ping_ms, 50, 60_000);
        let url = self.redis.url.expose_secret();
        problems.when(
            self.backend == BusBackend::Redis
                && !url.starts_with("redis://")
                && !url.starts_with("rediss://"),
            "redis.url",
            "is needed with backend = \"redis\": write e.g. redis://:PASSWORD@HOST:6379 (rediss:// for TLS)",
        );
    }
}
