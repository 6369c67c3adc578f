//! The byte stream of a connection: a TCP socket in production, anything that can be read and written in
//! tests.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::BytesMut;
use futures_util::task::AtomicWaker;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A stream that reports when it is ready, and reads and writes without waiting.
pub trait ByteStream: 'static {
    /// Ready when [`ByteStream::try_read`] may find something.
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Appends bytes that have arrived to `buffer`. Returns how many; 0 at the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock` when nothing has arrived; anything else ends the connection.
    fn try_read(&self, buffer: &mut BytesMut) -> io::Result<usize>;

    /// Ready when [`ByteStream::try_write`] may have room.
    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Writes as much of `slices` as there is room for. Returns how many bytes.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room; anything else ends the connection.
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Tells the peer that nothing more will be written.
    ///
    /// # Errors
    /// An error of the system.
    fn shut_down_write(&self) -> io::Result<()>;

    /// Lets the system end the connection when the peer acknowledges nothing for `after`.
    ///
    /// # Errors
    /// An error of the system. The connection works without it.
    fn give_up_after(&self, after: Duration) -> io::Result<()>;
}

impl ByteStream for TcpStream {
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(context)
    }

    fn try_read(&self, buffer: &mut BytesMut) -> io::Result<usize> {
        self.try_read_buf(buffer)
    }

    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_write_ready(context)
    }

    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            // One frame is the usual case in a fan-out, and a plain write costs the kernel less.
            [one] => Self::try_write(self, one),
            many => self.try_write_vectored(many),
        }
    }

    fn shut_down_write(&self) -> io::Result<()> {
        SockRef::from(self).shutdown(Shutdown::Write)
    }

    /// A phone out of range answers no probe. Without this its socket, and the bytes in it, would stay for a
    /// quarter of an hour.
    fn give_up_after(&self, after: Duration) -> io::Result<()> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        SockRef::from(self).set_tcp_user_timeout(Some(after))?;
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let _ = after;
        Ok(())
    }
}

/// Whether one direction of a [`Polled`] stream is worth another try, and which task to wake.
#[derive(Debug, Default)]
struct Readiness {
    ready: AtomicBool,
    task: AtomicWaker,
}

impl Readiness {
    fn starting() -> Arc<Self> {
        Arc::new(Self { ready: AtomicBool::new(true), task: AtomicWaker::new() })
    }

    fn poll(&self, context: &Context<'_>) -> Poll<io::Result<()>> {
        self.task.register(context.waker());
        if self.ready.load(Ordering::SeqCst) { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn attempt<T>(
        self: &Arc<Self>,
        operation: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        // Cleared first: a wake-up during the operation must not be lost.
        self.ready.store(false, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(self));
        match operation(&mut Context::from_waker(&waker)) {
            Poll::Ready(done) => {
                self.ready.store(true, Ordering::SeqCst);
                done
            }
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Wake for Readiness {
    fn wake(self: Arc<Self>) {
        self.ready.store(true, Ordering::SeqCst);
        self.task.wake();
    }
}

/// Makes a [`ByteStream`] of anything that implements tokio's traits, such as [`tokio::io::duplex`].
#[derive(Debug)]
pub struct Polled<T> {
    inner: RefCell<T>,
    readable: Arc<Readiness>,
    writable: Arc<Readiness>,
}

impl<T> Polled<T> {
    /// Wraps a stream.
    pub fn new(inner: T) -> Self {
        Self { inner: RefCell::new(inner), readable: Readiness::starting(), writable: Readiness::starting() }
    }
}

/// Bytes that a [`Polled`] stream reads at once.
const POLLED_READ_BYTES: usize = 4_096;

impl<T: AsyncRead + AsyncWrite + Unpin + 'static> ByteStream for Polled<T> {
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.readable.poll(context)
    }

    fn try_read(&self, buffer: &mut BytesMut) -> io::Result<usize> {
        let mut bytes = [0; POLLED_READ_BYTES];
        let mut read = ReadBuf::new(&mut bytes);
        let mut inner = self.inner.borrow_mut();
        self.readable.attempt(|context| Pin::new(&mut *inner).poll_read(context, &mut read))?;
        buffer.extend_from_slice(read.filled());
        Ok(read.filled().len())
    }

    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writable.poll(context)
    }

    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut inner = self.inner.borrow_mut();
        self.writable.attempt(|context| Pin::new(&mut *inner).poll_write_vectored(context, slices))
    }

    fn shut_down_write(&self) -> io::Result<()> {
        let mut inner = self.inner.borrow_mut();
        self.writable.attempt(|context| Pin::new(&mut *inner).poll_shutdown(context))
    }

    fn give_up_after(&self, _: Duration) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[tokio::test]
    async fn the_kernel_knows_how_long() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        stream.give_up_after(Duration::from_millis(12_000)).unwrap();
        let told = SockRef::from(&stream).tcp_user_timeout().unwrap();
        assert_eq!(told, Some(Duration::from_millis(12_000)));
    }

    #[tokio::test]
    async fn a_polled_stream_blocks_when_full_and_wakes_when_read() {
        let (ours, mut theirs) = tokio::io::duplex(4);
        let stream = Polled::new(ours);
        assert_eq!(stream.try_write(&[IoSlice::new(b"abcdef")]).unwrap(), 4);
        let full = stream.try_write(&[IoSlice::new(b"ef")]).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        let mut read = [0; 4];
        let room = std::future::poll_fn(|context| stream.poll_writable(context));
        let (room, taken) = tokio::join!(room, theirs.read_exact(&mut read));
        assert!(room.is_ok() && taken.is_ok() && &read == b"abcd");
        let mut buffer = BytesMut::new();
        let nothing = stream.try_read(&mut buffer).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        let some = std::future::poll_fn(|context| stream.poll_readable(context));
        let (some, sent) = tokio::join!(some, theirs.write_all(b"xy"));
        assert!(some.is_ok() && sent.is_ok());
        assert_eq!(stream.try_read(&mut buffer).unwrap(), 2);
        stream.shut_down_write().unwrap();
        assert_eq!(theirs.read(&mut read).await.unwrap(), 0);
    }
}
