//! Everything that happened in a run, in order. The checker and the story read it; its hash shows whether two
//! runs were the same.

use std::cell::RefCell;
use std::hash::{Hash, Hasher};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::time::Instant;

/// The one who did or saw something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Who {
    /// A device, by its index in [`crate::plan::Plan::devices`].
    Device(usize),
    /// A process, by its index in [`crate::plan::Plan::processes`].
    Process(usize),
    /// The operator.
    Operator,
    /// The world: faults, the balancer, the log, the bus.
    World,
}

/// What happened. Frames and bodies are shown as JSON, whichever the encoding was.
#[derive(Debug, Clone, PartialEq, Hash)]
pub enum What {
    /// A device opened a WebSocket to a process. `socket` is unique in the run.
    Opened { socket: u64, process: usize },
    /// The connection ended for the device. `code`: that of the close frame; `None`: it broke.
    Closed { socket: u64, code: Option<u16> },
    /// A device sent a frame (when it was given to the socket).
    Sent { socket: u64, frame: Value },
    /// A device sent bytes that are no frame of the protocol.
    SentGarbage { socket: u64, bytes: usize },
    /// A device received a frame.
    Received { socket: u64, frame: Value },
    /// A device made a REST call. `call` is unique in the run.
    /// `token`: the access token that it was sent with.
    Called {
        call: u64,
        process: Option<usize>,
        method: String,
        path: String,
        body: Value,
        signed_in: bool,
        token: Option<String>,
    },
    /// The answer to a call; `status` is `None` when the connection broke: nothing is known.
    Answered { call: u64, status: Option<u16>, body: Value },
    /// A fault, or the end of one, or anything else that a reader of the story wants to know.
    Noted { text: String },
}

/// One entry.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// True virtual time since the start of the run, in milliseconds.
    pub at_ms: u64,
    /// The one who did or saw it.
    pub who: Who,
    /// The event.
    pub what: What,
}

/// The hash of a run, shared by edges that the product holds.
#[derive(Debug, Default)]
pub struct Trace(Mutex<Words>);

impl Trace {
    /// Adds something that nobody reads, such as a call of the store.
    pub fn mix(&self, what: impl Hash) {
        what.hash(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn hash(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).finish()
    }
}

/// A hash of words of 8 bytes. It tells runs apart, and nobody looks for two runs with the same hash, so it
/// need not be a strong one: much is added to it.
#[derive(Debug, Default)]
struct Words(u64);

impl Hasher for Words {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.write_u64(u64::from_le_bytes(*word)));
        if !rest.is_empty() {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.write_u64(u64::from(byte));
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn finish(&self) -> u64 {
        (self.0 ^ (self.0 >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93)
    }
}

/// The record of a run. Cheap to clone; all clones write to the same record.
#[derive(Debug, Clone)]
pub struct History {
    began: Instant,
    inner: Rc<RefCell<Record>>,
    trace: Arc<Trace>,
}

#[derive(Debug, Default)]
struct Record {
    entries: Vec<Entry>,
    next_id: u64,
}

impl History {
    /// An empty record that begins now. Call inside the runtime.
    #[expect(clippy::disallowed_methods, reason = "the paused clock of the runtime is the virtual time")]
    pub fn begin() -> Self {
        Self { began: Instant::now(), inner: Rc::default(), trace: Arc::default() }
    }

    /// Virtual time since the start of the run, in milliseconds.
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A number that no other socket or call of the run has.
    pub fn next_id(&self) -> u64 {
        let mut record = self.inner.borrow_mut();
        record.next_id += 1;
        record.next_id
    }

    /// Notes what happened.
    pub fn note(&self, who: Who, what: What) {
        let at_ms = self.now_ms();
        self.trace.mix((at_ms, who, &what));
        self.inner.borrow_mut().entries.push(Entry { at_ms, who, what });
    }

    /// Notes a fault or something else of the world.
    pub fn world(&self, text: impl Into<String>) {
        self.note(Who::World, What::Noted { text: text.into() });
    }

    /// The hash, for edges that the product holds.
    pub fn trace(&self) -> Arc<Trace> {
        Arc::clone(&self.trace)
    }

    /// When the run began.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// The hash of everything so far. The same for the same seed.
    pub fn hash(&self) -> u64 {
        self.trace.hash()
    }

    /// Takes the entries.
    pub fn take(&self) -> Vec<Entry> {
        std::mem::take(&mut self.inner.borrow_mut().entries)
    }
}
