//! Hub: one per worker thread; knows the thread's sessions, feeds them, and carries out what they ask for.
//!
//! - *Owns*: the registry of the thread's sessions by user, channel and watched user ([`registry`]); their timer wheel; the
//!   scratch buffer they read into.
//! - *Receives*: batches from the worker's inbox; frames and effects of its sessions.
//! - *Emits*: frames into sessions' queues, one flush per session and batch; jobs to the writer; subscriptions to the router.
//! - *Limits*: the inbox's bound; connections per user; requests under way per session; sessions that catch up, or whose rights
//!   are read again, at once.
//! - *On restart*: goes with its thread and its connections.
//! - *On full*: an inbox that overflowed makes every session compare heads.

mod effects;
mod fan_out;
mod heads;
mod isolation;
mod registry;
mod requests;
mod resume;
mod sync;
mod timer_wheel;
mod visibility;

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
use self::timer_wheel::{SLOT_MS, TimerWheel};
use self::visibility::Endings;
use super::admission::Admission;
use super::session::Session;
use super::session::assembler::Incoming;
use super::session::connection::{Connection, LINGER_MS};
use super::session::effect::Effect;
use super::session::state::{Bounds, Moment, SessionState};
use super::session::stream::give_up_after;
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
pub struct Hub {
    worker: WorkerId,
    node: Node,
    identity: Identity,
    admission: Arc<Admission>,
    bounds: Rc<Bounds>,
    /// Sessions that read heads at once because they missed something; the others wait their turn, their events held.
    catch_ups: Semaphore,
    /// Sessions whose rights are read again at once.
    reviews: Semaphore,
    /// Whom the last ends of memberships and blocks concerned.
    endings: RefCell<Endings>,
    registry: RefCell<Registry>,
    timers: RefCell<TimerWheel>,
    scratch: RefCell<BytesMut>,
    effects: RefCell<Vec<Effect>>,
    touched: RefCell<Vec<Rc<Connection>>>,
    draining: Cell<bool>,
}

impl Hub {
    /// Starts the hub of this thread: its inbox is emptied and its wheel turned from now on.
    pub fn start(
        worker: WorkerId,
        node: Node,
        identity: Identity,
        admission: Arc<Admission>,
        bounds: Bounds,
    ) -> Rc<Self> {
        let now_ms = node.environment().monotonic_ms();
        let hub = Rc::new(Self {
            worker,
            node,
            identity,
            admission,
            bounds: Rc::new(bounds),
            catch_ups: Semaphore::new(CATCH_UPS),
            reviews: Semaphore::new(REVIEWS),
            endings: RefCell::default(),
            registry: RefCell::default(),
            timers: RefCell::new(TimerWheel::new(now_ms)),
            scratch: RefCell::new(BytesMut::with_capacity(SCRATCH_BYTES)),
            effects: RefCell::default(),
            touched: RefCell::default(),
            draining: Cell::new(false),
        });
        actix_rt::spawn(Rc::clone(&hub).empty_inbox());
        actix_rt::spawn(Rc::clone(&hub).run_timers());
        hub
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
    pub(super) fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Counts an upgrade that was answered with an HTTP error.
    pub(super) fn count_refused_upgrade(&self, reason: &str) {
        self.node.meters().connections.upgrades_refused.of(reason).increment(1);
    }

    /// Counts somebody whom the admission turned away.
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
        let connection = Rc::new(Connection::new(
            stream,
            encoding,
            state,
            leftover,
            address,
            self.node.connections().count(),
            opened_us,
        ));
        let patience_ms = self.bounds.gateway.write_deadline_ms + LINGER_MS;
        if let Err(error) = give_up_after(connection.stream(), Duration::from_millis(patience_ms)) {
            tracing::debug!(%error, "a socket's patience could not be set");
        }
        self.registry.borrow_mut().insert(&connection);
        self.look_at(&connection, deadline_ms);
        self.node.meters().connections.open.increment(1.0);
        Session::start_on(connection, Rc::clone(self));
    }

