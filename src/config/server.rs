//! `[server]`: sockets, threads and what this process does.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, de};

use super::choice::choice;
use super::network::Network;
use super::problems::SectionProblems;
use crate::domain::Origin;

choice! {
    /// Whether signed-in users can look for what they have no id of.
    Directory {
        /// They can.
        Open = "open",
        /// Channels, and those people whom they know or whose whole username they know.
        Contacts = "contacts",
        /// Only a whole username leads to its user, and channels are not listed.
        Closed = "closed",
    }
}

choice! {
    /// By what the proxies name the client.
    ProxyHeader {
        /// A list of addresses.
        XForwardedFor = "x-forwarded-for",
        /// RFC 7239: a list of elements, each with `for=`.
        Forwarded = "forwarded",
        /// Not in requests: before the first byte of each connection.
        ProxyProtocol = "proxy-protocol",
    }
}

choice! {
    /// A part of the work that a process takes on.
    Role {
        /// Every one of the others.
        All = "all",
        /// WebSocket connections.
        Gateway = "gateway",
        /// Answers REST calls and serves the web client.
        Api = "api",
        /// Publishes what the log holds and nobody has published.
        Relay = "relay",
    }
}

/// The smallest budget of what waits for clients.
const LEAST_QUEUED_BYTES: usize = 4 * 1024 * 1024;

/// `[server]`; every key is explained in `config/default.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSettings {
    /// Address and port to listen on.
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    /// Address and port for operators; `None`: a socket in the data folder.
    #[serde(deserialize_with = "address_if_any")]
    pub internal_listen: Option<SocketAddr>,
    /// The file with the bearer token for `internal_listen`; may be empty.
    pub internal_token_file: PathBuf,
    /// Worker threads; 0: one per core.
    pub workers: usize,
    /// The address clients use; may be empty.
    pub public_url: String,
    /// Who may name the client.
    pub trusted_proxies: Vec<Network>,
    /// By what they name it.
    pub proxy_header: ProxyHeader,
    /// Proxies that a request passes at most.
    pub proxy_hops: usize,
    /// Whether clients on this machine have no limits per address.
    pub loopback_exempt: bool,
    /// How long a stop may take.
    pub shutdown_ms: u64,
    /// HTTP connections that are served at once.
    pub max_connections: usize,
    /// The same of one client address; 0: no limit.
    pub connections_per_ip: usize,
    /// Encoded bytes that wait for all clients together; 0: any number.
    pub queued_bytes: usize,
    /// Connections waiting to be accepted.
    pub backlog: u32,
    /// For reading a request and for answering it.
    pub request_timeout_ms: u64,
    /// How long an idle HTTP connection is kept; 0: not at all.
    pub keep_alive_ms: u64,
    /// The roles of this process.
    pub roles: Vec<Role>,
    /// The name that people are shown.
    pub name: String,
    /// Whether signed-in users can search for people and channels.
    pub directory: Directory,
}

impl ServerSettings {
    /// Whether this process takes on `role`.
    pub fn has_role(&self, role: Role) -> bool {
        self.roles.iter().any(|own| *own == Role::All || *own == role)
    }

    /// Whether clients reach the server by https only.
    pub fn is_https(&self) -> bool {
        self.public_url.starts_with("https://")
    }

    /// The threads to start: `workers`, or one per core.
    pub fn worker_threads(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        }
    }

    pub(super) fn validate(&self, problems: &mut SectionProblems<'_>) {
        problems.range("workers", self.workers, 0, 1024);
        problems.range("shutdown_ms", self.shutdown_ms, 100, 3_600_000);
        problems.range("max_connections", self.max_connections, 1, 10_000_000);
        problems.range("connections_per_ip", self.connections_per_ip, 0, 10_000_000);
        problems.when(
            self.queued_bytes != 0 && self.queued_bytes < LEAST_QUEUED_BYTES,
            "queued_bytes",
            format!("{} is too little for the answers of a few clients: write 0 (no limit) or at least {LEAST_QUEUED_BYTES}", self.queued_bytes),
        );
        problems.range("proxy_hops", self.proxy_hops, 1, 16);
        problems.range("backlog", self.backlog, 1, 1_000_000);
        problems.range("request_timeout_ms", self.request_timeout_ms, 100, 600_000);
        problems.range("keep_alive_ms", self.keep_alive_ms, 0, 3_600_000);
        problems.when(
            self.roles.is_empty(),
            "roles",
            "is empty: write [\"all\"] or the roles of this process",
        );
        let token = !self.internal_token_file.as_os_str().is_empty();
        problems.when(
            self.internal_listen.is_some() && !token,
            "internal_token_file",
            "is needed with server.internal_listen: make one with `openssl rand -hex 32`",
        );
        problems.when(
            self.internal_listen.is_none() && token,
            "internal_token_file",
            "has no effect without server.internal_listen: the socket in store.data_dir is protected by its file rights",
        );
        problems.shown_name("name", &self.name);
        let web = self.public_url.starts_with("http://") || self.public_url.starts_with("https://");
        let wrong = !self.public_url.is_empty() && (!web || Origin::parse(&self.public_url).is_none());
        problems.when(
            wrong,
            "public_url",
            format!(
                "{:?} is no address: write e.g. \"https://chat.example.org\" without a path or a slash at the end",
                self.public_url
            ),
        );
    }
}

fn address_if_any<'de, D: Deserializer<'de>>(value: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(value)?;
    if text.is_empty() {
        return Ok(None);
    }
    parse_address(&text).map(Some).ok_or_else(|| {
        de::Error::custom(format!("{text:?} is no address: write e.g. \"127.0.0.1:9090\", or nothing"))
    })
}

fn address<'de, D: Deserializer<'de>>(value: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(value)?;
    parse_address(&text).ok_or_else(|| {
        de::Error::custom(format!(
            "{text:?} is no address: write HOST:PORT with a port up to 65535, e.g. 127.0.0.1:8080"
        ))
    })
}

/// `ADDRESS:PORT`, and what people write for short: `PORT` and `localhost:PORT` on this machine only, `:PORT`
/// on every IPv4 interface.
fn parse_address(text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let (host, port) = text.rsplit_once(':').unwrap_or(("localhost", text));
    let host = match host {
        "localhost" => Ipv4Addr::LOCALHOST,
        "" | "*" => Ipv4Addr::UNSPECIFIED,
        _ => return None,
    };
    Some(SocketAddr::from((host, port.parse().ok()?)))
}
