//! Byte streams between devices and processes, with delays, small buffers and faults.

mod pipe;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use self::pipe::{Ending, Pipe};
use super::now;
use crate::dice::Dice;
use crate::plan::Weather;

/// The constant behaviour of a stream.
#[derive(Debug, Clone, Copy)]
pub struct SocketOptions {
    /// The longest time that a piece is under way, in milliseconds. Pieces never overtake each other.
    pub delay_ms: u64,
    /// Bytes arrive in pieces of at most so many.
    pub piece_bytes: usize,
    /// The bytes that are written and not yet read, each direction. A writer waits when there is no room.
    pub capacity_bytes: usize,
}

impl From<&Weather> for SocketOptions {
    fn from(weather: &Weather) -> Self {
        Self {
            delay_ms: weather.socket_delay_ms,
            piece_bytes: weather.socket_piece_bytes,
            capacity_bytes: weather.socket_bytes,
        }
    }
}

/// Which end of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The first one of the pair.
    Device,
    /// The second one of the pair.
    Process,
}

impl End {
    fn other(self) -> Self {
        match self {
            Self::Device => Self::Process,
            Self::Process => Self::Device,
        }
    }

    /// The place of the pipe into which this end writes.
    fn place(self) -> usize {
        match self {
            Self::Device => 0,
            Self::Process => 1,
        }
    }
}

/// The state that the two ends share.
#[derive(Debug)]
struct Shared {
    options: SocketOptions,
    dice: Dice,
    /// By the end that writes.
    pipes: [Pipe; 2],
    /// The end has learnt that the connection is reset.
    reset: [bool; 2],
    /// The end is closed.
    closed: [bool; 2],
    /// Nothing crosses any more.
    vanished: bool,
}

impl Shared {
    fn outgoing(&mut self, end: End) -> &mut Pipe {
        &mut self.pipes[end.place()]
    }

    fn incoming(&mut self, end: End) -> &mut Pipe {
        &mut self.pipes[end.other().place()]
    }

    fn read(&mut self, end: End, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.reset[end.place()] {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let read = self.incoming(end).read(context, into);
        if matches!(read, Poll::Ready(Err(_))) {
            self.reset[end.place()] = true;
        }
        read
    }

    fn write(
        &mut self,
        end: End,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.reset[end.place()] {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let Self { options, dice, pipes, .. } = self;
        pipes[end.place()].write(context, slices, options, dice)
    }

    fn close(&mut self, end: End) {
        self.closed[end.place()] = true;
        if self.vanished || self.reset[end.place()] {
            return;
        }
        // As the kernel does: who closes with unread bytes resets the connection.
        let ending = if self.incoming(end).has_arrived() { Ending::Reset } else { Ending::Closed };
        let Self { options, dice, pipes, .. } = self;
        let told_at = pipes[end.place()].end(ending, options, dice);
        self.incoming(end).refuse_from(told_at);
    }

    fn learn_of_reset(&mut self, end: End) {
        self.reset[end.place()] = true;
        self.outgoing(end).drain();
        self.incoming(end).drain();
    }

    fn vanish(&mut self) {
        self.vanished = true;
        self.pipes.iter_mut().for_each(Pipe::vanish);
    }
}

/// One end of a stream. Dropping it closes it, as the kernel does for a process that ended.
#[derive(Debug)]
pub struct SimSocket {
    end: End,
    shared: Rc<RefCell<Shared>>,
}

impl SimSocket {
    /// A new stream: the device's end and the process's end. Call inside the runtime.
    pub fn pair(options: SocketOptions, dice: Dice) -> (Self, Self) {
        let shared = Rc::new(RefCell::new(Shared {
            options,
            dice,
            pipes: [Pipe::new(now()), Pipe::new(now())],
            reset: [false; 2],
            closed: [false; 2],
            vanished: false,
        }));
        (Self { end: End::Device, shared: Rc::clone(&shared) }, Self { end: End::Process, shared })
    }

    /// The handle to bring faults over this stream.
    pub fn wire(&self) -> Wire {
        Wire { shared: Rc::clone(&self.shared) }
    }
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        self.shared.borrow_mut().close(self.end);
    }
}

impl AsyncRead for SimSocket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.shared.borrow_mut().read(self.end, context, into)
    }
}

impl AsyncWrite for SimSocket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.shared.borrow_mut().write(self.end, context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.shared.borrow_mut().write(self.end, context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire().half_close(self.end);
        Poll::Ready(Ok(()))
    }
}

/// The handle to bring faults over a stream. All clones are the same stream.
#[derive(Debug, Clone)]
pub struct Wire {
    shared: Rc<RefCell<Shared>>,
}

impl Wire {
    /// An end writes nothing more. The other one reads the end of the stream after the bytes before it.
    pub fn half_close(&self, end: End) {
        let mut shared = self.shared.borrow_mut();
        if !shared.vanished && !shared.reset[end.place()] {
            let Shared { options, dice, pipes, .. } = &mut *shared;
            pipes[end.place()].end(Ending::Closed, options, dice);
        }
    }

    /// The connection is reset. What was under way is lost, and both ends learn of it at once.
    pub fn reset(&self) {
        let mut shared = self.shared.borrow_mut();
        shared.learn_of_reset(End::Device);
        shared.learn_of_reset(End::Process);
    }

    /// One end learns of a reset. For the other one the stream only vanishes.
    pub fn reset_for(&self, end: End) {
        let mut shared = self.shared.borrow_mut();
        shared.vanish();
        shared.learn_of_reset(end);
    }

    /// Nothing crosses any more, and neither end gets a notice. Bytes that have arrived can be read.
    pub fn vanish(&self) {
        self.shared.borrow_mut().vanish();
    }

    /// Nothing arrives for so long. Nothing is lost.
    pub fn stall(&self, duration: Duration) {
        let until = now() + duration;
        self.shared.borrow_mut().pipes.iter_mut().for_each(|pipe| pipe.stall(until));
    }

    /// An end reads at most so many bytes a second from now on; with 0 it reads nothing. `None`: without a
    /// limit.
    pub fn pace(&self, end: End, bytes_per_second: Option<u64>) {
        self.shared.borrow_mut().incoming(end).pace(bytes_per_second);
    }

    /// From now on the stream behaves in this way.
    pub fn change(&self, options: SocketOptions) {
        let mut shared = self.shared.borrow_mut();
        shared.options = options;
        // There may be more room.
        shared.pipes.iter_mut().for_each(Pipe::wake);
    }

    /// Ends the faults: no more delays, and every end reads without a limit. A broken connection stays
    /// broken.
    pub fn calm(&self) {
        self.shared.borrow_mut().options.delay_ms = 0;
        self.pace(End::Device, None);
        self.pace(End::Process, None);
    }

    /// Both ends are closed: no fault makes a difference any more.
    pub fn is_over(&self) -> bool {
        self.shared.borrow().closed == [true; 2]
    }
}
