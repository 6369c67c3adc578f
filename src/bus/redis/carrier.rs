//! What carries the bytes of connections in place of TCP, and where their tasks run. The simulation of whole
//! fleets has the only one: its processes share a thread, and a killed one must leave nothing behind.

use std::io;

use futures_util::future::BoxFuture;
use redis::aio::{AsyncPushSender, MultiplexedConnection};
use redis::{AsyncConnectionConfig, ConnectionInfo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::AbortHandle;

use super::connect::{ConnectError, within};
use super::options::RedisOptions;

/// A stream to a server.
pub trait Carried: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Carried for T {}

/// See the module's documentation.
pub trait Carrier: Send + Sync {
    /// Opens a stream to the server.
    fn open(&self) -> BoxFuture<'static, io::Result<Box<dyn Carried>>>;

    /// Runs a task of the bus.
    fn spawn(&self, task: BoxFuture<'static, ()>) -> AbortHandle;
}

/// The task that moves a carried connection's bytes. It ends when this is dropped.
pub struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl RedisOptions {
    /// Runs a task of the bus.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        match &self.carrier {
            Some(carrier) => carrier.spawn(Box::pin(task)),
            None => tokio::spawn(task).abort_handle(),
        }
    }
}

/// Opens a connection over `carrier`.
///
/// # Errors
/// [`ConnectError`].
pub async fn open_carried(
    carrier: &dyn Carrier,
    server: &ConnectionInfo,
    pushes: impl AsyncPushSender,
    options: &RedisOptions,
) -> Result<(MultiplexedConnection, Driver), ConnectError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None)
        .set_push_sender(pushes);
    let opened = within(options.timeout, async {
        let stream = carrier.open().await?;
        MultiplexedConnection::new_with_config(server.redis_settings(), stream, config).await
    });
    let (connection, driver) = opened.await?;
    Ok((connection, Driver(options.spawn(driver))))
}
