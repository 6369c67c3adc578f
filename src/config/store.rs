//! `[store]`: where the log lives.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::Settings;
use super::choice::choice;
use super::links::Link;
use super::problems::SectionProblems;

choice! {
    /// The place of all durable data.
    StoreBackend {
        /// A file; one process.
        Sqlite = "sqlite",
        /// A server; any number of processes.
        Postgres = "postgres",
    }
}

choice! {
    /// The failures that a commit of SQLite survives.
    Synchronous {
        /// A power cut: the disk has confirmed the commit.
        Full = "full",
        /// A crash of the process: the operating system has the commit. A power cut may lose the newest ones.
        Normal = "normal",
    }
}

/// `[store]`; every key is explained in `config/default.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreSettings {
    /// Which backend.
    pub backend: StoreBackend,
    /// Directory of files.
    pub data_dir: PathBuf,
    /// For one operation.
    pub timeout_ms: u64,
    /// With `backend = "sqlite"`.
    pub sqlite: SqliteSettings,
    /// With `backend = "postgres"`.
    pub postgres: PostgresSettings,
}

/// `[store.sqlite]`; every key is explained in `config/default.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqliteSettings {
    /// The failures that a commit survives.
    pub synchronous: Synchronous,
    /// Connections that read.
    pub readers: u32,
}

/// `[store.postgres]`; every key is explained in `config/default.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresSettings {
    /// The primary.
    pub url: SecretString,
    /// Replicas for reading.
    pub read_urls: Vec<SecretString>,
    /// A replica to follow the end of the log at; empty: the primary.
    pub tail_url: SecretString,
    /// Whether databases on other hosts may be reached without TLS.
    pub plain_text: bool,
    /// Connections that write.
    pub write_connections: u32,
    /// Connections that read, per database.
    pub read_connections: u32,
    /// Connections that follow the end of the log.
    pub tail_connections: u32,
    /// Statements are prepared once per connection.
    pub prepared: bool,
    /// For getting a connection of the pool.
    pub acquire_timeout_ms: u64,
}

impl StoreSettings {
    /// The built-in defaults.
    pub fn built_in() -> Self {
        Settings::built_in().store
    }

    pub(super) fn validate(&self, problems: &mut SectionProblems<'_>) {
        problems.range("timeout_ms", self.timeout_ms, 100, 60_000);
        problems.when(self.data_dir.as_os_str().is_empty(), "data_dir", "may not be empty");
        problems.range("sqlite.readers", self.sqlite.readers, 1, 256);
        if self.backend == StoreBackend::Postgres {
            self.postgres.validate(self.timeout_ms, problems);
        }
    }
}

impl PostgresSettings {
    /// How each of the databases is reached, with the key that names it.
    pub(super) fn links(&self) -> Vec<(&'static str, Link)> {
        let tail = Some(&self.tail_url).filter(|url| !url.expose_secret().is_empty());
        let named = [("postgres.url", &self.url)].into_iter();
        let named = named.chain(self.read_urls.iter().map(|url| ("postgres.read_urls", url)));
        let named = named.chain(tail.map(|url| ("postgres.tail_url", url)));
        named.filter_map(|(key, url)| Some((key, Link::to_database(url.expose_secret())?))).collect()
    }

    fn validate(&self, timeout_ms: u64, problems: &mut SectionProblems<'_>) {
        let needed =
            "is needed with backend = \"postgres\": write e.g. postgres://tidings:PASSWORD@HOST/tidings";
        problems.when(!is_postgres(&self.url), "postgres.url", needed);
        for url in &self.read_urls {
            problems.when(
                !is_postgres(url),
                "postgres.read_urls",
                "holds something that is no postgres:// URL",
            );
        }
        problems.when(
            !self.tail_url.expose_secret().is_empty() && !is_postgres(&self.tail_url),
            "postgres.tail_url",
            "is no postgres:// URL",
        );
        for (key, link) in self.links() {
            problems.when(
                link == Link::PlainText && !self.plain_text,
                key,
                "names another host without TLS: end it with ?sslmode=verify-full&sslrootcert=FILE (the CA's certificate), or accept \
                 plain text with store.postgres.plain_text = true",
            );
        }
        problems.range("postgres.write_connections", self.write_connections, 1, 1_000);
        problems.range("postgres.read_connections", self.read_connections, 1, 1_000);
        problems.range("postgres.tail_connections", self.tail_connections, 1, 100);
        problems.range("postgres.acquire_timeout_ms", self.acquire_timeout_ms, 10, 60_000);
        problems.when(
            self.acquire_timeout_ms >= timeout_ms,
            "postgres.acquire_timeout_ms",
            "must be below store.timeout_ms, so that waiting for a connection ends with a definite no",
        );
    }
}

fn is_postgres(url: &SecretString) -> bool {
    let url = url.expose_secret();
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}
