//! The session actor: the path of a frame from the socket through the rules and back to the socket.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::BytesMut;

use super::assembler::Incoming;
use super::blocks::Blocks;
use super::connection::Connection;
use super::effect::Effect;
use super::life::Life;
use super::mailbox::Mailbox;
use super::output::{AnswerQueue, LINGER_MS};
use super::requests::HelloInProgress;
use super::state::{Moment, SessionState};
use super::stream::ByteStream;
use super::worker::Worker;
use crate::actors::byte_budget::Account;
use crate::actors::connections::Place;
use crate::actors::inbox::SessionKey;
use crate::domain::queued::QueuedKind;
use crate::domain::{ClientAddress, ConversationId, SessionId, UserId};
use crate::gateway::Bounds;
use crate::gateway::user_connections::UserConnection;
use crate::panics;
use crate::protocol::frame::{Opcode, frame};
use crate::protocol::{Close, Encoding};

/// The actor of one connection. Its task and the hub of its thread hold it; others hold it only briefly.
pub struct Session<S> {
    pub(super) worker: Rc<Worker<S>>,
    pub(super) connection: Connection<S>,
    /// The rules, and where the session is in its life.
    pub(super) state: RefCell<SessionState>,
    pub(super) mailbox: Mailbox,
    /// The channels that this session is subscribed to.
    pub(super) channels: RefCell<Vec<ConversationId>>,
    /// The users whose signals it is not sent.
    pub(super) blocks: RefCell<Blocks>,
    /// Presence may have been lost on the way to the client: the presence of all watched users must be sent
    /// again.
    pub(super) presence_lost: Cell<bool>,
    /// The client's address, past the proxies that are believed.
    pub(super) address: ClientAddress,
    /// Exists until the hello has ended, with a welcome or not.
    pub(super) hello: Cell<Option<Box<HelloInProgress>>>,
    /// Counts as one of the connections that its user may have. Exists once the session has entered.
    pub(super) user_connection: Cell<Option<UserConnection>>,
    /// How often the log had been replaced here when its last heads were asked for.
    pub(super) log_changes: Cell<u64>,
    /// Where large answers wait. Made when the first one comes.
    pub(super) answers: RefCell<Option<Rc<AnswerQueue>>>,
    /// What waits for its client, among what waits for all clients.
    pub(super) account: Account,
    /// Whether it counts in the gauge of lagging connections.
    pub(super) shown_lagging: Cell<bool>,
    /// When the hub calls [`Session::on_timer`] next, on the monotonic clock.
    pub(super) next_timer_ms: Cell<u64>,
    key: Cell<SessionKey>,
    task: RefCell<Option<Waker>>,
    read_paused: Cell<bool>,
    touched: Cell<bool>,
    _place: Place,
}

/// Reads in one turn before other tasks of the thread may run.
const READS_PER_TURN: usize = 16;

impl<S: ByteStream> Session<S> {
    /// A session over a stream that has just been upgraded. `leftover`: bytes that the client sent directly
    /// after its handshake.
    pub fn new(
        worker: &Rc<Worker<S>>,
        stream: S,
        encoding: Encoding,
        bearer: Option<String>,
        leftover: BytesMut,
        place: Place,
    ) -> Rc<Self> {
        let environment = worker.node.environment();
        let id = SessionId::from_uuid(environment.new_uuid());
        let patience_ms = worker.bounds.gateway.write_deadline_ms + LINGER_MS;
        if let Err(error) = stream.give_up_after(Duration::from_millis(patience_ms)) {
            tracing::debug!(%error, "the TCP user timeout of a socket could not be set");
        }
        Rc::new(Self {
            connection: Connection::new(stream, encoding, leftover),
            state: RefCell::new(SessionState::new(id, bearer, worker.moment(), &worker.bounds)),
            mailbox: Mailbox::default(),
            channels: RefCell::default(),
            blocks: RefCell::default(),
            presence_lost: Cell::new(false),
            address: place.address(),
            hello: Cell::new(Some(Box::new(HelloInProgress::new(environment.monotonic_us())))),
            user_connection: Cell::new(None),
            log_changes: Cell::new(0),
            answers: RefCell::default(),
            account: worker.node.budget().account(),
            shown_lagging: Cell::new(false),
            next_timer_ms: Cell::new(u64::MAX),
            key: Cell::new(SessionKey { slot: u32::MAX, generation: 0 }),
            task: RefCell::default(),
            read_paused: Cell::new(false),
            touched: Cell::new(false),
            _place: place,
            worker: Rc::clone(worker),
        })
    }

