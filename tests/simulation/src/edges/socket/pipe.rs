//! One direction of a stream.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::ReadBuf;
use tokio::time::{Instant, Sleep, sleep_until};

use super::SocketOptions;
use crate::dice::Dice;
use crate::edges::now;

/// The end of a direction for its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The end of the stream.
    Closed,
    /// An error.
    Reset,
}

/// Bytes under way, or arrived and not yet read.
#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    arrives: Instant,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Pipe {
    pieces: VecDeque<Piece>,
    /// Bytes written and not read. Those that vanished count too: nobody acknowledges them.
    held: usize,
    /// Nothing that is written now arrives before.
    not_before: Instant,
    ending: Option<(Instant, Ending)>,
    /// The writer has said that it writes nothing more.
    is_shut: bool,
    has_vanished: bool,
    /// The reader has closed. Until this moment the writer does not know, and its bytes are lost.
    refuses_from: Option<Instant>,
    /// Bytes a second that are read at most.
    pace: Option<u64>,
    next_read: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    pub fn new(now: Instant) -> Self {
        Self {
            pieces: VecDeque::new(),
            held: 0,
            not_before: now,
            ending: None,
            is_shut: false,
            has_vanished: false,
            refuses_from: None,
            pace: None,
            next_read: now,
            timer: None,
            reader: None,
            writer: None,
        }
    }

    pub fn read(&mut self, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.reader = Some(context.waker().clone());
        if self.pace == Some(0) {
            return Poll::Pending;
        }
        loop {
            let now = now();
            let arrives = match (self.pieces.front(), self.ending) {
                (Some(piece), _) => piece.arrives.max(self.next_read),
                (None, Some((arrives, _))) => arrives,
                (None, None) => return Poll::Pending,
            };
            if arrives > now {
                let timer = self.timer.insert(Box::pin(sleep_until(arrives)));
                if timer.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                continue;
            }
            self.timer = None;
            let Some(piece) = self.pieces.front_mut() else {
                return Poll::Ready(match self.ending {
                    Some((_, Ending::Reset)) => Err(io::ErrorKind::ConnectionReset.into()),
                    Some((_, Ending::Closed)) | None => Ok(()),
                });
            };
            let count = piece.bytes.len().min(into.remaining());
            into.put_slice(&piece.bytes.split_to(count));
            if !piece.bytes.has_remaining() {
                self.pieces.pop_front();
            }
            self.held -= count;
            if let Some(pace) = self.pace {
                self.next_read = now + Duration::from_millis((count as u64 * 1_000).div_ceil(pace));
            }
            wake(&mut self.writer);
            return Poll::Ready(Ok(()));
        }
    }

    pub fn write(
        &mut self,
        context: &Context<'_>,
        slices: &[IoSlice<'_>],
        options: &SocketOptions,
        dice: &mut Dice,
    ) -> Poll<io::Result<usize>> {
        if self.is_shut || self.refuses_from.is_some_and(|from| from <= now()) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let wanted: usize = slices.iter().map(|slice| slice.len()).sum();
        if self.refuses_from.is_some() || wanted == 0 {
            return Poll::Ready(Ok(wanted));
        }
        let room = options.capacity_bytes.max(1).saturating_sub(self.held);
        if room == 0 {
            self.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        let bytes: Bytes = slices.iter().flat_map(|slice| slice.iter().copied()).take(room).collect();
        let count = bytes.len();
        self.held += count;
        if !self.has_vanished {
            self.send(bytes, options, dice);
            wake(&mut self.reader);
        }
        Poll::Ready(Ok(count))
    }

    fn send(&mut self, mut bytes: Bytes, options: &SocketOptions, dice: &mut Dice) {
        while bytes.has_remaining() {
            let most = options.piece_bytes.min(bytes.len()).max(1);
            let count = usize::try_from(dice.between(1, most as u64)).unwrap_or(most);
            let arrives = self.arrival(options, dice);
            self.pieces.push_back(Piece { bytes: bytes.split_to(count), arrives });
        }
    }

    /// When something that is sent now arrives.
    fn arrival(&mut self, options: &SocketOptions, dice: &mut Dice) -> Instant {
        let delay = Duration::from_millis(dice.between(0, options.delay_ms));
        self.not_before = self.not_before.max(now() + delay);
        self.not_before
    }

    /// The writer writes nothing more. Returns when the reader learns of it.
    pub fn end(&mut self, ending: Ending, options: &SocketOptions, dice: &mut Dice) -> Instant {
        self.is_shut = true;
        let arrives = self.arrival(options, dice);
        if !self.has_vanished && (self.ending.is_none() || ending == Ending::Reset) {
            self.ending = Some((arrives, ending));
        }
        self.wake();
        arrives
    }

    /// The reader has closed, and the writer learns of it at `from`.
    pub fn refuse_from(&mut self, from: Instant) {
        self.refuses_from = Some(from);
        self.drain();
    }

    /// Something has arrived and was not read.
    pub fn has_arrived(&self) -> bool {
        self.pieces.front().is_some_and(|piece| piece.arrives <= now())
    }

    /// Loses everything that was not read.
    pub fn drain(&mut self) {
        self.pieces.clear();
        self.wake();
    }

    pub fn vanish(&mut self) {
        self.has_vanished = true;
        let now = now();
        self.pieces.retain(|piece| piece.arrives <= now);
        self.ending = self.ending.filter(|(arrives, _)| *arrives <= now);
    }

    pub fn stall(&mut self, until: Instant) {
        let now = now();
        self.not_before = self.not_before.max(until);
        let under_way = self.pieces.iter_mut().map(|piece| &mut piece.arrives);
        for arrives in under_way.chain(self.ending.as_mut().map(|(arrives, _)| arrives)) {
            if *arrives > now {
                *arrives = (*arrives).max(until);
            }
        }
    }

    pub fn pace(&mut self, bytes_per_second: Option<u64>) {
        self.pace = bytes_per_second;
        self.next_read = now();
        wake(&mut self.reader);
    }

    pub fn wake(&mut self) {
        wake(&mut self.reader);
        wake(&mut self.writer);
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}
