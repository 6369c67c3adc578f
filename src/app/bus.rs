//! The bus of a node.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;

use super::AppError;
use crate::actors::router::Router;
use crate::api::{DependencyState, Readiness};
use crate::bus::redis::{RedisBus, RedisOptions, RedisPresenceRegistry, RedisServers, server, server_of_ca};
use crate::bus::{BusMessage, Listener};
use crate::config::{BusBackend, Settings};
use crate::environment::SharedEnvironment;
use crate::telemetry::Meters;

/// Connects `router` to the bus of the settings. Returns that bus if it connects processes.
///
/// # Errors
/// [`AppError::Bus`] for unusable settings. An unavailable bus is no error: connecting is retried without
/// end.
pub fn open(
    settings: &Settings,
    router: &Arc<Router>,
    meters: &Meters,
    environment: &SharedEnvironment,
) -> Result<Option<Arc<RedisBus>>, AppError> {
    match settings.bus.backend {
        BusBackend::Local => Ok(None),
        BusBackend::Redis => {
            let listener: Arc<dyn Listener> = Arc::clone(router) as Arc<dyn Listener>;
            let bus = RedisBus::start(options(settings)?, listener, meters, Arc::clone(environment));
            router.connect(Arc::clone(&bus) as _);
            Ok(Some(bus))
        }
    }
}

/// Adds the bus to the dependencies of `/readyz`. Without it all events are read from the log, a little
/// later.
pub fn shown(readiness: Readiness, bus: Option<&Arc<RedisBus>>) -> Readiness {
    let Some(bus) = bus else { return readiness };
    let health = bus.healthy();
    readiness.with(
        "bus",
        Box::new(move || {
            let state = if health.borrow().up { DependencyState::Works } else { DependencyState::Away };
            Box::pin(async move { state })
        }),
    )
}

/// This node's handle to the presence registry on the bus.
pub fn presence_registry(settings: &Settings, bus: &Arc<RedisBus>) -> Arc<RedisPresenceRegistry> {
    bus.presence_registry(Duration::from_millis(settings.presence.lease_ms))
}

/// Checks whether the bus comes up; `None` when there is no bus to check.
pub async fn try_out(settings: &Settings, environment: &SharedEnvironment) -> Option<Result<String, String>> {
    if settings.bus.backend == BusBackend::Local {
        return None;
    }
    let options = match options(settings) {
        Ok(options) => options,
        Err(error) => return Some(Err(error.to_string())),
    };
    let patience = Duration::from_millis(settings.bus.redis.timeout_ms) * 3;
    let bus = RedisBus::start(options, Arc::new(NullListener), &Meters::new(), Arc::clone(environment));
    let mut health = bus.healthy();
    let up = tokio::time::timeout(patience, health.wait_for(|health| health.up)).await;
    Some(match up {
        Ok(_) => Ok("answers, and is a primary".to_owned()),
        Err(_) => Err(format!("{}: see bus.redis", bus.health().reason)),
    })
}

/// Ignores everything.
struct NullListener;

impl Listener for NullListener {
    fn on_messages(&self, _: Vec<BusMessage>) {}

    fn on_gap(&self) {}
}

/// The certificate of the CA, if a file names one.
fn authority(file: &Path) -> Result<Option<Vec<u8>>, AppError> {
    if file.as_os_str().is_empty() {
        return Ok(None);
    }
    let wrong = |why: String| AppError::Bus(format!("bus.redis.ca_file: {}: {why}", file.display()));
    let pem = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
    let begin = b"-----BEGIN CERTIFICATE-----";
    if pem.windows(begin.len()).any(|part| part == begin) {
        Ok(Some(pem))
    } else {
        Err(wrong("holds no certificate in PEM".to_owned()))
    }
}

pub(super) fn options(settings: &Settings) -> Result<RedisOptions, AppError> {
    let redis = &settings.bus.redis;
    let ca = authority(&redis.ca_file)?;
    let named = |key: &str, url: &secrecy::SecretString| {
        let url = url.expose_secret();
        // A Sentinel may be reached without TLS although the servers are not.
        let info = match &ca {
            Some(pem) if url.starts_with("rediss://") => server_of_ca(url, pem.clone()),
            _ => server(url),
        };
        info.map_err(|error| AppError::Bus(format!("bus.redis.{key}: {error}")))
    };
    let main = named("url", &redis.url)?;
    let servers = if redis.cluster {
        RedisServers::Cluster(main)
    } else if redis.sentinels.is_empty() {
        RedisServers::Single(main)
    } else {
        let sentinels =
            redis.sentinels.iter().map(|url| named("sentinels", url)).collect::<Result<_, _>>()?;
        RedisServers::Sentinel { sentinels, master: redis.sentinel_master.clone(), server: main }
    };
    let mac = Some(Arc::new(super::bus_keys::load(settings)?));
    Ok(RedisOptions { mac, ..RedisOptions::of(&settings.bus, servers) })
}
