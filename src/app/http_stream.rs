//! The stream of an HTTP connection: it ends when its client takes nothing for too long, and says what waits
//! for it.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use crate::actors::Node;
use crate::actors::connections::OpenConnection;

/// A TCP stream with a deadline for its client.
pub struct HttpStream {
    stream: TcpStream,
    open: Rc<OpenConnection>,
    node: Node,
    /// For how long the client may take nothing.
    deadline: Duration,
    /// Runs while the socket is full.
    late: Option<Pin<Box<Sleep>>>,
}

impl HttpStream {
    /// `deadline`: for how long the client may take none of the bytes that wait for it.
    pub fn new(stream: TcpStream, open: Rc<OpenConnection>, node: Node, deadline: Duration) -> Self {
        Self { stream, open, node, deadline, late: None }
    }

    /// The TCP stream.
    pub const fn tcp(&self) -> &TcpStream {
        &self.stream
    }
}

impl From<HttpStream> for TcpStream {
    fn from(stream: HttpStream) -> Self {
        stream.stream
    }
}

impl AsyncRead for HttpStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(task, buffer)
    }
}

impl AsyncWrite for HttpStream {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(task, bytes);
        match written {
            Poll::Ready(Ok(count)) => {
                self.late = None;
                self.open.output().buffer_waits(bytes.len() - count);
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                self.open.output().buffer_waits(bytes.len());
                let deadline = self.deadline;
                let late = self.late.get_or_insert_with(|| Box::pin(sleep(deadline)));
                if late.as_mut().poll(task).is_ready() {
                    self.node.meters().queued.unread_answers.increment(1);
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(task)
    }
}
