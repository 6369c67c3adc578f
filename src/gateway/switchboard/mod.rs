//! Switchboard: one per worker thread; knows the thread's sessions, feeds them, and carries out what they ask for.
//!
//! - *Owns*: the registry of the thread's sessions by user, channel and watched user ([`registry`]); their timer wheel; the
//!   scratch buffer they read into.
//! - *Receives*: batches from the worker's inbox; frames and effects of its sessions.
//! - *Emits*: frames into sessions' queues, one flush per session and batch; jobs to the writer; subscriptions to the router.
//! - *Limits*: the inbox's bound; connections per user; requests under way per session; sessions that catch up, or whose rights
//!   are read again, at once.
//! - *On restart*: goes with its thread and its connections.
//! - *On full*: an inbox that overflowed makes every session compare heads.

mod distribute;
mod enter;
mod one;
mod perform;
mod ranges;
mod registry;
mod requests;
mod rights;
mod telling;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use self::registry::Registry;
use self::rights::Endings;
use super::assembler::Incoming;
use super::doorman::Doorman;
use super::line::{LINGER_MS, Line};
use super::session::Session;
use super::session::effect::Effect;
use super::session::state::{Bounds, Moment, SessionState};
use super::socket::give_up_after;
use super::wheel::{SLOT_MS, Wheel};
use crate::actors::Node;
use crate::actors::inbox::SessionKey;
use crate::actors::router::interest::WorkerId;
use crate::domain::{SessionId, Topic};
use crate::identity::Identity;
use crate::panics;
use crate::protocol::frame::{Opcode, close_frame, frame};
use crate::protocol::server::ServerFrame;
use crate::protocol::{Close, Encoding, Failure};

/// Bytes read at once; one buffer serves all sessions of a thread.
const SCRATCH_BYTES: usize = 64 * 1024;
/// Bytes read away behind a close.
const LINGER_BYTES: usize = 16 * 1024 * 1024;
/// Sessions of a thread that catch up at once.
const CATCH_UPS: usize = 16;
/// Sessions of a thread of which it is asked at once whom they may be told of.
const REVIEWS: usize = 4;
/// Sessions flushed before other tasks of the thread have their turn.
const FLUSHES_PER_TURN: usize = 256;

/// See the module's documentation.
pub struct Switchboard {
    worker: WorkerId,
    node: Node,
    identity: Identity,
    doorman: Arc<Doorman>,
    bounds: Rc<Bounds>,
    /// Sessions that read heads at once because they missed something; the others wait their turn, their events held.
    catch_ups: Semaphore,
    /// Sessions whose rights are read again at once.
    reviews: Semaphore,
    /// Whom the last ends of memberships and blocks concerned.
    endings: RefCell<Endings>,
    registry: RefCell<Registry>,
    wheel: RefCell<Wheel>,
    scratch: RefCell<BytesMut>,
    effects: RefCell<Vec<Effect>>,
    touched: RefCell<Vec<Rc<Line>>>,
    draining: Cell<bool>,
}

impl Switchboard {
    /// Starts the switchboard of this thread: its inbox is emptied and its wheel turned from now on.
    pub fn start(
        worker: WorkerId,
        node: Node,
        identity: Identity,
        doorman: Arc<Doorman>,
        bounds: Bounds,
    ) -> Rc<Self> {
        let now_ms = node.environment().monotonic_ms();
        let switchboard = Rc::new(Self {
            worker,
            node,
            identity,
            doorman,
            bounds: Rc::new(bounds),
            catch_ups: Semaphore::new(CATCH_UPS),
            reviews: Semaphore::new(REVIEWS),
            endings: RefCell::default(),
            registry: RefCell::default(),
            wheel: RefCell::new(Wheel::new(now_ms)),
            scratch: RefCell::new(BytesMut::with_capacity(SCRATCH_BYTES)),
            effects: RefCell::default(),
            touched: RefCell::default(),
            draining: Cell::new(false),
        });
        actix_rt::spawn(Rc::clone(&switchboard).empty_inbox());
        actix_rt::spawn(Rc::clone(&switchboard).turn_wheel());
        switchboard
    }

