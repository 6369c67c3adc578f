//! `[bus]`: how events reach other processes.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::Settings;
use super::choice::choice;
use super::links::Link;
use super::problems::SectionProblems;

choice! {
    /// The bus between gateways.
    BusBackend {
        /// Memory of this process.
        Local = "local",
        /// Redis pub/sub.
        Redis = "redis",
    }
}

choice! {
    /// The treatment of messages without a MAC.
    BusMac {
        /// They are taken.
        Accept = "accept",
        /// They are dropped.
        Require = "require",
    }
}

/// `[bus]`; every key is explained in `config/default.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BusSettings {
    /// Which backend.
    pub backend: BusBackend,
    /// Bound of the bytes received and not yet given to the workers.
    pub queue_bytes: usize,
    /// The treatment of messages without a MAC.
    pub mac: BusMac,
    /// Secrets that the MAC's keys are derived from; empty: those that sign tokens.
    pub mac_key_files: Vec<PathBuf>,
    /// With `backend = "redis"`.
    pub redis: RedisSettings,
}

/// `[bus.redis]`; every key is explained in `config/default.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisSettings {
    /// Where it is.
    pub url: SecretString,
    /// Whether it may be on another host without TLS.
    pub plain_text: bool,
    /// The certificate of the CA that signed the server's; empty: those of the system.
    pub ca_file: PathBuf,
    /// The servers that know the primary.
    pub sentinels: Vec<SecretString>,
    /// The name under which they know it.
    pub sentinel_master: String,
    /// Whether it is a Cluster.
    pub cluster: bool,
    /// The prefix of channels and keys.
    pub prefix: String,
    /// For connecting and for a command.
    pub timeout_ms: u64,
    /// Between looks at each connection.
    pub ping_ms: u64,
    /// Bound of what waits to be published.
    pub outgoing_bytes: usize,
    /// The same, in messages.
    pub outgoing_messages: usize,
}

impl BusSettings {
    /// The built-in defaults.
    pub fn built_in() -> Self {
        Settings::built_in().bus
    }

    pub(super) fn validate(&self, problems: &mut SectionProblems<'_>) {
        problems.range("queue_bytes", self.queue_bytes, 65_536, 1 << 40);
        problems.when(
            self.mac_key_files.len() > 2,
            "mac_key_files",
            "has more than two files: write the new one and the old one",
        );
        problems.range("redis.timeout_ms", self.redis.timeout_ms, 10, 60_000);
        problems.range("redis.ping_ms", self.redis.ping_ms, 50, 60_000);
        self.redis.validate(self.backend == BusBackend::Redis, problems);
    }
}

impl RedisSettings {
    /// How each of the servers is reached, with the key that names it.
    pub(super) fn links(&self) -> Vec<(&'static str, Link)> {
        let url = self.sentinels.is_empty().then_some(("redis.url", &self.url));
        let named = url.into_iter().chain(self.sentinels.iter().map(|url| ("redis.sentinels", url)));
        let link = |url: &SecretString| Link::to_server(url.expose_secret(), "redis", "rediss");
        let mut links: Vec<_> = named.filter_map(|(key, url)| Some((key, link(url)?))).collect();
        // Its scheme counts for the servers that the Sentinels name, wherever they are.
        if !self.sentinels.is_empty() && !self.url.expose_secret().starts_with("rediss://") {
            links.push(("redis.url", Link::PlainText));
        }
        links
    }

    fn validate(&self, used: bool, problems: &mut SectionProblems<'_>) {
        let is_url = |url: &SecretString| {
            let url = url.expose_secret();
            url.starts_with("redis://") || url.starts_with("rediss://")
        };
        problems.range("redis.outgoing_bytes", self.outgoing_bytes, 65_536, 1 << 40);
        problems.range("redis.outgoing_messages", self.outgoing_messages, 16, 1 << 30);
        problems.when(
            used && !is_url(&self.url),
            "redis.url",
            "is needed with backend = \"redis\": write e.g. redis://:PASSWORD@HOST:6379 (rediss:// for TLS)",
        );
        for (key, link) in self.links() {
            problems.when(
                used && is_url(&self.url) && link == Link::PlainText && !self.plain_text,
                key,
                "names another host without TLS: write rediss:// and the CA's certificate in bus.redis.ca_file, or accept plain text \
                 with bus.redis.plain_text = true",
            );
        }
        problems.when(
            used && !self.ca_file.as_os_str().is_empty()
                && !self.url.expose_secret().starts_with("rediss://"),
            "redis.ca_file",
            "has no effect without TLS: begin bus.redis.url with rediss://",
        );
        problems.when(
            !self.sentinels.iter().all(is_url),
            "redis.sentinels",
            "has an entry that is no URL: write e.g. redis://HOST:26379",
        );
        problems.when(
            self.sentinels.is_empty() != self.sentinel_master.is_empty(),
            "redis.sentinel_master",
            "goes with redis.sentinels: set both or neither",
        );
        problems.when(
            self.cluster && !self.sentinels.is_empty(),
            "redis.cluster",
            "true excludes redis.sentinels: a Cluster fails over by itself",
        );
        problems.when(
            self.prefix.is_empty()
                || self.prefix.contains(|c: char| c.is_whitespace() || "{}*?[".contains(c)),
            "redis.prefix",
            "may not be empty nor hold blanks, braces, * ? or [: write e.g. \"tidings:\"",
        );
        problems.when(
            self.ping_ms > self.timeout_ms,
            "redis.ping_ms",
            format!("must not be above redis.timeout_ms ({})", self.timeout_ms),
        );
    }
}
