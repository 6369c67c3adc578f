//! One connection: its byte stream, bytes that were read and not handled yet, and bytes that wait to be
//! written.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};

use bytes::{Bytes, BytesMut};

use super::assembler::{Assembler, Incoming};
use super::outbox::{Outbox, SLICES};
use super::stream::ByteStream;
use crate::domain::queued::{QueuedBytes, QueuedKind};
use crate::protocol::{Close, Encoding};

/// Bytes per read. One buffer serves all sessions of a thread.
pub const SCRATCH_BYTES: usize = 64 * 1024;
/// Bytes read and dropped after a close.
const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// One connection: its stream, what was read from it, and what waits to be written.
pub struct Connection<S> {
    /// How frames are encoded.
    pub encoding: Encoding,
    stream: S,
    /// Puts fragments together.
    assembler: RefCell<Assembler>,
    /// Bytes of an incomplete frame; empty otherwise.
    carry: RefCell<BytesMut>,
    outbox: RefCell<Outbox>,
    /// Since when the stream has had no room for the waiting bytes.
    blocked_since_ms: Cell<Option<u64>>,
    dropped_bytes: Cell<usize>,
}

/// The result of a flush.
#[derive(Debug, Clone, Copy)]
pub struct Flushed {
    /// The reason for its end.
    pub outcome: FlushOutcome,
    /// Bytes written.
    pub bytes: usize,
    /// System calls that wrote.
    pub writes: u64,
}

/// How a flush ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlushOutcome {
    /// Nothing waits any more.
    Drained,
    /// The stream has no room.
    Blocked,
    /// The stream is broken.
    Broken,
}

impl<S: ByteStream> Connection<S> {
    /// A connection over an upgraded stream. `leftover`: bytes that the client sent directly after its
    /// handshake.
    pub fn new(stream: S, encoding: Encoding, leftover: BytesMut) -> Self {
        Self {
            encoding,
            stream,
            assembler: RefCell::default(),
            carry: RefCell::new(leftover),
            outbox: RefCell::default(),
            blocked_since_ms: Cell::new(None),
            dropped_bytes: Cell::new(0),
        }
    }

    /// The stream.
    pub const fn stream(&self) -> &S {
        &self.stream
    }

    /// Bytes that wait for the client.
    pub fn waiting_bytes(&self) -> usize {
        self.outbox.borrow().bytes()
    }

    /// The same by what they are.
    pub fn waiting_by_kind(&self) -> QueuedBytes {
        self.outbox.borrow().by_kind()
    }

    /// Queues a frame.
    pub fn push(&self, frame: Bytes, kind: QueuedKind) {
        self.outbox.borrow_mut().push(frame, kind);
    }

    /// Drops the live frames that wait. Returns how many bytes they were.
    pub fn drop_live(&self) -> usize {
        self.outbox.borrow_mut().drop_live()
    }

    /// Takes the next whole message out of `source`.
    ///
    /// # Errors
    /// The close code for the client's mistake.
    pub fn next_message(&self, source: &mut BytesMut, most_bytes: usize) -> Result<Option<Incoming>, Close> {
        self.assembler.borrow_mut().next(source, most_bytes)
    }

    /// Reads once and lets `handle` take whole frames. Returns the number of bytes read; 0: the client is
    /// gone. Bytes that `handle` leaves are kept for the next call. `scratch` is the buffer unless bytes were
    /// kept.
    ///
    /// # Errors
    /// `WouldBlock` when nothing has arrived; anything else ends the connection.
    pub fn read(&self, scratch: &RefCell<BytesMut>, handle: impl FnOnce(&mut BytesMut)) -> io::Result<usize> {
        let mut carry = self.carry.take();
        if !carry.is_empty() {
            carry.reserve(SCRATCH_BYTES / 16);
            let read = self.stream.try_read(&mut carry);
            handle(&mut carry);
            self.keep(carry);
            return read;
        }
        let mut buffer = scratch.take();
        buffer.clear();
        // All frames cut from the buffer are dropped by now, so this reuses the same memory.
        buffer.reserve(SCRATCH_BYTES);
        let read = self.stream.try_read(&mut buffer);
        if read.is_ok() {
            handle(&mut buffer);
            if !buffer.is_empty() {
                self.keep(BytesMut::from(&buffer[..]));
            }
        }
        scratch.replace(buffer);
        read
    }

    /// Lets `handle` take whole frames out of bytes that were read before: with the handshake, or before
    /// requests were stopped.
    pub fn handle_kept(&self, handle: impl FnOnce(&mut BytesMut)) {
        let mut carry = self.carry.take();
        if !carry.is_empty() {
            handle(&mut carry);
            self.keep(carry);
        }
    }

    fn keep(&self, carry: BytesMut) {
        *self.carry.borrow_mut() = if carry.is_empty() { BytesMut::new() } else { carry };
    }

    /// Reads and drops what a client sends after the close, up to a limit, so that a TCP reset does not
    /// overtake the close frame. Returns as [`Connection::read`].
    ///
    /// # Errors
    /// As [`Connection::read`].
    pub fn read_and_drop(&self, scratch: &RefCell<BytesMut>) -> io::Result<usize> {
        let mut buffer = scratch.take();
        buffer.clear();
        buffer.reserve(SCRATCH_BYTES);
        let read = self.stream.try_read(&mut buffer);
        scratch.replace(buffer);
        let count = read?;
        let dropped = self.dropped_bytes.get() + count;
        self.dropped_bytes.set(dropped);
        Ok(if dropped > LINGER_BYTES { 0 } else { count })
    }

    /// Writes waiting bytes until all are written or the stream has no room.
    pub fn flush(&self, now_ms: u64) -> Flushed {
        let mut outbox = self.outbox.borrow_mut();
        let mut flushed = Flushed { outcome: FlushOutcome::Drained, bytes: 0, writes: 0 };
        while !outbox.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let filled = outbox.gather(&mut slices);
            match self.stream.try_write(&slices[..filled]) {
                Ok(count) if count > 0 => {
                    outbox.advance(count);
                    flushed.bytes += count;
                    flushed.writes += 1;
                    self.blocked_since_ms.set(None);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    rare!(SocketFull);
                    if self.blocked_since_ms.get().is_none() {
                        self.blocked_since_ms.set(Some(now_ms));
                    }
                    flushed.outcome = FlushOutcome::Blocked;
                    return flushed;
                }
                Ok(_) | Err(_) => {
                    flushed.outcome = FlushOutcome::Broken;
                    return flushed;
                }
            }
        }
        flushed
    }

    /// For how many milliseconds the stream has taken none of the waiting bytes.
    pub fn stalled_ms(&self, now_ms: u64) -> u64 {
        self.blocked_since_ms.get().map_or(0, |since| now_ms.saturating_sub(since))
    }
}