    /// A connection is over: everything that knew of it forgets it.
    pub(super) fn forget(&self, connection: &Rc<Connection>) {
        let abrupt = !connection.is_ending();
        connection.end();
        let removed = self.registry.borrow_mut().remove(connection);
        if !removed {
            return;
        }
        self.show(connection, (0, false));
        if abrupt {
            self.count_close(NO_CLOSE_FRAME);
        }
        let meters = self.node.meters();
        meters.connections.open.decrement(1.0);
        self.hello_ended(connection, "gone");
        connection.has_room();
        connection.user_connection.take();
        let channels = connection.channels.take();
        for channel in channels {
            self.registry.borrow_mut().leave_channel(channel, connection);
            self.node.router().unsubscribe(self.worker, Topic::Channel(channel));
        }
        let watched = connection.state.borrow().watches.all();
        for user in watched {
            self.unwatch(connection, user);
        }
        if let Some(user) = connection.user() {
            self.registry.borrow_mut().leave_user(user, connection);
            self.node.router().unsubscribe(self.worker, Topic::User(user));
            let device = connection.state.borrow().device();
            self.node.presence().went(user, device);
            self.node.typing().gone(user, (self.worker, connection.key()));
        }
    }

    /// Reads once from a connection's socket and obeys what is complete. Answers the bytes read; 0: the client is gone.
    pub(super) fn read(self: &Rc<Self>, connection: &Rc<Connection>) -> io::Result<usize> {
        if connection.is_ending() {
            return self.read_away(connection);
        }
        let mut carry = connection.carry.take();
        if !carry.is_empty() {
            carry.reserve(SCRATCH_BYTES / 16);
            let read = connection.stream().try_read_buf(&mut carry);
            self.handle_frames(connection, &mut carry);
            *connection.carry.borrow_mut() = if carry.is_empty() { BytesMut::new() } else { carry };
            return read;
        }
        let mut scratch = self.scratch.take();
        scratch.clear();
        // All frames cut from the buffer are dropped by now, so this takes the same memory back.
        scratch.reserve(SCRATCH_BYTES);
        let read = connection.stream().try_read_buf(&mut scratch);
        if read.is_ok() {
            self.handle_frames(connection, &mut scratch);
            if !scratch.is_empty() {
                *connection.carry.borrow_mut() = BytesMut::from(&scratch[..]);
            }
        }
        self.scratch.replace(scratch);
        if let Ok(count) = &read {
            self.node.meters().connections.bytes_in.increment(*count as u64);
        }
        read
    }

    /// Takes what a client still sends after the close, so that no reset overtakes the close frame; only so much of it.
    fn read_away(&self, connection: &Connection) -> io::Result<usize> {
        let mut scratch = self.scratch.take();
        scratch.clear();
        scratch.reserve(SCRATCH_BYTES);
        let read = connection.stream().try_read_buf(&mut scratch);
        self.scratch.replace(scratch);
        match read {
            Ok(count) if connection.read_away(count) > LINGER_BYTES => Ok(0),
            read => read,
        }
    }

    /// Obeys what was read before and not yet obeyed: what came glued to the handshake, and what was left when the session's
    /// rules let no more requests in.
    pub(super) fn handle_carried(self: &Rc<Self>, connection: &Rc<Connection>) {
        let mut carry = connection.carry.take();
        if !carry.is_empty() {
            self.handle_frames(connection, &mut carry);
            *connection.carry.borrow_mut() = if carry.is_empty() { BytesMut::new() } else { carry };
        }
    }

    /// Obeys the complete messages in `source` while the session's rules let it.
    fn handle_frames(self: &Rc<Self>, connection: &Rc<Connection>, source: &mut BytesMut) {
        while connection.may_read(&self.bounds) {
            if connection.is_ending() {
                source.clear();
                return;
            }
            let next = connection.assembler.borrow_mut().next(source, self.bounds.limits.frame_bytes);
            match next {
                Ok(Some(incoming)) => self.on_incoming(connection, incoming),
                Ok(None) => return,
                Err(close) => {
                    source.clear();
                    self.close(connection, close);
                    return;
                }
            }
        }
    }

