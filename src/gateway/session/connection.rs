//! A connection: one connection's socket with its queue and its session's state, shared on one thread by the session's actor
//! (which reads) and the hub (which writes for everybody at once).

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::net::{IpAddr, Shutdown};
use std::rc::Rc;
use std::task::Waker;

use bytes::{Bytes, BytesMut};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::{Mutex, Notify};

use super::assembler::Assembler;
use super::blocks::Blocks;
use super::outbox::{Outbox, SLICES};
use super::state::{Bounds, SessionState};
use crate::actors::connections::Counted;
use crate::actors::inbox::SessionKey;
use crate::domain::{ConversationId, UserId};
use crate::gateway::admission::Permit;
use crate::gateway::user_connections::UserConnection;
use crate::protocol::Encoding;

/// How far a connection is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// It is not.
    No,
    /// A close frame is queued; nothing is queued behind it, nothing is obeyed any more.
    Closing,
    /// The close frame is written and our side shut; what the client still sends is read away, so that no reset
    /// overtakes the close frame.
    Lingering { until_ms: u64 },
    /// It is over.
    Over,
}

/// Answers that are too large to be queued at once wait here, one behind another.
#[derive(Debug, Default)]
pub struct Queue {
    /// Told when the outbox may have room, and at the end.
    pub room: Notify,
    /// One such answer is under way at a time.
    pub turn: Mutex<()>,
}

/// How long a client has to answer a close.
pub const LINGER_MS: u64 = 2_000;

/// See the module's documentation.
pub struct Connection {
    /// The session's rules.
    pub state: RefCell<SessionState>,
    /// How frames are encoded.
    pub encoding: Encoding,
    /// The channels this session is subscribed to.
    pub channels: RefCell<Vec<ConversationId>>,
    /// Puts fragments together.
    pub assembler: RefCell<Assembler>,
    /// Bytes of an incomplete frame; empty otherwise.
    pub carry: RefCell<BytesMut>,
    /// Of whom it is told nothing.
    pub blocks: RefCell<Blocks>,
    /// Presence may have been lost on the way to the client: what is watched is told anew.
    pub presence_lost: Cell<bool>,
    /// Its place among the hellos under way.
    pub permit: Cell<Option<Permit>>,
    /// Its place among the connections of its user.
    pub user_connection: Cell<Option<UserConnection>>,
    /// Whose connection it is, past the proxies that are believed.
    pub address: IpAddr,
    /// When it was upgraded, until its hello has ended one way or the other.
    pub opened_us: Cell<Option<u64>>,
    _counted: Counted,
    stream: TcpStream,
    outbox: RefCell<Outbox>,
    queue: RefCell<Option<Rc<Queue>>>,
    key: Cell<SessionKey>,
    user: Cell<Option<UserId>>,
    task: RefCell<Option<Waker>>,
    ending: Cell<Ending>,
    blocked_since_ms: Cell<Option<u64>>,
    read_paused: Cell<bool>,
    next_look_ms: Cell<u64>,
    touched: Cell<bool>,
    read_away_bytes: Cell<usize>,
    shown: Cell<(usize, bool)>,
}

impl Connection {
    /// A connection over a socket that has just been upgraded.
    pub fn new(
        stream: TcpStream,
        encoding: Encoding,
        state: SessionState,
        leftover: BytesMut,
        address: IpAddr,
        counted: Counted,
        opened_us: u64,
    ) -> Self {
        Self {
            state: RefCell::new(state),
            encoding,
            channels: RefCell::default(),
            assembler: RefCell::default(),
            carry: RefCell::new(leftover),
            blocks: RefCell::default(),
            presence_lost: Cell::new(false),
            permit: Cell::new(None),
            user_connection: Cell::new(None),
            address,
            opened_us: Cell::new(Some(opened_us)),
            _counted: counted,
            stream,
            outbox: RefCell::default(),
            queue: RefCell::default(),
            key: Cell::new(SessionKey { slot: u32::MAX, generation: 0 }),
            user: Cell::new(None),
            task: RefCell::default(),
            ending: Cell::new(Ending::No),
            blocked_since_ms: Cell::new(None),
            read_paused: Cell::new(false),
            next_look_ms: Cell::new(u64::MAX),
            touched: Cell::new(false),
            read_away_bytes: Cell::new(0),
            shown: Cell::new((0, false)),
        }
    }

    /// The socket.
    pub const fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// The session's place at the hub.
    pub fn key(&self) -> SessionKey {
        self.key.get()
    }

    /// Gives the connection its place.
    pub fn set_key(&self, key: SessionKey) {
        self.key.set(key);
    }

    /// The user, once entered.
    pub fn user(&self) -> Option<UserId> {
        self.user.get()
    }

    /// The session has entered as `user`.
    pub fn set_user(&self, user: Option<UserId>) {
        self.user.set(user);
    }

    /// Bytes that wait for the client.
    pub fn waiting_bytes(&self) -> usize {
        self.outbox.borrow().bytes()
    }

    /// Where large answers wait; made when the first one comes.
    pub fn queue(&self) -> Rc<Queue> {
        Rc::clone(self.queue.borrow_mut().get_or_insert_default())
    }

    /// Wakes what waits for room.
    pub fn has_room(&self) {
        if let Some(queue) = &*self.queue.borrow() {
            queue.room.notify_waiters();
        }
    }

    /// What the gauges count of this connection from now on: bytes that wait, and whether it lags. Answers what they counted.
    pub fn show(&self, now: (usize, bool)) -> (usize, bool) {
        self.shown.replace(now)
    }

    /// Queues a frame, unless the connection is ending.
    pub fn push(&self, frame: Bytes) {
        if self.ending.get() == Ending::No {
            self.outbox.borrow_mut().push(frame);
        }
    }

