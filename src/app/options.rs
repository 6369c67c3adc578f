//! From settings to the plain options that each part takes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::actors::NodeOptions;
use crate::actors::default_conversation::DefaultConversationOptions;
use crate::actors::writer::WriterOptions;
use crate::config::{self, Settings, TrustedProxies};
use crate::domain::{AllowedOrigins, Username};
use crate::gateway::Bounds;
use crate::gateway::admission::AdmissionOptions;
use crate::identity::{IdentityOptions, KeySource};
use crate::store::postgres::PostgresOptions;
use crate::store::sqlite::SqliteOptions;

/// The file of the embedded database.
pub fn database_file(settings: &Settings) -> PathBuf {
    settings.store.data_dir.join("tidings.db")
}

/// Options of the embedded store.
pub fn sqlite(settings: &Settings) -> SqliteOptions {
    let consent = settings.privacy.to_domain();
    let limits = settings.limits.to_domain();
    SqliteOptions { consent, ..SqliteOptions::of(&settings.store, database_file(settings), limits) }
}

/// Options of the store on a Postgres server.
pub fn postgres(settings: &Settings) -> PostgresOptions {
    let consent = settings.privacy.to_domain();
    PostgresOptions { consent, ..PostgresOptions::of(&settings.store, settings.limits.to_domain()) }
}

/// How long a store call may take.
pub fn store_timeout(settings: &Settings) -> Duration {
    Duration::from_millis(settings.store.timeout_ms)
}

/// Options of the node's actors.
pub fn node(settings: &Settings) -> NodeOptions {
    NodeOptions {
        limits: settings.limits.to_domain(),
        writer: WriterOptions {
            writer: settings.writer,
            timeout: store_timeout(settings),
            crash_after_commits: crash_after_commits(),
        },
        receipts: settings.receipts,
        presence: settings.presence,
        requests_per_second: settings.limits.requests_per_second,
        request_burst: settings.limits.request_burst,
        queued_bytes: settings.server.queued_bytes,
    }
}

/// The fail point between commit and publication. It exists in debug builds only: nobody's server is to be
/// ended by it.
fn crash_after_commits() -> Option<u64> {
    let set = cfg!(debug_assertions).then(config::process_environment)?;
    set.into_iter().find(|(name, _)| name == "TIDINGS_CRASH_AFTER_COMMITS")?.1.parse().ok()
}

/// The channel that the server begins with, if any.
pub fn default_conversation(settings: &Settings) -> Option<DefaultConversationOptions> {
    let conversations = &settings.conversations;
    let name = conversations.default.trim().to_owned();
    let owner = Username::parse(&conversations.default_owner).ok();
    (!name.is_empty()).then_some(DefaultConversationOptions { name, owner })
}

/// The bounds of connections.
pub fn gateway(settings: &Settings) -> Bounds {
    Bounds {
        gateway: settings.gateway.clone(),
        limits: settings.limits.to_domain(),
        allowed_origins: allowed_origins(settings),
        https: settings.server.is_https(),
        handshake_timeout: Duration::from_millis(settings.server.request_timeout_ms),
    }
}

/// Which web pages may connect and read answers.
pub fn allowed_origins(settings: &Settings) -> AllowedOrigins {
    let public_url = Some(settings.server.public_url.as_str()).filter(|url| !url.is_empty());
    AllowedOrigins::new(&settings.gateway.allowed_origins, public_url)
}

/// The limits of new connections.
pub fn admission(settings: &Settings, proxies: Arc<TrustedProxies>) -> AdmissionOptions {
    let gateway = &settings.gateway;
    AdmissionOptions {
        per_address_per_second: gateway.hellos_per_ip_per_second,
        per_address_burst: gateway.hello_burst_per_ip,
        hellos_in_flight: gateway.hellos_in_flight,
        patience: Duration::from_millis(gateway.hello_timeout_ms),
        proxies,
    }
}