    /// What bounds its sessions.
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Whether no new connection is taken.
    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Who lets connections in.
    pub(super) fn doorman(&self) -> &Doorman {
        &self.doorman
    }

    /// Counts an upgrade that was answered with an HTTP error.
    pub(super) fn count_refused_upgrade(&self, reason: &str) {
        self.node.meters().connections.upgrades_refused.of(reason).increment(1);
    }

    /// Counts somebody whom the doorman turned away.
    pub(super) fn count_turned_away(&self, failure: &Failure) {
        let load = &self.node.meters().load;
        match failure {
            Failure::RateLimited { .. } => load.rate_limited.of("hello").increment(1),
            _ => load.sheds.of("hellos").increment(1),
        }
    }

    /// How many sessions there are.
    pub fn sessions(&self) -> usize {
        self.registry.borrow().len()
    }

    fn moment(&self) -> Moment {
        let environment = self.node.environment();
        Moment { mono_ms: environment.monotonic_ms(), now: environment.now() }
    }

    /// Takes over an upgraded connection. `leftover`: bytes the client sent right behind its handshake.
    pub fn open(
        self: &Rc<Self>,
        stream: TcpStream,
        encoding: Encoding,
        bearer: Option<String>,
        leftover: BytesMut,
        address: IpAddr,
    ) {
        let moment = self.moment();
        let id = SessionId::from_uuid(self.node.environment().new_uuid());
        let state = SessionState::new(id, bearer, moment, &self.bounds);
        let deadline_ms = state.next_deadline_ms(&self.bounds);
        let opened_us = self.node.environment().monotonic_us();
        let line = Rc::new(Line::new(
            stream,
            encoding,
            state,
            leftover,
            address,
            self.node.connections().count(),
            opened_us,
        ));
        let patience_ms = self.bounds.gateway.write_deadline_ms + LINGER_MS;
        if let Err(error) = give_up_after(line.stream(), Duration::from_millis(patience_ms)) {
            tracing::debug!(%error, "a socket's patience could not be set");
        }
        self.registry.borrow_mut().insert(&line);
        self.look_at(&line, deadline_ms);
        self.node.meters().connections.open.increment(1.0);
        Session::start_on(line, Rc::clone(self));
    }

    /// A connection is over: everything that knew of it forgets it.
    pub(super) fn forget(&self, line: &Rc<Line>) {
        let abrupt = !line.is_ending();
        line.end();
        let removed = self.registry.borrow_mut().remove(line);
        if !removed {
            return;
        }
        self.show(line, (0, false));
        if abrupt {
            self.count_close(NO_CLOSE_FRAME);
        }
        let meters = self.node.meters();
        meters.connections.open.decrement(1.0);
        self.hello_ended(line, "gone");
        line.has_room();
        line.seat.take();
        let channels = line.channels.take();
        for channel in channels {
            self.registry.borrow_mut().leave_channel(channel, line);
            self.node.router().unsubscribe(self.worker, Topic::Channel(channel));
        }
        let watched = line.state.borrow().watches.all();
        for user in watched {
            self.unwatch(line, user);
        }
        if let Some(user) = line.user() {
            self.registry.borrow_mut().leave_user(user, line);
            self.node.router().unsubscribe(self.worker, Topic::User(user));
            let device = line.state.borrow().device();
            self.node.presence().went(user, device);
            self.node.typing().gone(user, (self.worker, line.key()));
        }
    }