    fn on_incoming(self: &Rc<Self>, connection: &Rc<Connection>, incoming: Incoming) {
        let payload = match (incoming, connection.encoding) {
            (Incoming::Text(payload), Encoding::Json)
            | (Incoming::Binary(payload), Encoding::MessagePack) => payload,
            (Incoming::Text(_) | Incoming::Binary(_), _) => return self.close(connection, Close::WrongKind),
            (Incoming::Ping(payload), _) => {
                connection.state.borrow_mut().on_sign_of_life();
                return connection.push(frame(Opcode::Pong, &payload));
            }
            (Incoming::Pong, _) => return connection.state.borrow_mut().on_sign_of_life(),
            (Incoming::Close(code), _) => {
                let answer = code.map_or_else(Vec::new, |code| code.to_be_bytes().to_vec());
                self.count_close(code.unwrap_or(1000));
                return connection.push_close(frame(Opcode::Close, &answer));
            }
        };
        panics::point("frame");
        let decoded = connection.encoding.decode(&payload);
        if let Ok(request) = &decoded {
            self.node.meters().connections.frames_in.of(request.name()).increment(1);
        }
        self.decide(connection, |state, moment, bounds, effects| {
            state.on_frame(decoded, moment, bounds, effects);
        });
    }

    /// Lets a session's rules decide, and carries out what they want.
    fn decide(
        self: &Rc<Self>,
        connection: &Rc<Connection>,
        rule: impl FnOnce(&mut SessionState, Moment, &Bounds, &mut Vec<Effect>),
    ) {
        let mut effects = self.effects.take();
        rule(&mut connection.state.borrow_mut(), self.moment(), &self.bounds, &mut effects);
        for effect in effects.drain(..) {
            self.carry_out(connection, effect);
        }
        self.effects.replace(effects);
    }

    /// Queues a frame for one session.
    fn say(&self, connection: &Connection, message: &ServerFrame<'_>) {
        self.push(connection, connection.encoding.encode(message));
    }

    fn push(&self, connection: &Connection, frame: Bytes) {
        self.node.meters().connections.frames_out.increment(1);
        connection.push(frame);
    }

    /// Counts how a connection's hello ended, the first time this is said of it, and gives its place on.
    fn hello_ended(&self, connection: &Connection, result: &str) {
        connection.permit.take();
        let Some(opened_us) = connection.opened_us.take() else { return };
        let meters = &self.node.meters().connections;
        meters.hellos.of(result).increment(1);
        if result == "welcome" {
            meters.hello_latency.record_since_us(opened_us, self.node.environment().monotonic_us());
        }
    }

