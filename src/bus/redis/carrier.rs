//! What carries the bytes of connections in place of TCP, and where their tasks run. The simulation of whole
//! fleets has the only one: its processes share a thread, and a killed one must leave nothing behind.

use std::io;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::AbortHandle;

/// A stream to a server.
pub trait Carried: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Carried for T {}

/// Opens streams to a server, and runs the tasks of the bus.
pub trait Carrier: Send + Sync {
    /// Opens a stream to the server.
    fn open(&self) -> BoxFuture<'static, io::Result<Box<dyn Carried>>>;

    /// Runs a task of the bus.
    fn spawn(&self, task: BoxFuture<'static, ()>) -> AbortHandle;
}