    /// Reads once from a line's socket and obeys what is complete. Answers the bytes read; 0: the client is gone.
    pub(super) fn read(self: &Rc<Self>, line: &Rc<Line>) -> io::Result<usize> {
        if line.is_ending() {
            return self.read_away(line);
        }
        let mut carry = line.carry.take();
        if !carry.is_empty() {
            carry.reserve(SCRATCH_BYTES / 16);
            let read = line.stream().try_read_buf(&mut carry);
            self.obey(line, &mut carry);
            *line.carry.borrow_mut() = if carry.is_empty() { BytesMut::new() } else { carry };
            return read;
        }
        let mut scratch = self.scratch.take();
        scratch.clear();
        // All frames cut from the buffer are dropped by now, so this takes the same memory back.
        scratch.reserve(SCRATCH_BYTES);
        let read = line.stream().try_read_buf(&mut scratch);
        if read.is_ok() {
            self.obey(line, &mut scratch);
            if !scratch.is_empty() {
                *line.carry.borrow_mut() = BytesMut::from(&scratch[..]);
            }
        }
        self.scratch.replace(scratch);
        if let Ok(count) = &read {
            self.node.meters().connections.bytes_in.increment(*count as u64);
        }
        read
    }

    /// Takes what a client still sends after the close, so that no reset overtakes the close frame; only so much of it.
    fn read_away(&self, line: &Line) -> io::Result<usize> {
        let mut scratch = self.scratch.take();
        scratch.clear();
        scratch.reserve(SCRATCH_BYTES);
        let read = line.stream().try_read_buf(&mut scratch);
        self.scratch.replace(scratch);
        match read {
            Ok(count) if line.read_away(count) > LINGER_BYTES => Ok(0),
            read => read,
        }
    }

    /// Obeys what was read before and not yet obeyed: what came glued to the handshake, and what was left when the session's
    /// rules let no more requests in.
    pub(super) fn obey_carried(self: &Rc<Self>, line: &Rc<Line>) {
        let mut carry = line.carry.take();
        if !carry.is_empty() {
            self.obey(line, &mut carry);
            *line.carry.borrow_mut() = if carry.is_empty() { BytesMut::new() } else { carry };
        }
    }

    /// Obeys the complete messages in `source` while the session's rules let it.
    fn obey(self: &Rc<Self>, line: &Rc<Line>, source: &mut BytesMut) {
        while line.may_read(&self.bounds) {
            if line.is_ending() {
                source.clear();
                return;
            }
            let next = line.assembler.borrow_mut().next(source, self.bounds.limits.frame_bytes);
            match next {
                Ok(Some(incoming)) => self.on_incoming(line, incoming),
                Ok(None) => return,
                Err(close) => {
                    source.clear();
                    self.close(line, close);
                    return;
                }
            }
        }
    }

    fn on_incoming(self: &Rc<Self>, line: &Rc<Line>, incoming: Incoming) {
        let payload = match (incoming, line.encoding) {
            (Incoming::Text(payload), Encoding::Json)
            | (Incoming::Binary(payload), Encoding::MessagePack) => payload,
            (Incoming::Text(_) | Incoming::Binary(_), _) => return self.close(line, Close::WrongKind),
            (Incoming::Ping(payload), _) => {
                line.state.borrow_mut().on_sign_of_life();
                return line.push(frame(Opcode::Pong, &payload));
            }
            (Incoming::Pong, _) => return line.state.borrow_mut().on_sign_of_life(),
            (Incoming::Close(code), _) => {
                let answer = code.map_or_else(Vec::new, |code| code.to_be_bytes().to_vec());
                self.count_close(code.unwrap_or(1000));
                return line.push_close(frame(Opcode::Close, &answer));
            }
        };
        panics::point("frame");
        let decoded = line.encoding.decode(&payload);
        if let Ok(request) = &decoded {
            self.node.meters().connections.frames_in.of(request.name()).increment(1);
        }
        self.decide(line, |state, moment, bounds, effects| state.on_frame(decoded, moment, bounds, effects));
    }