    fn close(&self, connection: &Connection, close: Close) {
        if connection.is_ending() {
            return;
        }
        self.hello_ended(
            connection,
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
        connection.push_close(close_frame(close));
        connection.wake();
    }

    fn count_close(&self, code: u16) {
        let mut text = [0_u8; 5];
        self.node.meters().connections.closes.of(decimal(code, &mut text)).increment(1);
    }

    /// Writes what waits for a session; `true` when nothing waits any more.
    pub(super) fn flush(self: &Rc<Self>, connection: &Rc<Connection>) -> bool {
        let now_ms = self.node.environment().monotonic_ms();
        let ending = connection.is_ending();
        let flushed = connection.flush(now_ms);
        if connection.is_over() && !ending {
            self.count_close(NO_CLOSE_FRAME);
        }
        self.show(connection, (connection.waiting_bytes(), connection.state.borrow().feed.is_lagging()));
        if flushed.writes > 0 {
            let meters = &self.node.meters().connections;
            meters.writes.increment(flushed.writes);
            meters.bytes_out.increment(flushed.bytes as u64);
        }
        if let Some(until_ms) = connection.linger(now_ms) {
            self.look_at(connection, until_ms);
        } else if !flushed.drained {
            self.look_at(connection, now_ms + self.bounds.gateway.write_deadline_ms);
        }
        if connection.waiting_bytes() <= self.bounds.gateway.outbox_bytes {
            connection.has_room();
        }
        if connection.waiting_bytes() <= self.bounds.gateway.lag_resume_bytes
            && connection.state.borrow().feed.is_lagging()
        {
            self.carry_out(connection, Effect::CatchUp);
        }
        flushed.drained
    }

    /// Keeps the gauges of queued bytes and lagging connections. Mostly nothing changed, and nothing is written.
    fn show(&self, connection: &Connection, now: (usize, bool)) {
        let before = connection.show(now);
        if before == now {
            return;
        }
        let delivery = &self.node.meters().delivery;
        delivery.outbox_bytes.increment(now.0 as f64 - before.0 as f64);
        delivery.lagging.increment(f64::from(u8::from(now.1)) - f64::from(u8::from(before.1)));
    }

    /// Marks a session whose queue got something outside its own task.
    fn touch(&self, connection: &Rc<Connection>) {
        if connection.touch() {
            self.touched.borrow_mut().push(Rc::clone(connection));
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
            for (flushes, connection) in touched.drain(..).enumerate() {
                if flushes > 0 && flushes % FLUSHES_PER_TURN == 0 {
                    tokio::task::yield_now().await;
                }
                connection.untouch();
                // A socket that is full, a session that may read again and one that ended are its own task's business.
                self.for_one(&connection, || {
                    if !self.flush(&connection)
                        || connection.is_over()
                        || connection.may_resume_reading(&self.bounds)
                    {
                        connection.wake();
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
            self.fan_out(&mut items);
            self.flush_touched().await;
        }
    }

    async fn run_timers(self: Rc<Self>) {
        let mut every = tokio::time::interval(Duration::from_millis(SLOT_MS));
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            let now_ms = self.node.environment().monotonic_ms();
            let due = self.timers.borrow_mut().turn(now_ms);
            for key in due {
                let Some(connection) = self.registry.borrow().get(key) else { continue };
                if connection.take_look(now_ms) {
                    self.for_one(&connection, || self.look(&connection, now_ms));
                } else {
                    // Asked for again since, or further away than one turn of the wheel.
                    self.timers.borrow_mut().schedule(key, connection.next_look_ms());
                }
            }
            self.flush_touched().await;
        }
    }

    fn look(self: &Rc<Self>, connection: &Rc<Connection>, now_ms: u64) {
        if let Some(again_ms) = connection.linger(now_ms) {
            return self.look_at(connection, again_ms);
        }
        if connection.is_ending() {
            return;
        }
        let stalled_ms = connection.stalled_ms(now_ms);
        self.decide(connection, |state, moment, bounds, effects| {
            state.on_tick(moment, stalled_ms, bounds, effects);
        });
        if stalled_ms >= self.bounds.gateway.write_deadline_ms {
            // The close frame cannot be written either.
            connection.end();
        }
        let deadline_ms = connection.state.borrow().next_deadline_ms(&self.bounds);
        self.look_at(connection, deadline_ms.max(now_ms + 1));
        self.touch(connection);
    }

    fn look_at(&self, connection: &Connection, at_ms: u64) {
        if connection.look_by(at_ms) {
            self.timers.borrow_mut().schedule(connection.key(), at_ms);
        }
    }

    /// Runs a session's rule later, from a task of this thread, and writes what came of it; nothing when it is gone.
    fn with(self: &Rc<Self>, key: SessionKey, act: impl FnOnce(&Rc<Self>, &Rc<Connection>)) {
        let Some(connection) = self.registry.borrow().get(key) else { return };
        act(self, &connection);
        if !self.flush(&connection) || connection.is_over() || connection.may_resume_reading(&self.bounds) {
            connection.wake();
        }
    }

    /// Tells every session to reconnect within `window_ms`, spread evenly, and closes those that are left after it.
    pub async fn drain(self: Rc<Self>, window_ms: u64) {
        self.draining.set(true);
        for connection in self.registry.borrow().all() {
            let after_ms = self.node.environment().random_below(window_ms / 2);
            self.say(
                &connection,
                &ServerFrame::Reconnect { after_ms, deadline_ms: window_ms, handover: false },
            );
            self.touch(&connection);
        }
        self.flush_touched().await;
        let mut waited_ms = 0;
        while waited_ms < window_ms && self.sessions() > 0 {
            tokio::time::sleep(Duration::from_millis(SLOT_MS)).await;
            waited_ms += SLOT_MS;
        }
        for connection in self.registry.borrow().all() {
            self.close(&connection, Close::Release);
            self.touch(&connection);
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
