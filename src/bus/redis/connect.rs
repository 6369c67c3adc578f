//! Opening a connection, and checking the role of its server. Everything here has a timeout.

use std::fmt;
use std::time::Duration;

use redis::aio::{AsyncPushSender, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, RedisError, Value};
use tokio::task::AbortHandle;

use super::carrier::Carrier;
use super::options::{RedisOptions, RedisServers};

/// Why there is no connection, for an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectError(pub String);

impl ConnectError {
    /// The server did not answer within the timeout.
    pub fn no_answer(after: Duration) -> Self {
        Self(format!("no answer within {} ms", after.as_millis()))
    }
}

impl From<RedisError> for ConnectError {
    fn from(error: RedisError) -> Self {
        Self(error.to_string())
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The role that a server reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerRole {
    /// It takes writes. Messages published there reach its subscribers.
    Primary,
    /// It follows another server. Messages published there reach only clients that are connected to it by
    /// mistake.
    Replica,
    /// It answers, but does not say its role (an ACL without `ROLE`).
    Unknown,
}

/// Awaits a command within `timeout`.
///
/// # Errors
/// [`ConnectError`].
pub async fn within<T>(
    timeout: Duration,
    command: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, ConnectError> {
    match tokio::time::timeout(timeout, command).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(ConnectError::no_answer(timeout)),
    }
}

/// Connects to one server in any role.
///
/// # Errors
/// [`ConnectError`].
pub async fn open_connection(
    server: &ConnectionInfo,
    pushes: Option<impl AsyncPushSender>,
    timeout: Duration,
) -> Result<MultiplexedConnection, ConnectError> {
    let mut config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    if let Some(pushes) = pushes {
        config = config.set_push_sender(pushes);
    }
    let client = Client::open(server.clone())?;
    within(timeout, client.get_multiplexed_async_connection_with_config(&config)).await
}

/// The task that moves the bytes of a connection over a [`Carrier`]. It ends when this is dropped.
struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn open_carried(
    carrier: &dyn Carrier,
    server: &ConnectionInfo,
    pushes: impl AsyncPushSender,
    options: &RedisOptions,
) -> Result<(MultiplexedConnection, Driver), ConnectError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None)
        .set_push_sender(pushes);
    let opened = within(options.timeout(), async {
        let stream = carrier.open().await?;
        MultiplexedConnection::new_with_config(server.redis_settings(), stream, config).await
    });
    let (connection, driver) = opened.await?;
    Ok((connection, Driver(options.spawn(driver))))
}

/// A connection to the present primary.
pub struct Connected {
    /// The connection.
    pub connection: MultiplexedConnection,
    /// The server's address.
    pub address: String,
    /// Ends a carried connection.
    _driver: Option<Driver>,
}

/// Connects to the present primary.
///
/// # Errors
/// [`ConnectError`], also when the server is no primary.
pub async fn connect_to_primary(
    options: &RedisOptions,
    servers: &RedisServers,
    pushes: impl AsyncPushSender,
) -> Result<Connected, ConnectError> {
    let timeout = options.timeout();
    let server = primary(servers, timeout).await?;
    let (mut connection, driver) = match &options.carrier {
        Some(carrier) => {
            let (connection, driver) = open_carried(&**carrier, &server, pushes, options).await?;
            (connection, Some(driver))
        }
        None => (open_connection(&server, Some(pushes), timeout).await?, None),
    };
    require_primary(within(timeout, role(&mut connection)).await?)?;
    Ok(Connected { connection, address: server.addr().to_string(), _driver: driver })
}

/// The address of the present primary.
///
/// # Errors
/// [`ConnectError`] when no Sentinel knows.
pub async fn primary(servers: &RedisServers, timeout: Duration) -> Result<ConnectionInfo, ConnectError> {
    match servers {
        RedisServers::Single(server) | RedisServers::Cluster(server) => Ok(server.clone()),
        RedisServers::Sentinel { sentinels, master, server } => {
            let mut error = ConnectError("no Sentinel is named".to_owned());
            for sentinel in sentinels {
                match ask_sentinel(sentinel, master, timeout).await {
                    Ok((host, port)) => return Ok(at(server, host, port)),
                    Err(asked) => error = ConnectError(format!("Sentinel {}: {asked}", sentinel.addr())),
                }
            }
            Err(error)
        }
    }
}

/// Behind Sentinels: returns when they name another primary than the one at `address`, which may still run
/// without knowing that it was replaced.
pub async fn replaced(servers: &RedisServers, address: &str, timeout: Duration) -> ConnectError {
    let RedisServers::Sentinel { .. } = servers else { return std::future::pending().await };
    loop {
        tokio::time::sleep(timeout).await;
        if let Ok(server) = primary(servers, timeout).await
            && server.addr().to_string() != address
        {
            return ConnectError(format!("the Sentinels name another primary: {}", server.addr()));
        }
    }
}

/// The same credentials and TLS at another address.
pub fn at(server: &ConnectionInfo, host: String, port: u16) -> ConnectionInfo {
    let address = match server.addr() {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
        }
        _ => ConnectionAddr::Tcp(host, port),
    };
    server.clone().set_addr(address)
}

async fn ask_sentinel(
    sentinel: &ConnectionInfo,
    master: &str,
    timeout: Duration,
) -> Result<(String, u16), ConnectError> {
    let mut connection =
        open_connection(sentinel, None::<fn(redis::PushInfo) -> Result<(), ()>>, timeout).await?;
    let mut question = redis::cmd("SENTINEL");
    question.arg("get-master-addr-by-name").arg(master);
    let answer: Option<(String, u16)> = within(timeout, question.query_async(&mut connection)).await?;
    answer.ok_or_else(|| ConnectError(format!("knows no master {master:?}")))
}

/// Asks a server for its role. The answer also shows that it is alive.
///
/// # Errors
/// The error that broke the connection.
pub async fn role(connection: &mut MultiplexedConnection) -> Result<ServerRole, RedisError> {
    let answer = redis::cmd("ROLE").query_async::<Vec<Value>>(connection).await;
    let word = match answer {
        Ok(values) => values.into_iter().next(),
        // It answered, although with a refusal.
        Err(error) if matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension) => None,
        Err(error) => return Err(error),
    };
    let word = word.and_then(|value| redis::from_redis_value::<String>(value).ok());
    Ok(match word.as_deref() {
        Some("master") => ServerRole::Primary,
        Some(_) => ServerRole::Replica,
        None => ServerRole::Unknown,
    })
}

/// Refuses a server that is not a primary.
///
/// # Errors
/// [`ConnectError`].
pub fn require_primary(role: ServerRole) -> Result<(), ConnectError> {
    match role {
        ServerRole::Primary | ServerRole::Unknown => Ok(()),
        ServerRole::Replica => Err(ConnectError("the server is a replica".to_owned())),
    }
}