    /// Lets a session's rules decide, and carries out what they want.
    fn decide(
        self: &Rc<Self>,
        line: &Rc<Line>,
        rule: impl FnOnce(&mut SessionState, Moment, &Bounds, &mut Vec<Effect>),
    ) {
        let mut effects = self.effects.take();
        rule(&mut line.state.borrow_mut(), self.moment(), &self.bounds, &mut effects);
        for effect in effects.drain(..) {
            self.perform(line, effect);
        }
        self.effects.replace(effects);
    }

    /// Queues a frame for one session.
    fn say(&self, line: &Line, message: &ServerFrame<'_>) {
        self.push(line, line.encoding.encode(message));
    }

    fn push(&self, line: &Line, frame: Bytes) {
        self.node.meters().connections.frames_out.increment(1);
        line.push(frame);
    }

    /// Counts how a connection's hello ended, the first time this is said of it, and gives its place on.
    fn hello_ended(&self, line: &Line, result: &str) {
        line.place.take();
        let Some(opened_us) = line.opened_us.take() else { return };
        let meters = &self.node.meters().connections;
        meters.hellos.of(result).increment(1);
        if result == "welcome" {
            meters.hello_latency.record_since_us(opened_us, self.node.environment().monotonic_us());
        }
    }

    fn close(&self, line: &Line, close: Close) {
        if line.is_ending() {
            return;
        }
        self.hello_ended(
            line,
            match close {
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
            },
        );
        self.count_close(close.code());
        line.push_close(close_frame(close));
        line.wake();
    }

    fn count_close(&self, code: u16) {
        let mut text = [0_u8; 5];
        self.node.meters().connections.closes.of(decimal(code, &mut text)).increment(1);
    }

    /// Writes what waits for a session; `true` when nothing waits any more.
    pub(super) fn flush(self: &Rc<Self>, line: &Rc<Line>) -> bool {
        let now_ms = self.node.environment().monotonic_ms();
        let ending = line.is_ending();
        let flushed = line.flush(now_ms);
        if line.is_over() && !ending {
            self.count_close(NO_CLOSE_FRAME);
        }
        self.show(line, (line.waiting_bytes(), line.state.borrow().feed.is_lagging()));
        if flushed.writes > 0 {
            let meters = &self.node.meters().connections;
            meters.writes.increment(flushed.writes);
            meters.bytes_out.increment(flushed.bytes as u64);
        }
        if let Some(until_ms) = line.linger(now_ms) {
            self.look_at(line, until_ms);
        } else if !flushed.drained {
            self.look_at(line, now_ms + self.bounds.gateway.write_deadline_ms);
        }
        if line.waiting_bytes() <= self.bounds.gateway.outbox_bytes {
            line.has_room();
        }
        if line.waiting_bytes() <= self.bounds.gateway.lag_resume_bytes
            && line.state.borrow().feed.is_lagging()
        {
            self.perform(line, Effect::CatchUp);
        }
        flushed.drained
    }

    /// Keeps the gauges of queued bytes and lagging connections. Mostly nothing changed, and nothing is written.
    fn show(&self, line: &Line, now: (usize, bool)) {
        let before = line.show(now);
        if before == now {
            return;
        }
        let delivery = &self.node.meters().delivery;
        delivery.outbox_bytes.increment(now.0 as f64 - before.0 as f64);
        delivery.lagging.increment(f64::from(u8::from(now.1)) - f64::from(u8::from(before.1)));
    }

    /// Marks a session whose queue got something outside its own task.
    fn touch(&self, line: &Rc<Line>) {
        if line.touch() {
            self.touched.borrow_mut().push(Rc::clone(line));
        }
    }

    /// Flushes what others queued for sessions of this thread.
    async fn flush_touched(self: &Rc<Self>) {
        loop {
            let mut touched = self.touched.take();
            if touched.is_empty() {
                self.touched.replace(touched);
                return;
            }
            for (flushes, line) in touched.drain(..).enumerate() {
                if flushes > 0 && flushes % FLUSHES_PER_TURN == 0 {
                    tokio::task::yield_now().await;
                }
                line.untouch();
                // A socket that is full, a session that may read again and one that ended are its own task's business.
                self.for_one(&line, || {
                    if !self.flush(&line) || line.is_over() || line.may_resume_reading(&self.bounds) {
                        line.wake();
                    }
                });
            }
        }
    }