    /// Bytes that wait for its client.
    pub fn waiting_bytes(&self) -> usize {
        self.connection.waiting_bytes()
    }

    /// Looks at where it is in its life.
    pub fn with_life<T>(&self, look: impl FnOnce(&Life) -> T) -> T {
        look(&self.state.borrow().life)
    }

    /// Starts the session's task on this thread. The hub has given the session its key.
    pub fn start(self: &Rc<Self>) {
        self.schedule_rules();
        self.worker.node.meters().connections.open.increment(1.0);
        actix_rt::spawn(Task(Rc::clone(self)));
    }

    /// One turn of the task: the mailbox, then frames from the client, then waiting bytes to the client.
    /// Ready when the connection is over.
    fn turn(self: &Rc<Self>, task: &mut Context<'_>) -> Poll<()> {
        self.handle_mailbox();
        if self.read_frames(task).is_ready() {
            return Poll::Ready(());
        }
        self.write_frames(task);
        if self.account.poll_asked(task).is_ready() {
            self.give_way();
            task.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Reads and handles frames while the rules allow it. Ready when the connection is over.
    fn read_frames(self: &Rc<Self>, task: &mut Context<'_>) -> Poll<()> {
        for _ in 0..READS_PER_TURN {
            if self.is_over() {
                return Poll::Ready(());
            }
            if self.may_read() {
                self.connection.handle_kept(|kept| self.handle_frames(kept));
            }
            if !self.may_read() {
                rare!(
                    ReadingPausedByRequests,
                    self.state.borrow().in_flight >= self.worker.bounds.gateway.in_flight_requests
                );
                rare!(
                    ReadingPausedByTheOutbox,
                    self.waiting_bytes() > self.worker.bounds.gateway.outbox_bytes
                );
                self.read_paused.set(true);
                return Poll::Pending;
            }
            match self.connection.stream().poll_readable(task) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) => {}
            }
            match self.read_once() {
                Ok(0) => return Poll::Ready(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Poll::Ready(()),
            }
        }
        task.waker().wake_by_ref();
        Poll::Pending
    }

    fn read_once(self: &Rc<Self>) -> io::Result<usize> {
        if self.is_closing() {
            return self.connection.read_and_drop(&self.worker.scratch);
        }
        let count = self.connection.read(&self.worker.scratch, |read| self.handle_frames(read))?;
        self.worker.node.meters().connections.bytes_in.increment(count as u64);
        Ok(count)
    }

    /// Handles the complete messages in `source` while the rules allow it.
    fn handle_frames(self: &Rc<Self>, source: &mut BytesMut) {
        while self.may_read() {
            if self.is_closing() {
                rare!(FramesUnreadAtTheClose, !source.is_empty());
                source.clear();
                return;
            }
            match self.connection.next_message(source, self.worker.bounds.limits.frame_bytes) {
                Ok(Some(incoming)) => self.handle_message(incoming),
                Ok(None) => return,
                Err(close) => {
                    source.clear();
                    self.close(close);
                    return;
                }
            }
        }
    }

    fn handle_message(self: &Rc<Self>, incoming: Incoming) {
        let encoding = self.connection.encoding;
        let payload = match (incoming, encoding) {
            (Incoming::Text(payload), Encoding::Json)
            | (Incoming::Binary(payload), Encoding::MessagePack) => payload,
            (Incoming::Text(_) | Incoming::Binary(_), _) => return self.close(Close::WrongKind),
            (Incoming::Ping(payload), _) => {
                self.state.borrow_mut().on_sign_of_life();
                return self.push(frame(Opcode::Pong, &payload), QueuedKind::Answers);
            }
            (Incoming::Pong, _) => return self.state.borrow_mut().on_sign_of_life(),
            (Incoming::Close(code), _) => return self.answer_close(code),
        };
        panics::point("frame");
        let decoded = encoding.decode(&payload);
        if let Ok(request) = &decoded {
            self.worker.node.meters().connections.frames_in.of(request.name()).increment(1);
        }
        self.decide(|state, moment, bounds, effects| state.on_frame(decoded, moment, bounds, effects));
    }

    /// Lets the rules decide, and performs their effects.
    pub(super) fn decide(
        self: &Rc<Self>,
        rule: impl FnOnce(&mut SessionState, Moment, &Bounds, &mut Vec<Effect>),
    ) {
        let mut effects = self.worker.effects.take();
        rule(&mut self.state.borrow_mut(), self.worker.moment(), &self.worker.bounds, &mut effects);
        for effect in effects.drain(..) {
            self.carry_out(effect);
        }
        self.worker.effects.replace(effects);
    }

    /// Writes waiting bytes, all of them in one vectored write, until none waits or the socket is full.
    fn write_frames(self: &Rc<Self>, task: &mut Context<'_>) {
        loop {
            let drained = self.flush();
            if self.is_over() || self.may_resume_reading() {
                return task.waker().wake_by_ref();
            }
            if drained {
                return;
            }
            match self.connection.stream().poll_writable(task) {
                Poll::Pending => return,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => self.end(),
            }
        }
    }

    /// Whether more may be read now.
    fn may_read(&self) -> bool {
        let state = self.state.borrow();
        if state.life.is_closing() {
            return !state.life.is_over();
        }
        let bounds = &self.worker.bounds;
        !self.worker.stops_reading.get()
            && state.may_read(bounds)
            && self.connection.waiting_bytes() <= bounds.gateway.outbox_bytes
    }

    /// Whether reading stopped because of the rules or the queue, and may continue.
    pub(super) fn may_resume_reading(&self) -> bool {
        let resume = self.read_paused.get() && self.may_read();
        if resume {
            self.read_paused.set(false);
        }
        resume
    }

    /// Wakes the session's task.
    pub fn wake(&self) {
        if let Some(task) = &*self.task.borrow() {
            task.wake_by_ref();
        }
    }

    fn remember_task(&self, waker: &Waker) {
        let mut task = self.task.borrow_mut();
        if !task.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *task = Some(waker.clone());
        }
    }

