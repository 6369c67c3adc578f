//! Making a connection, and finding out whom one is connected to. Everything here ends in time.

use std::fmt;
use std::time::Duration;

use redis::aio::{AsyncPushSender, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, RedisError, Value};

use super::options::Place;

/// Why there is no connection, for an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble(pub String);

impl Trouble {
    /// Something that did not answer in time.
    pub fn silent(after: Duration) -> Self {
        Self(format!("no answer within {} ms", after.as_millis()))
    }
}

impl From<RedisError> for Trouble {
    fn from(error: RedisError) -> Self {
        Self(error.to_string())
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a server says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerRole {
    /// It takes writes; what is published there reaches its subscribers.
    Primary,
    /// It follows another; what is published there reaches only those who are connected to it by mistake as well.
    Replica,
    /// It answers, but may not tell (an ACL without `ROLE`).
    Untold,
}

/// Awaits a command within `timeout`.
///
/// # Errors
/// [`Trouble`].
pub async fn within<T>(
    timeout: Duration,
    command: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, Trouble> {
    match tokio::time::timeout(timeout, command).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(Trouble::silent(timeout)),
    }
}

/// Connects to one server, whatever its role.
///
/// # Errors
/// [`Trouble`].
pub async fn dial(
    server: &ConnectionInfo,
    pushes: Option<impl AsyncPushSender>,
    timeout: Duration,
) -> Result<MultiplexedConnection, Trouble> {
    let mut config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    if let Some(pushes) = pushes {
        config = config.set_push_sender(pushes);
    }
    let client = Client::open(server.clone())?;
    within(timeout, client.get_multiplexed_async_connection_with_config(&config)).await
}

/// Where the primary is just now.
///
/// # Errors
/// [`Trouble`] when no Sentinel knows.
pub async fn primary(place: &Place, timeout: Duration) -> Result<ConnectionInfo, Trouble> {
    match place {
        Place::Single(server) | Place::Cluster(server) => Ok(server.clone()),
        Place::Sentinel { sentinels, master, server } => {
            let mut trouble = Trouble("no Sentinel is named".to_owned());
            for sentinel in sentinels {
                match ask_sentinel(sentinel, master, timeout).await {
                    Ok((host, port)) => return Ok(at(server, host, port)),
                    Err(asked) => trouble = Trouble(format!("Sentinel {}: {asked}", sentinel.addr())),
                }
            }
            Err(trouble)
        }
    }
}

/// Behind Sentinels: ends when they name another primary than the one at `address`, which may live on without knowing.
pub async fn replaced(place: &Place, address: &str, timeout: Duration) -> Trouble {
    let Place::Sentinel { .. } = place else { return std::future::pending().await };
    loop {
        tokio::time::sleep(timeout).await;
        if let Ok(server) = primary(place, timeout).await
            && server.addr().to_string() != address
        {
            return Trouble(format!("the Sentinels name another primary: {}", server.addr()));
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
) -> Result<(String, u16), Trouble> {
    let mut connection = dial(sentinel, None::<fn(redis::PushInfo) -> Result<(), ()>>, timeout).await?;
    let mut question = redis::cmd("SENTINEL");
    question.arg("get-master-addr-by-name").arg(master);
    let answer: Option<(String, u16)> = within(timeout, question.query_async(&mut connection)).await?;
    answer.ok_or_else(|| Trouble(format!("knows no master {master:?}")))
}

/// Asks a server what it is; its answer also shows that it is alive.
///
/// # Errors
/// What broke the connection.
pub async fn role(connection: &mut MultiplexedConnection) -> Result<ServerRole, RedisError> {
    let answer = redis::cmd("ROLE").query_async::<Vec<Value>>(connection).await;
    let word = match answer {
        Ok(values) => values.into_iter().next(),
        // It answered, if only with a refusal.
        Err(error) if matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension) => None,
        Err(error) => return Err(error),
    };
    let word = word.and_then(|value| redis::from_redis_value::<String>(value).ok());
    Ok(match word.as_deref() {
        Some("master") => ServerRole::Primary,
        Some(_) => ServerRole::Replica,
        None => ServerRole::Untold,
    })
}

/// Refuses a server that is no primary.
///
/// # Errors
/// [`Trouble`].
pub fn require_primary(role: ServerRole) -> Result<(), Trouble> {
    match role {
        ServerRole::Primary | ServerRole::Untold => Ok(()),
        ServerRole::Replica => Err(Trouble("the server is a replica".to_owned())),
    }
}
