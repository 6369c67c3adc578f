//! One connection: its byte stream, what was read of it and not handled yet, and what waits to be written.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};

use bytes::{Bytes, BytesMut};

use super::assembler::{Assembler, Incoming};
use super::outbox::{Outbox, SLICES};
use super::stream::ByteStream;
use crate::protocol::{Close, Encoding};

/// Bytes read at once; one buffer serves all sessions of a thread.
pub const SCRATCH_BYTES: usize = 64 * 1024;
/// Bytes read away behind a close.
const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// See the module's documentation.
pub struct Connection<S> {
    /// How frames are encoded.
    pub encoding: Encoding,
    stream: S,
    /// Puts fragments together.
    assembler: RefCell<Assembler>,
    /// Bytes of an incomplete frame; empty otherwise.
    carry: RefCell<BytesMut>,
    outbox: RefCell<Outbox>,
    /// Since when the stream has had no room for what waits.
    blocked_since_ms: Cell<Option<u64>>,
    dropped_bytes: Cell<usize>,
}

/// What a flush did.
#[derive(Debug, Clone, Copy)]
pub struct Flushed {
    /// How it ended.
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
    /// A connection over an upgraded stream. `leftover`: bytes the client sent right behind its handshake.
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

    /// Queues a frame.
    pub fn push(&self, frame: Bytes) {
        self.outbox.borrow_mut().push(frame);
    }

    /// Takes the next whole message out of `source`.
    ///
    /// # Errors
    /// The close that the client's mistake earns.
    pub fn next_message(&self, source: &mut BytesMut, most_bytes: usize) -> Result<Option<Incoming>, Close> {
        self.assembler.borrow_mut().next(source, most_bytes)
    }

    /// Reads once and lets `handle` take whole frames out of what is there. Answers the bytes read; 0: the client is gone.
    /// What `handle` leaves is kept for the next time. `scratch` is used unless something was kept.
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
        // All frames cut from the buffer are dropped by now, so this takes the same memory back.
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

    /// Lets `handle` take whole frames out of what was read before: what came glued to the handshake, and what was left when
    /// no more requests were let in.
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

    /// Reads what a client still sends after the close and drops it, so that no reset overtakes the close frame; only so much
    /// of it. Answers as [`Connection::read`].
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

    /// Writes what waits until all is written or the stream has no room.
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

    /// For how long the stream has taken nothing of what waits, in milliseconds.
    pub fn stalled_ms(&self, now_ms: u64) -> u64 {
        self.blocked_since_ms.get().map_or(0, |since| now_ms.saturating_sub(since))
    }
}
