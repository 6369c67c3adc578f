//! A session's output: frames into its queue, the queue into the socket, and the end of the connection.

use std::rc::Rc;

use bytes::Bytes;
use tokio::sync::{Mutex, Notify};

use super::Session;
use super::connection::FlushOutcome;
use super::life::{Ending, Life};
use super::stream::ByteStream;
use crate::domain::queued::{QueuedBytes, QueuedKind, most_answer_bytes};
use crate::protocol::frame::{Opcode, close_frame, frame};
use crate::protocol::server::ServerFrame;
use crate::protocol::{Close, Error, ErrorCode, Failure, RequestId};

/// How long a client has to answer a close.
pub const LINGER_MS: u64 = 2_000;

/// The code of a connection that ends without a close frame (RFC 6455 section 7.4.1).
const NO_CLOSE_FRAME: u16 = 1006;

/// Where answers wait that are too large to be queued at once. They are sent one after another.
#[derive(Debug, Default)]
pub struct AnswerQueue {
    /// Notified when the outbox may have room, and at the end.
    pub room: Notify,
    /// Held while one such answer is sent.
    pub turn: Mutex<()>,
}

impl<S: ByteStream> Session<S> {
    /// Queues a message.
    pub(super) fn send(&self, message: &ServerFrame<'_>) {
        let kind = match message {
            ServerFrame::Welcome(_) | ServerFrame::Heads { .. } => QueuedKind::Heads,
            _ => QueuedKind::Answers,
        };
        self.push(self.connection.encoding.encode(message), kind);
    }

    /// Queues a frame, unless the connection is closing. Closes a connection that has too many answers
    /// waiting.
    pub(super) fn push(&self, frame: Bytes, kind: QueuedKind) {
        if !self.state.borrow().life.takes_frames() {
            return;
        }
        self.worker.node.meters().connections.frames_out.increment(1);
        self.connection.push(frame, kind);
        let answer_bytes = self.connection.waiting_by_kind().get(QueuedKind::Answers);
        if answer_bytes > most_answer_bytes(self.worker.bounds.gateway.outbox_bytes) {
            self.close(Close::Abuse);
        }
    }

    /// Answers a request with an error.
    pub(super) fn send_error(self: &Rc<Self>, id: Option<&RequestId>, error: &Error) {
        self.worker.node.meters().connections.errors.of(error.code.as_str()).increment(1);
        self.send(&ServerFrame::Error { id, error });
        if error.code == ErrorCode::RateLimited {
            self.decide(|state, moment, _, effects| state.on_rate_limited(moment, effects));
        }
    }

    /// Answers a request in progress with a failure.
    pub(super) fn refuse(self: &Rc<Self>, id: &RequestId, failure: Failure) {
        self.state.borrow_mut().on_answered();
        self.send_error(Some(id), &failure.into());
    }

    /// Closes the connection: queues the close frame, and nothing after it.
    pub(super) fn close(&self, close: Close) {
        self.state.borrow_mut().life.close();
        self.queue_close(close);
    }

    /// Queues the close frame that was decided on.
    pub(super) fn queue_close(&self, close: Close) {
        if !self.state.borrow_mut().life.write_close() {
            return;
        }
        self.hello_ended(match close {
            Close::Unauthenticated | Close::Banned => "unauthenticated",
            Close::TimedOut => "timeout",
            Close::Internal | Close::Busy | Close::Release => "unavailable",
            Close::Bye
            | Close::Framing
            | Close::WrongKind
            | Close::NotUtf8
            | Close::TooLarge
            | Close::NotTidings
            | Close::Abuse => "not_a_hello",
        });
        self.count_close(close.code());
        rare!(CloseBehindQueuedFrames, self.waiting_bytes() > 0);
        self.connection.push(close_frame(close), QueuedKind::Answers);
        self.wake();
    }

