//! From settings to the plain options that each part takes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;

use crate::actors::NodeOptions;
use crate::actors::writer::WriterOptions;
use crate::config::{self, Settings, Synchronous, TrustedProxies};
use crate::domain::AllowedOrigins;
use crate::gateway::GatewayOptions;
use crate::gateway::doorman::DoormanOptions;
use crate::identity::{
    ExternalKeys, ExternalOptions, IdentityOptions, KeySource, PasswordOptions, SignUps, ThrottleOptions,
};
use crate::store::postgres::PostgresOptions;
use crate::store::sqlite::{Durability, SqliteOptions};

/// Where the embedded database lies.
pub fn database_file(settings: &Settings) -> PathBuf {
    settings.store.data_dir.join("tidings.db")
}

/// Options of the embedded store.
pub fn sqlite(settings: &Settings) -> SqliteOptions {
    SqliteOptions {
        readers: settings.store.sqlite.readers as usize,
        timeout_ms: settings.store.timeout_ms,
        durability: match settings.store.sqlite.synchronous {
            Synchronous::Full => Durability::Full,
            Synchronous::Normal => Durability::Normal,
        },
        limits: settings.limits.to_domain(),
        ..SqliteOptions::new(database_file(settings))
    }
}

/// Options of the store on a Postgres server.
pub fn postgres(settings: &Settings) -> PostgresOptions {
    let postgres = &settings.store.postgres;
    PostgresOptions {
        read_urls: postgres.read_urls.clone(),
        tail_url: Some(postgres.tail_url.clone()).filter(|url| !url.expose_secret().is_empty()),
        write_connections: postgres.write_connections as usize,
        read_connections: postgres.read_connections as usize,
        tail_connections: postgres.tail_connections as usize,
        timeout_ms: settings.store.timeout_ms,
        acquire_timeout_ms: postgres.acquire_timeout_ms,
        prepared: postgres.prepared,
        limits: settings.limits.to_domain(),
        ..PostgresOptions::new(postgres.url.clone())
    }
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
            shards: settings.writer.shards,
            batch_messages: settings.writer.batch_messages,
            queue_messages: settings.writer.queue_messages,
            timeout: store_timeout(settings),
            target_commit: Duration::from_millis(settings.writer.target_commit_ms),
            crash_after_commits: crash_after_commits(),
        },
        receipts_flush: Duration::from_millis(settings.receipts.flush_ms),
        receipts_queue: settings.receipts.queue_marks,
        offline_after_ms: settings.presence.offline_after_ms,
        typing_timeout_ms: settings.presence.typing_timeout_ms,
        requests_per_second: settings.limits.requests_per_second,
        request_burst: settings.limits.request_burst,
    }
}

/// The fail point between commit and publication. It exists in debug builds only: nobody's server is to be ended by it.
fn crash_after_commits() -> Option<u64> {
    let set = cfg!(debug_assertions).then(config::process_environment)?;
    set.into_iter().find(|(name, _)| name == "TIDINGS_CRASH_AFTER_COMMITS")?.1.parse().ok()
}

/// Options of connections.
pub fn gateway(settings: &Settings) -> GatewayOptions {
    let gateway = &settings.gateway;
    GatewayOptions {
        hello_timeout_ms: gateway.hello_timeout_ms,
        heartbeat_ms: gateway.heartbeat_ms,
        write_deadline_ms: gateway.write_deadline_ms,
        outbox_bytes: gateway.outbox_bytes,
        lag_resume_bytes: gateway.lag_resume_bytes,
        malformed_per_minute: gateway.malformed_per_minute,
        in_flight_requests: u16::try_from(gateway.in_flight_requests).unwrap_or(u16::MAX),
        token_warning_ms: gateway.token_warning_ms,
        allowed_origins: allowed_origins(settings),
        connections_per_user: gateway.connections_per_user,
        anti_entropy_ms: (gateway.anti_entropy_ms > 0).then_some(gateway.anti_entropy_ms),
        handshake_timeout: Duration::from_millis(settings.server.request_timeout_ms),
    }
}

/// Which web pages may connect and read answers.
pub fn allowed_origins(settings: &Settings) -> AllowedOrigins {
    let public_url = Some(settings.server.public_url.as_str()).filter(|url| !url.is_empty());
    AllowedOrigins::new(&settings.gateway.allowed_origins, public_url)
}

/// Who may come in, and how fast.
pub fn doorman(settings: &Settings, proxies: Arc<TrustedProxies>) -> DoormanOptions {
    let gateway = &settings.gateway;
    DoormanOptions {
        per_address_per_second: gateway.hellos_per_ip_per_second,
        per_address_burst: gateway.hello_burst_per_ip,
        hellos_in_flight: gateway.hellos_in_flight,
        patience: Duration::from_millis(gateway.hello_timeout_ms),
        proxies,
    }
}

/// Options of identity.
pub fn identity(settings: &Settings) -> IdentityOptions {
    let auth = &settings.auth;
    IdentityOptions {
        issuer: auth.issuer.clone(),
        audience: auth.audience.clone(),
        access_token: Duration::from_secs(auth.access_token_s),
        refresh_token: Duration::from_secs(auth.refresh_token_s),
        keys: if auth.key_files.is_empty() {
            KeySource::Folder(settings.store.data_dir.join("keys"))
        } else {
            KeySource::Files(auth.key_files.clone())
        },
        passwords: PasswordOptions {
            memory_kib: auth.argon2_memory_kib,
            iterations: auth.argon2_iterations,
            parallel: auth.argon2_parallel,
            queue: auth.argon2_queue,
            max_wait: Duration::from_millis(settings.store.timeout_ms),
            min_bytes: auth.password_min_bytes,
        },
        sign_ups: match auth.sign_ups {
            config::SignUps::Open => SignUps::Open,
            config::SignUps::Guests => SignUps::Guests,
            config::SignUps::Closed => SignUps::Closed,
        },
        throttle: ThrottleOptions {
            sign_ins_per_minute: auth.sign_ins_per_minute,
            sign_ins_per_ip_per_minute: auth.sign_ins_per_ip_per_minute,
            sign_ups_per_ip_per_minute: auth.sign_ups_per_ip_per_minute,
            refreshes_per_ip_per_minute: auth.refreshes_per_ip_per_minute,
        },
        external: auth.external().map(external),
        revocation_poll: Duration::from_millis(auth.revocation_poll_ms),
    }
}

fn external(external: &config::External) -> ExternalOptions {
    ExternalOptions {
        issuer: external.issuer.clone(),
        audience: external.audience.clone(),
        algorithms: external.algorithms.clone(),
        keys: if external.jwks_url.is_empty() {
            ExternalKeys::PemFile(external.key_file.clone())
        } else {
            ExternalKeys::Jwks {
                url: external.jwks_url.clone(),
                refresh: Duration::from_secs(external.jwks_refresh_s),
            }
        },
        user_claim: external.user_claim.clone(),
        name_claim: external.name_claim.clone(),
        max_age: Duration::from_secs(external.max_age_s),
    }
}