    /// Whether the session is subscribed to a channel.
    pub fn reads_channel(&self, channel: ConversationId) -> bool {
        self.channels.borrow().contains(&channel)
    }

    /// The session's user, once the token was checked.
    pub fn user(&self) -> Option<UserId> {
        self.state.borrow().user()
    }

    /// Whether the topics of its user are subscribed to.
    pub(super) fn has_entered(&self) -> bool {
        let entered = self.user_connection.take();
        let has = entered.is_some();
        self.user_connection.set(entered);
        has
    }

    /// Whether a request of its client is not answered yet.
    pub fn has_requests(&self) -> bool {
        self.state.borrow().in_flight > 0
    }

    /// Whether the connection is ending.
    pub fn is_closing(&self) -> bool {
        self.state.borrow().life.is_closing()
    }

    /// Whether the connection has ended.
    pub fn is_over(&self) -> bool {
        self.state.borrow().life.is_over()
    }

    /// The session's key in its hub.
    pub const fn key(&self) -> SessionKey {
        self.key.get()
    }

    /// The hub gives the session its key.
    pub fn set_key(&self, key: SessionKey) {
        self.key.set(key);
    }

    /// Marks the session as having something to write. Returns `true` if it was not marked before.
    pub fn touch(&self) -> bool {
        !self.touched.replace(true)
    }

    /// Removes the mark.
    pub fn untouch(&self) {
        self.touched.set(false);
    }
}

/// Drives a session. A panic in its work ends only this session.
struct Task<S: ByteStream>(Rc<Session<S>>);

impl<S: ByteStream> Future for Task<S> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<()> {
        let session = &self.0;
        session.remember_task(task.waker());
        match panics::caught(|| session.turn(task)) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(())) => {}
            Err(_) => session.panicked(),
        }
        session.leave();
        Poll::Ready(())
    }
}