    /// The client closes the connection. The server repeats its code.
    pub(super) fn answer_close(&self, code: Option<u16>) {
        let mut state = self.state.borrow_mut();
        state.life.close();
        if state.life.write_close() {
            self.count_close(code.unwrap_or(1000));
            let payload = code.map_or_else(Vec::new, |code| code.to_be_bytes().to_vec());
            self.connection.push(frame(Opcode::Close, &payload), QueuedKind::Answers);
        }
    }

    fn count_close(&self, code: u16) {
        let mut text = [0_u8; 5];
        self.worker.node.meters().connections.closes.of(decimal(code, &mut text)).increment(1);
    }

    /// Counts the result of the hello, once, and releases its permit.
    pub(super) fn hello_ended(&self, result: &str) {
        let Some(hello) = self.hello.take() else { return };
        let meters = &self.worker.node.meters().connections;
        meters.hellos.of(result).increment(1);
        if result == "welcome" {
            let now_us = self.worker.node.environment().monotonic_us();
            meters.hello_latency.record_since_us(hello.opened_us, now_us);
        }
    }

    /// Writes waiting bytes. Returns `true` if none is left.
    pub fn flush(self: &Rc<Self>) -> bool {
        if self.is_over() {
            return true;
        }
        let now_ms = self.worker.now_ms();
        let flushed = self.connection.flush(now_ms);
        match flushed.outcome {
            FlushOutcome::Broken => {
                rare!(SocketBreaksDuringAWrite);
                if !self.is_closing() {
                    self.count_close(NO_CLOSE_FRAME);
                }
                self.end();
            }
            FlushOutcome::Drained => self.shut_down_when_closed(now_ms),
            FlushOutcome::Blocked => {}
        }
        if flushed.writes > 0 {
            let meters = &self.worker.node.meters().connections;
            meters.writes.increment(flushed.writes);
            meters.bytes_out.increment(flushed.bytes as u64);
        }
        let blocked = flushed.outcome == FlushOutcome::Blocked;
        if let Some(until_ms) = self.linger_deadline_ms(now_ms) {
            self.schedule(until_ms);
        } else if blocked {
            self.schedule(now_ms + self.worker.bounds.gateway.write_deadline_ms);
        }
        let waiting_bytes = self.connection.waiting_bytes();
        let lags = self.state.borrow().life.is_draining();
        self.show(self.connection.waiting_by_kind(), lags);
        let bounds = &self.worker.bounds.gateway;
        if waiting_bytes <= self.room_bytes() {
            self.has_room();
        }
        if lags && waiting_bytes <= bounds.lag_resume_bytes {
            self.catch_up();
        }
        !blocked
    }

    /// Writes waiting bytes outside the session's own task, and wakes the task for the rest: to wait for a
    /// full socket, to read, to end.
    pub fn flush_or_wake(self: &Rc<Self>) {
        if !self.flush() || self.is_over() || self.may_resume_reading() {
            self.wake();
        }
    }

    /// Shuts our side after the close frame is written.
    fn shut_down_when_closed(&self, now_ms: u64) {
        let mut state = self.state.borrow_mut();
        if let Life::Closing(Ending::Writing) = state.life {
            // The peer may have shut its side already. The connection ends in both cases.
            match self.connection.stream().shut_down_write() {
                Ok(()) => state.life.linger(now_ms + LINGER_MS),
                Err(_) => state.life.end(),
            }
        }
    }

    /// Ends a connection whose client does not answer the close. `Some`: when to check again.
    pub(super) fn linger_deadline_ms(&self, now_ms: u64) -> Option<u64> {
        let Life::Closing(ending) = self.state.borrow().life else { return None };
        match ending {
            Ending::Lingering { until_ms } if now_ms < until_ms => Some(until_ms),
            // The close frame itself cannot be written.
            Ending::Writing if self.connection.stalled_ms(now_ms) < LINGER_MS => Some(now_ms + LINGER_MS),
            Ending::Lingering { .. } | Ending::Writing => {
                rare!(CloseUnanswered);
                self.end();
                None
            }
            Ending::Decided | Ending::Over => None,
        }
    }

