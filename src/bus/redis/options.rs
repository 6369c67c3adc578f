//! The address of Redis, and the limits and timeouts of this node towards it.

use std::sync::Arc;
use std::time::Duration;

use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{Client, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisError, TlsCertificates};
use tokio::task::AbortHandle;

use super::carrier::Carrier;
use crate::bus::envelope::MacKeys;
use crate::config::{BusSettings, RedisSettings};

/// Which Redis servers, and how they belong together.
#[derive(Clone)]
pub enum RedisServers {
    /// One server.
    Single(ConnectionInfo),
    /// A primary with replicas. Sentinels know which server is the primary now.
    Sentinel {
        /// The Sentinels, which are asked one after another.
        sentinels: Vec<ConnectionInfo>,
        /// The name under which they watch the primary.
        master: String,
        /// Credentials, TLS and database of the servers; its address is not used.
        server: ConnectionInfo,
    },
    /// A Redis Cluster; any of its nodes names all others.
    Cluster(ConnectionInfo),
}

/// The limits and timeouts of a [`super::RedisBus`].
#[derive(Clone)]
pub struct RedisOptions {
    /// Which Redis.
    pub servers: RedisServers,
    /// The section `[bus.redis]`; its addresses are read into `servers`.
    pub redis: RedisSettings,
    /// Bytes received and not yet given to the listener. Above it arriving envelopes are dropped and the
    /// listener gets a gap.
    pub incoming_bytes: usize,
    /// The keys that sign envelopes; `None`: they are neither signed nor checked.
    pub mac: Option<Arc<MacKeys>>,
    /// The transport of a single server's connections; `None`: TCP.
    pub carrier: Option<Arc<dyn Carrier>>,
}

impl RedisOptions {
    /// Those of a section of the settings, for `servers`. Envelopes have no MAC.
    pub fn of(bus: &BusSettings, servers: RedisServers) -> Self {
        Self { servers, redis: bus.redis.clone(), incoming_bytes: bus.queue_bytes, mac: None, carrier: None }
    }

    /// The defaults, for `servers`. Envelopes have no MAC.
    pub fn new(servers: RedisServers) -> Self {
        Self::of(&BusSettings::built_in(), servers)
    }

    /// The timeout of connecting and of each command. After it the connection is given up.
    pub(super) fn timeout(&self) -> Duration {
        Duration::from_millis(self.redis.timeout_ms)
    }

    /// Between two checks of each connection. A check without an answer for twice this long makes the bus
    /// count as down.
    pub(super) fn ping(&self) -> Duration {
        Duration::from_millis(self.redis.ping_ms)
    }

    /// Runs a task of the bus.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        match &self.carrier {
            Some(carrier) => carrier.spawn(Box::pin(task)),
            None => tokio::spawn(task).abort_handle(),
        }
    }
}

/// Reads the URL of a server, as in `redis://:PASSWORD@HOST:6379` or `rediss://…` for TLS.
///
/// # Errors
/// What is wrong with it. The text does not contain the URL, which may have a password.
pub fn server(url: &str) -> Result<ConnectionInfo, String> {
    with_bounds(url.into_connection_info())
}

/// As [`server`], for a `rediss://` URL whose server has a certificate of the CA in `pem`, and of no other.
///
/// # Errors
/// As [`server`].
pub fn server_of_ca(url: &str, pem: Vec<u8>) -> Result<ConnectionInfo, String> {
    let certificates = TlsCertificates { client_tls: None, root_cert: Some(pem) };
    let client = Client::build_with_tls(url, certificates);
    with_bounds(client.map(|client| client.get_connection_info().clone()))
}

fn with_bounds(info: Result<ConnectionInfo, RedisError>) -> Result<ConnectionInfo, String> {
    let info = info.map_err(|error| error.category().to_owned())?;
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3).set_skip_set_lib_name();
    Ok(info.set_redis_settings(settings).set_tcp_settings(tcp()))
}

/// The kernel gives up a server that acknowledges nothing, in case the health checks cannot run.
fn tcp() -> TcpSettings {
    let keepalive =
        TcpKeepalive::new().with_time(Duration::from_secs(10)).with_interval(Duration::from_secs(5));
    TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(keepalive)
        .set_user_timeout(Duration::from_secs(10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_is_none_is_refused_without_being_repeated() {
        assert!(server("redis://:secret@host:6379/0").is_ok());
        let refused = server("http://:secret@host").map(|_| ()).unwrap_err();
        assert!(!refused.is_empty() && !refused.contains("secret"), "{refused}");
    }
}
