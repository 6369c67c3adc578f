//! `[gateway]`: WebSocket connections.

use serde::Deserialize;

use super::problems::SectionProblems;
use crate::domain::Origin;

/// `[gateway]`; every key is explained in `config/default.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatewaySettings {
    /// From the upgrade to a finished hello.
    pub hello_timeout_ms: u64,
    /// Between the server's pings.
    pub heartbeat_ms: u64,
    /// For which a connection may take none of its bytes.
    pub write_deadline_ms: u64,
    /// Bound of a connection's outbound queue.
    pub outbox_bytes: usize,
    /// The bytes that may be left in it when live push continues.
    pub lag_resume_bytes: usize,
    /// Bound of a worker thread's queue of deliveries.
    pub inbox_bytes: usize,
    /// Malformed frames before a connection is closed.
    pub malformed_per_minute: u32,
    /// Browser origins beside the server's own host; `*` is every one.
    pub allowed_origins: Vec<String>,
    /// Unanswered requests of one connection.
    pub in_flight_requests: u16,
    /// How long before its end a token's expiry is announced.
    pub token_warning_ms: u64,
    /// Between comparisons with the log; 0: never.
    pub anti_entropy_ms: u64,
    /// Connections of one user on one worker thread.
    pub connections_per_user: usize,
    /// Connections between hello and welcome.
    pub hellos_in_flight: usize,
    /// Upgrades from one address in the long run; 0: no limit.
    pub hellos_per_ip_per_second: u32,
    /// Upgrades from one address at once; 0: no limit.
    pub hello_burst_per_ip: u32,
}

impl GatewaySettings {
    /// Milliseconds between comparisons with the log; `None`: never.
    pub fn anti_entropy(&self) -> Option<u64> {
        (self.anti_entropy_ms > 0).then_some(self.anti_entropy_ms)
    }

    pub(super) fn validate(&self, problems: &mut SectionProblems<'_>) {
        problems.range("hello_timeout_ms", self.hello_timeout_ms, 100, 120_000);
        problems.range("heartbeat_ms", self.heartbeat_ms, 1_000, 600_000);
        problems.range("write_deadline_ms", self.write_deadline_ms, 100, 600_000);
        problems.range("outbox_bytes", self.outbox_bytes, 4_096, 1 << 30);
        problems.range("lag_resume_bytes", self.lag_resume_bytes, 0, self.outbox_bytes / 2);
        problems.range("inbox_bytes", self.inbox_bytes, 65_536, 1 << 40);
        problems.range("malformed_per_minute", self.malformed_per_minute, 1, 100_000);
        problems.range("in_flight_requests", self.in_flight_requests, 1, u16::MAX);
        problems.range("token_warning_ms", self.token_warning_ms, 0, 3_600_000);
        problems.when(
            self.anti_entropy_ms != 0 && self.anti_entropy_ms < 1_000,
            "anti_entropy_ms",
            format!("{} would load the store: write 0 (never) or at least 1000", self.anti_entropy_ms),
        );
        problems.range("connections_per_user", self.connections_per_user, 1, 1_000_000);
        problems.range("hellos_in_flight", self.hellos_in_flight, 1, 10_000_000);
        problems.when(
            self.hellos_per_ip_per_second > 0 && self.hello_burst_per_ip < self.hellos_per_ip_per_second,
            "hello_burst_per_ip",
            "is below hellos_per_ip_per_second: write at least that number",
        );
        for origin in &self.allowed_origins {
            problems.when(
                origin != "*" && Origin::parse(origin).is_none(),
                "allowed_origins",
                format!(
                    "{origin:?} is no origin: write scheme and host without a path, e.g. \"https://game.example.org\" or \
                     \"capacitor://localhost\", or \"null\", or \"*\""
                ),
            );
        }
    }
}