    /// A long answer goes on while no more than this waits.
    pub(super) fn room_bytes(&self) -> usize {
        self.account.budget().room_bytes(self.worker.bounds.gateway.outbox_bytes)
    }

    /// Whether the queue has no room for more of an answer after everything that can be written was written.
    pub(super) fn is_full(self: &Rc<Self>) -> bool {
        if self.connection.waiting_bytes() > self.room_bytes() {
            self.flush();
        }
        self.connection.waiting_bytes() > self.room_bytes()
    }

    /// Too much waits for all clients together, and more for this one than for others: the live events that
    /// wait are dropped, and the client reads them from the log.
    pub(super) fn give_way(self: &Rc<Self>) {
        if self.connection.drop_live() == 0 {
            return;
        }
        rare!(LiveQueueGivesWay);
        self.account.gave_way(QueuedKind::Live);
        // Signals were among them.
        self.presence_lost.set(true);
        let lags = self.state.borrow_mut().life.lag();
        if lags {
            self.worker.node.meters().delivery.lags.increment(1);
            self.send(&ServerFrame::Lagging { conversation: None });
        }
    }

    /// The queue of large answers.
    pub(super) fn answers(&self) -> Rc<AnswerQueue> {
        Rc::clone(self.answers.borrow_mut().get_or_insert_default())
    }

    /// Wakes an answer that waits for room.
    fn has_room(&self) {
        if let Some(queue) = &*self.answers.borrow() {
            queue.room.notify_waiters();
        }
    }

    /// Accounts for what waits, and for a lagging connection. Usually nothing changed, and nothing is
    /// written.
    fn show(&self, waiting: QueuedBytes, lags: bool) {
        self.account.set(waiting);
        let before = self.shown_lagging.replace(lags);
        if before != lags {
            let meters = self.worker.node.meters();
            meters.delivery.lagging.increment(f64::from(u8::from(lags)) - f64::from(u8::from(before)));
        }
    }

    /// Ends at once, without a close frame. The task removes the session everywhere.
    pub(super) fn end(&self) {
        self.state.borrow_mut().life.end();
        self.wake();
    }

    /// The connection is over: the session is removed everywhere.
    pub(super) fn leave(self: &Rc<Self>) {
        let abrupt = !self.is_closing();
        self.state.borrow_mut().life.end();
        let worker = &self.worker;
        if !worker.directory.remove(self) {
            return;
        }
        self.show(QueuedBytes::default(), false);
        if abrupt {
            self.count_close(NO_CLOSE_FRAME);
        }
        worker.node.meters().connections.open.decrement(1.0);
        self.hello_ended("gone");
        self.has_room();
        let entered = self.user_connection.take();
        for channel in self.channels.take() {
            worker.directory.leave_channel(channel, self);
        }
        let watched = self.state.borrow().watches.all();
        for user in watched {
            self.unwatch(user);
        }
        if let Some(user) = entered.and(self.user()) {
            worker.directory.leave_user(user, self);
            let device = self.state.borrow().device();
            worker.node.presence().disconnected(user, device);
            worker.node.typing().connection_ended(user, (worker.id, self.key()));
        }
    }

    /// The session's work panicked. Its rules may be half applied, so they are not used any more: the client
    /// is asked to reconnect, and the session's task removes the session everywhere.
    pub fn panicked(self: &Rc<Self>) {
        self.worker.node.meters().faults.panics.of("session").increment(1);
        let now_ms = self.worker.now_ms();
        self.worker.node.offenders().note(self.address, now_ms);
        self.close(Close::Internal);
        // Once, without waiting. A client whose socket is full learns it from the end of the connection.
        self.connection.flush(now_ms);
        self.end();
    }
}

/// A number's decimal digits, without an allocation.
fn decimal(mut number: u16, buffer: &mut [u8; 5]) -> &str {
    let mut at = buffer.len();
    loop {
        at -= 1;
        buffer[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    std::str::from_utf8(&buffer[at..]).unwrap_or_default()
}