    /// Queues the close frame; nothing follows it.
    pub fn push_close(&self, frame: Bytes) {
        if self.ending.get() == Ending::No {
            self.outbox.borrow_mut().push(frame);
            self.ending.set(Ending::Closing);
        }
    }

    /// Whether frames are still obeyed.
    pub fn is_ending(&self) -> bool {
        self.ending.get() != Ending::No
    }

    /// Whether there is nothing more to do.
    pub fn is_over(&self) -> bool {
        self.ending.get() == Ending::Over
    }

    /// Counts bytes that came after the close; answers how many that makes.
    pub fn read_away(&self, count: usize) -> usize {
        self.read_away_bytes.set(self.read_away_bytes.get() + count);
        self.read_away_bytes.get()
    }

    /// Ends at once, without a close frame.
    pub fn end(&self) {
        self.ending.set(Ending::Over);
        self.wake();
    }

    /// Whether more may be read now.
    pub fn may_read(&self, bounds: &Bounds) -> bool {
        match self.ending.get() {
            Ending::No => {
                self.waiting_bytes() <= bounds.gateway.outbox_bytes && self.state.borrow().may_read(bounds)
            }
            Ending::Closing | Ending::Lingering { .. } => true,
            Ending::Over => false,
        }
    }

    /// The read loop stopped because [`Connection::may_read`] said no.
    pub fn read_is_paused(&self) {
        self.read_paused.set(true);
    }

    /// Whether the read loop should be woken because it may read again.
    pub fn may_resume_reading(&self, bounds: &Bounds) -> bool {
        let resume = self.read_paused.get() && self.may_read(bounds);
        if resume {
            self.read_paused.set(false);
        }
        resume
    }

    /// Remembers whom to wake.
    pub fn remember_task(&self, waker: &Waker) {
        let mut task = self.task.borrow_mut();
        if !task.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *task = Some(waker.clone());
        }
    }

    /// Wakes the session's task.
    pub fn wake(&self) {
        if let Some(task) = &*self.task.borrow() {
            task.wake_by_ref();
        }
    }

    /// Writes what waits until all is written (`true`) or the socket is full (`false`). Answers bytes and system calls too.
    pub fn flush(&self, now_ms: u64) -> Flushed {
        let mut outbox = self.outbox.borrow_mut();
        let mut flushed = Flushed { drained: true, bytes: 0, writes: 0 };
        while !outbox.is_empty() && !self.is_over() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let filled = outbox.gather(&mut slices);
            // One frame is the common case in a fan-out, and a plain write is cheaper for the kernel to take in.
            let written = if filled == 1 {
                self.stream.try_write(&slices[0])
            } else {
                self.stream.try_write_vectored(&slices[..filled])
            };
            match written {
                Ok(0) => self.ending.set(Ending::Over),
                Ok(count) => {
                    outbox.advance(count);
                    flushed.bytes += count;
                    flushed.writes += 1;
                    self.blocked_since_ms.set(None);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.blocked_since_ms.get().is_none() {
                        self.blocked_since_ms.set(Some(now_ms));
                    }
                    flushed.drained = false;
                    return flushed;
                }
                Err(_) => self.ending.set(Ending::Over),
            }
        }
        drop(outbox);
        if let Ending::Closing = self.ending.get() {
            // The peer may have shut its side already; either way the connection ends.
            let shut = SockRef::from(&self.stream).shutdown(Shutdown::Write);
            let next =
                if shut.is_ok() { Ending::Lingering { until_ms: now_ms + LINGER_MS } } else { Ending::Over };
            self.ending.set(next);
        }
        flushed
    }

    /// For how long the socket has taken nothing of what waits.
    pub fn stalled_ms(&self, now_ms: u64) -> u64 {
        self.blocked_since_ms.get().map_or(0, |since| now_ms.saturating_sub(since))
    }

    /// Ends a connection whose client does not answer the close; `Some`: when to look again.
    pub fn linger(&self, now_ms: u64) -> Option<u64> {
        match self.ending.get() {
            Ending::Lingering { until_ms } if now_ms >= until_ms => {
                self.end();
                None
            }
            Ending::Lingering { until_ms } => Some(until_ms),
            // The close frame itself cannot be written.
            Ending::Closing if self.stalled_ms(now_ms) >= LINGER_MS => {
                self.end();
                None
            }
            Ending::Closing => Some(now_ms + LINGER_MS),
            Ending::No | Ending::Over => None,
        }
    }

    /// Asks to be looked at by `at_ms`; `true` when that is sooner than asked before.
    pub fn look_by(&self, at_ms: u64) -> bool {
        let sooner = at_ms < self.next_look_ms.get();
        if sooner {
            self.next_look_ms.set(at_ms);
        }
        sooner
    }

    /// When it asked to be looked at.
    pub fn next_look_ms(&self) -> u64 {
        self.next_look_ms.get()
    }

    /// Whether a look is due; clears it.
    pub fn take_look(&self, now_ms: u64) -> bool {
        let due = now_ms >= self.next_look_ms.get();
        if due {
            self.next_look_ms.set(u64::MAX);
        }
        due
    }

    /// Marks the connection as having something to flush; `true` when it was not marked.
    pub fn touch(&self) -> bool {
        !self.touched.replace(true)
    }

    /// Clears the mark.
    pub fn untouch(&self) {
        self.touched.set(false);
    }
}

/// What a flush did.
#[derive(Debug, Clone, Copy)]
pub struct Flushed {
    /// Nothing waits any more.
    pub drained: bool,
    /// Bytes written.
    pub bytes: usize,
    /// System calls that wrote.
    pub writes: u64,
}
