//! The frames that wait to be written to one client: shared, counted in bytes, many per write.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;

use crate::domain::queued::{QueuedBytes, QueuedKind};

/// Frames per system call.
pub const SLICES: usize = 64;

/// A queue of encoded frames. Connections that get the same frame share its bytes.
#[derive(Debug, Default)]
pub struct Outbox {
    frames: VecDeque<(Bytes, QueuedKind)>,
    /// Bytes of the first frame that are already written.
    written: usize,
    bytes: usize,
    /// The same bytes by what they are.
    by_kind: QueuedBytes,
}

/// Slots kept while the queue is empty. More would be unused memory of every connection that was once busy.
const KEPT_SLOTS: usize = 4;

impl Outbox {
    /// Appends a frame.
    pub fn push(&mut self, frame: Bytes, kind: QueuedKind) {
        self.bytes += frame.len();
        self.by_kind.add(kind, frame.len());
        self.frames.push_back((frame, kind));
    }

    /// Drops all live frames but the one that is being written. Returns how many bytes they were.
    pub fn drop_live(&mut self) -> usize {
        let (begun, mut first) = (self.written > 0, true);
        let before = self.bytes;
        self.frames.retain(|(frame, kind)| {
            let stays = *kind != QueuedKind::Live || (first && begun);
            first = false;
            if !stays {
                self.bytes -= frame.len();
                self.by_kind.subtract(*kind, frame.len());
            }
            stays
        });
        self.release();
        before - self.bytes
    }

    /// How many bytes wait.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The same by what they are.
    pub const fn by_kind(&self) -> QueuedBytes {
        self.by_kind
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Points `slices` at the next bytes to write. Returns how many slices were filled.
    pub fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES]) -> usize {
        let mut filled = 0;
        for (slice, (frame, _)) in slices.iter_mut().zip(&self.frames) {
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
            let Some((first, kind)) = self.frames.front() else { break };
            let left = first.len() - self.written;
            self.by_kind.subtract(*kind, left.min(count));
            if count < left {
                rare!(FrameWrittenInParts);
                self.written += count;
                return;
            }
            count -= left;
            self.written = 0;
            self.frames.pop_front();
        }
        self.release();
    }

    fn release(&mut self) {
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
                outbox.push(Bytes::from(frame), QueuedKind::Live);
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
            prop_assert_eq!(outbox.by_kind(), QueuedBytes::default());
        }

        /// Live frames go, and what comes out is whole frames: all others, and the one that had begun.
        #[test]
        fn live_frames_are_dropped_whole(
            frames in proptest::collection::vec((1_usize..50, any::<bool>()), 1..40),
            written in 0_usize..400,
        ) {
            let mut outbox = Outbox::default();
            let kind = |live: bool| if live { QueuedKind::Live } else { QueuedKind::Answers };
            for (n, (size, live)) in frames.iter().enumerate() {
                outbox.push(Bytes::from(vec![n as u8; *size]), kind(*live));
            }
            let written = written.min(outbox.bytes());
            outbox.advance(written);
            let (before, live) = (outbox.bytes(), outbox.by_kind().live());
            let dropped = outbox.drop_live();
            prop_assert_eq!(outbox.bytes(), before - dropped);
            prop_assert_eq!(outbox.by_kind().total(), outbox.bytes());
            let mut end = 0;
            let mut expected = 0;
            for (size, is_live) in &frames {
                let (start, next) = (end, end + size);
                end = next;
                let begun = start < written && written < next;
                if next > written && (!is_live || begun) {
                    expected += if begun { next - written } else { *size };
                }
            }
            prop_assert_eq!(outbox.bytes(), expected);
            prop_assert!(dropped <= live && outbox.by_kind().live() == live - dropped);
        }
    }
}