    async fn empty_inbox(self: Rc<Self>) {
        let inbox = Arc::clone(self.node.router().inbox(self.worker));
        let mut items = Vec::new();
        loop {
            let overflowed = poll_fn(|task| inbox.poll_take(&mut items, task)).await;
            self.node.meters().delivery.inbox_batches.increment(1);
            if overflowed {
                self.everybody_lags();
            }
            panics::point("hub");
            self.distribute(&mut items);
            self.flush_touched().await;
        }
    }

    async fn turn_wheel(self: Rc<Self>) {
        let mut every = tokio::time::interval(Duration::from_millis(SLOT_MS));
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            let now_ms = self.node.environment().monotonic_ms();
            let due = self.wheel.borrow_mut().turn(now_ms);
            for key in due {
                let Some(line) = self.registry.borrow().get(key) else { continue };
                if line.take_look(now_ms) {
                    self.for_one(&line, || self.look(&line, now_ms));
                } else {
                    // Asked for again since, or further away than one turn of the wheel.
                    self.wheel.borrow_mut().schedule(key, line.next_look_ms());
                }
            }
            self.flush_touched().await;
        }
    }

    fn look(self: &Rc<Self>, line: &Rc<Line>, now_ms: u64) {
        if let Some(again_ms) = line.linger(now_ms) {
            return self.look_at(line, again_ms);
        }
        if line.is_ending() {
            return;
        }
        let stalled_ms = line.stalled_ms(now_ms);
        self.decide(line, |state, moment, bounds, effects| {
            state.on_tick(moment, stalled_ms, bounds, effects);
        });
        if stalled_ms >= self.bounds.gateway.write_deadline_ms {
            // The close frame cannot be written either.
            line.end();
        }
        let deadline_ms = line.state.borrow().next_deadline_ms(&self.bounds);
        self.look_at(line, deadline_ms.max(now_ms + 1));
        self.touch(line);
    }

    fn look_at(&self, line: &Line, at_ms: u64) {
        if line.look_by(at_ms) {
            self.wheel.borrow_mut().schedule(line.key(), at_ms);
        }
    }

    /// Runs a session's rule later, from a task of this thread, and writes what came of it; nothing when it is gone.
    fn with(self: &Rc<Self>, key: SessionKey, act: impl FnOnce(&Rc<Self>, &Rc<Line>)) {
        let Some(line) = self.registry.borrow().get(key) else { return };
        act(self, &line);
        if !self.flush(&line) || line.is_over() || line.may_resume_reading(&self.bounds) {
            line.wake();
        }
    }

    /// Tells every session to reconnect within `window_ms`, spread evenly, and closes those that are left after it.
    pub async fn drain(self: Rc<Self>, window_ms: u64) {
        self.draining.set(true);
        for line in self.registry.borrow().all() {
            let after_ms = self.node.environment().random_below(window_ms / 2);
            self.say(&line, &ServerFrame::Reconnect { after_ms, deadline_ms: window_ms, handover: false });
            self.touch(&line);
        }
        self.flush_touched().await;
        let mut waited_ms = 0;
        while waited_ms < window_ms && self.sessions() > 0 {
            tokio::time::sleep(Duration::from_millis(SLOT_MS)).await;
            waited_ms += SLOT_MS;
        }
        for line in self.registry.borrow().all() {
            self.close(&line, Close::Release);
            self.touch(&line);
        }
        self.flush_touched().await;
    }
}

/// What a connection that ends without a close frame counts as (RFC 6455 section 7.4.1).
const NO_CLOSE_FRAME: u16 = 1006;

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
