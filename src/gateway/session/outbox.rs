//! The frames that wait to be written to one client: shared, counted in bytes, many per write.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;

/// Frames per system call.
pub const SLICES: usize = 64;

/// A queue of encoded frames. Connections that get the same frame share its bytes.
#[derive(Debug, Default)]
pub struct Outbox {
    frames: VecDeque<Bytes>,
    /// Bytes of the first frame that are already written.
    written: usize,
    bytes: usize,
}

/// Slots kept while the queue is empty. More would be unused memory of every connection that was once busy.
const KEPT_SLOTS: usize = 4;

impl Outbox {
    /// Appends a frame.
    pub fn push(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    /// How many bytes wait.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Points `slices` at the next bytes to write. Returns how many slices were filled.
    pub fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES]) -> usize {
        let mut filled = 0;
        for (slice, frame) in slices.iter_mut().zip(&self.frames) {
            let start = if filled == 0 { self.written } else { 0 };
            *slice = IoSlice::new(&frame[start..]);
            filled += 1;
        }
        filled
    }

    /// `count` bytes were written.
    pub fn advance(&mut self, mut count: usize) {
        self.bytes -= count;
        while count > 0 {
            let Some(first) = self.frames.front() else { break };
            let left = first.len() - self.written;
            if count < left {
                rare!(FrameWrittenInParts);
                self.written += count;
                return;
            }
            count -= left;
            self.written = 0;
            self.frames.pop_front();
        }
        if self.frames.is_empty() && self.frames.capacity() > KEPT_SLOTS {
            self.frames.shrink_to(KEPT_SLOTS);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever sizes the frames have and however little each write takes, the bytes come out once and in
        /// order.
        #[test]
        fn writes_every_byte_once(
            sizes in proptest::collection::vec(1_usize..50, 1..100),
            writes in proptest::collection::vec(1_usize..200, 1..50),
        ) {
            let mut outbox = Outbox::default();
            let mut expected = Vec::new();
            for (n, size) in sizes.iter().enumerate() {
                let frame = vec![n as u8; *size];
                expected.extend_from_slice(&frame);
                outbox.push(Bytes::from(frame));
            }
            let mut out = Vec::new();
            let mut turn = writes.iter().cycle();
            while !outbox.is_empty() {
                let mut slices = [IoSlice::new(&[]); SLICES];
                let filled = outbox.gather(&mut slices);
                let gathered: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.iter().copied()).collect();
                let taken = gathered.len().min(*turn.next().unwrap_or(&1));
                out.extend_from_slice(&gathered[..taken]);
                outbox.advance(taken);
                prop_assert_eq!(outbox.bytes(), expected.len() - out.len());
            }
            prop_assert_eq!(out, expected);
        }
    }
}