/// Options of identity.
pub fn identity(settings: &Settings) -> IdentityOptions {
    let key_files = &settings.auth.key_files;
    IdentityOptions {
        server_name: settings.server.name.clone(),
        auth: settings.auth.clone(),
        keys: if key_files.is_empty() {
            KeySource::Folder(settings.store.data_dir.join("keys"))
        } else {
            KeySource::Files(key_files.clone())
        },
        hash_wait: store_timeout(settings),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LoadOptions;

    /// Keys that no options hold, each with the place that reads it.
    const READ_ELSEWHERE: &[(&str, &str)] = &[
        ("server.listen", "app/mod.rs"),
        ("server.internal_listen", "app/internal.rs"),
        ("server.internal_token_file", "app/internal.rs"),
        ("server.workers", "app/http.rs"),
        ("server.shutdown_ms", "app/mod.rs"),
        ("server.max_connections", "app/http.rs"),
        ("server.connections_per_ip", "app/process.rs"),
        ("audit.retention_days", "app/process.rs"),
        ("limits.exports_per_user", "app/process.rs"),
        ("server.backlog", "app/mod.rs"),
        ("server.keep_alive_ms", "app/mod.rs"),
        ("server.roles", "app/fleet.rs"),
        ("server.name", "app/mod.rs"),
        ("server.directory", "app/mod.rs"),
        ("gateway.inbox_bytes", "app/mod.rs"),
        ("store.backend", "app/mod.rs"),
        ("store.postgres.url", "secret: not shown by the options"),
        ("store.postgres.tail_url", "secret: not shown by the options"),
        ("store.postgres.plain_text", "config/store.rs"),
        ("bus.backend", "app/bus.rs"),
        ("bus.mac", "app/bus_keys.rs"),
        ("bus.mac_key_files", "app/bus_keys.rs"),
        ("bus.redis.url", "secret: not shown by the options"),
        ("bus.redis.sentinels", "secret: not shown by the options"),
        ("bus.redis.sentinel_master", "needs Sentinels, which are secret"),
        ("bus.redis.cluster", "app/bus.rs"),
        ("bus.redis.plain_text", "config/bus.rs"),
        ("bus.redis.ca_file", "app/bus.rs"),
        ("presence.lease_ms", "app/bus.rs"),
        ("telemetry.log_format", "main.rs"),
        ("telemetry.log_filter", "main.rs"),
        ("telemetry.metrics", "app/mod.rs"),
    ];

    fn load(overrides: &[(&str, &str)]) -> Option<Settings> {
        let overrides =
            overrides.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Settings::load(LoadOptions { file: None, environment: [], overrides }).ok()
    }

    /// All that the parts are given.
    fn given(settings: &Settings) -> String {
        let bus =
            crate::app::bus::options(settings).map(|bus| format!("{:?} {}", bus.redis, bus.incoming_bytes));
        format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {}",
            default_conversation(settings),
            sqlite(settings),
            postgres(settings),
            node(settings),
            gateway(settings),
            admission(settings, TrustedProxies::of(&settings.server)),
            identity(settings),
            bus.unwrap_or_default()
        )
    }

    /// Values worth trying instead of `value`, as the dump writes it.
    fn others(key: &str, value: &str) -> Vec<String> {
        let known = match key {
            "server.public_url" => "https://chat.example",
            "server.trusted_proxies" => "10.0.0.0/8",
            "server.proxy_header" => "forwarded",
            "gateway.allowed_origins" => "https://game.example",
            "auth.sign_ups" => "closed",
            "auth.key_files" => "another.pem",
            "auth.external.algorithms" => "ES384",
            "auth.external.key_file" => "issuer.pem",
            "auth.external.jwks_url" => "https://issuer.example/other",
            "store.sqlite.synchronous" => "normal",
            "bus.redis.prefix" => "other:",
            "privacy.messages" | "privacy.groups" | "privacy.presence" => "nobody",
            _ => "other",
        };
        match (value, value.parse::<u64>()) {
            ("true" | "false", _) => vec![(value == "false").to_string()],
            (_, Ok(number)) => {
                [number + 1, number.saturating_sub(1), number * 2].map(|n| n.to_string()).into()
            }
            _ => vec![known.to_owned()],
        }
    }

    #[test]
    fn every_setting_reaches_a_part() {
        let external = [
            ("auth.external.issuer", "https://issuer.example"),
            ("auth.external.audience", "tidings"),
            ("auth.external.jwks_url", "https://issuer.example/keys"),
        ];
        let keys_by_file = [&external[..2], &[("auth.external.key_file", "keys.pem")]].concat();
        let folder = tempfile::tempdir().expect("a folder");
        let secret = folder.path().join("secret");
        std::fs::write(&secret, "s".repeat(64)).expect("a file");
        let secret = secret.to_string_lossy();
        let redis = [
            ("bus.backend", "redis"),
            ("bus.redis.url", "redis://localhost"),
            ("bus.mac_key_files", secret.as_ref()),
        ];
        let bases = [&[][..], &external, &keys_by_file, &redis];
        let mut unread = Vec::new();
        let mut section = String::new();
        let dump = load(&[]).expect("the defaults hold").dump(false);
        for line in dump.lines() {
            if let Some(name) = line.strip_prefix('[') {
                section = name.trim_end_matches(']').to_owned();
            }
            let Some((name, value)) = line.split_once(" = ") else { continue };
            let key = format!("{section}.{name}");
            let value = value.split("  #").next().unwrap_or_default();
            let heard = bases.iter().any(|base| {
                let before = load(base).map(|settings| given(&settings));
                others(&key, value).iter().any(|other| {
                    let changed = load(&[base, &[(key.as_str(), other.as_str())][..]].concat());
                    changed.is_some_and(|changed| Some(given(&changed)) != before)
                })
            });
            let elsewhere = READ_ELSEWHERE.iter().any(|(known, _)| *known == key);
            if !heard && !elsewhere {
                unread.push(format!("{key}: nothing reads it"));
            }
        }
        assert!(unread.is_empty(), "{}", unread.join("\n"));
    }
}
