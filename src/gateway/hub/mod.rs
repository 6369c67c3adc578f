//! Hub: one per worker thread. It knows the sessions of the thread, delivers to them, and calls them back at
//! their deadlines.
//!
//! - *Owns*: the registry of the thread's sessions by user, channel and watched user ([`registry`]); their
//!   timers ([`timer_wheel`]).
//! - *Receives*: batches from the worker's inbox; subscriptions and timers of its sessions ([`directory`]).
//! - *Emits*: events, signals, replies and control messages to its sessions, one flush per session and batch
//!   ([`fan_out`]).
//! - *Limits*: the inbox's bound; the connections.
//! - *On restart*: ends with its thread and its connections.
//! - *On full*: an inbox that overflowed makes every session compare heads.

#[cfg(test)]
mod clock_tests;
mod directory;
mod drain;
mod fan_out;
#[cfg(test)]
mod give_way_tests;
mod observed;
mod registry;
#[cfg(test)]
mod tests;
mod timer_wheel;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;

pub use self::drain::Drain;

use self::directory::HubDirectory;
use self::timer_wheel::SLOT_MS;
use super::admission::Admission;
use super::session::Session;
use super::session::mailbox::Control;
use super::session::stream::ByteStream;
use super::session::worker::{Directory, Worker};
use crate::actors::Node;
use crate::actors::connections::Place;
use crate::actors::router::interest::WorkerId;
use crate::gateway::Bounds;
use crate::identity::Identity;
use crate::panics;
use crate::protocol::Encoding;
use crate::telemetry::inspect;

/// Sessions flushed before other tasks of the thread may run.
const FLUSHES_PER_TURN: usize = 256;

/// The hub of one worker thread.
pub struct Hub<S> {
    worker: Rc<Worker<S>>,
    directory: Rc<HubDirectory<S>>,
    /// Sessions with queued frames that are not written yet.
    touched: RefCell<Vec<Rc<Session<S>>>>,
    draining: Cell<bool>,
}

impl<S: ByteStream> Hub<S> {
    /// Starts the hub of this thread. From now on its inbox is emptied and its timers run.
    pub fn start(
        id: WorkerId,
        node: Node,
        identity: Identity,
        admission: Arc<Admission>,
        bounds: Bounds,
    ) -> Rc<Self> {
        let directory = HubDirectory::new(id, node.clone());
        let for_sessions = Rc::clone(&directory) as Rc<dyn Directory<S>>;
        let hub = Rc::new(Self {
            worker: Worker::new(id, node, identity, admission, bounds, for_sessions),
            directory,
            touched: RefCell::default(),
            draining: Cell::new(false),
        });
        actix_rt::spawn(Rc::clone(&hub).empty_inbox());
        actix_rt::spawn(Rc::clone(&hub).run_timers());
        let (observer, questions) = inspect::observed();
        hub.worker.node.inspection().add(format!("hub {id}"), observer);
        let shown = Rc::clone(&hub);
        actix_rt::spawn(async move { questions.answer_all(|| shown.observed()).await });
        hub
    }

    /// The state that its sessions share.
    pub fn worker(&self) -> &Worker<S> {
        &self.worker
    }

    /// Whether no new connection is taken.
    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// How many sessions there are.
    pub fn sessions(&self) -> usize {
        self.directory.registry.borrow().len()
    }

    /// Takes over an upgraded connection. `leftover`: bytes that the client sent directly after its
    /// handshake.
    pub fn open(
        &self,
        stream: S,
        encoding: Encoding,
        bearer: Option<String>,
        leftover: BytesMut,
        place: Place,
    ) {
        let session = Session::new(&self.worker, stream, encoding, bearer, leftover, place);
        self.directory.registry.borrow_mut().insert(&session);
        session.start();
    }

    /// Delivers the items of the thread's inbox, one batch at a time.
    async fn empty_inbox(self: Rc<Self>) {
        let node = &self.worker.node;
        let inbox = Arc::clone(node.router().inbox(self.worker.id));
        let mut items = Vec::new();
        loop {
            let overflowed = poll_fn(|task| inbox.poll_take(&mut items, task)).await;
            node.meters().delivery.inbox_batches.increment(1);
            if overflowed {
                let all = self.directory.registry.borrow().all();
                self.control(&all, Control::AllLost);
            }
            panics::point("hub");
            self.fan_out(&mut items);
            self.flush_touched().await;
        }
    }

    /// Calls back each session whose timer is due.
    async fn run_timers(self: Rc<Self>) {
        let mut every = tokio::time::interval(Duration::from_millis(SLOT_MS));
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            self.turn_timers().await;
        }
    }

    async fn turn_timers(&self) {
        let now_ms = self.worker.now_ms();
        let due = self.directory.timers.borrow_mut().turn(now_ms);
        for key in due {
            let Some(session) = self.directory.registry.borrow().get(key) else { continue };
            match session.take_timer(now_ms) {
                Ok(()) => {
                    self.isolated(&session, || session.on_timer(now_ms));
                    self.touch(&session);
                }
                Err(again_ms) => self.directory.schedule(key, again_ms),
            }
        }
        self.flush_touched().await;
    }

    /// Gives each of `sessions` a control message and lets it handle its mailbox now, so that the message is
    /// handled before the next delivery.
    fn control(&self, sessions: &[Rc<Session<S>>], control: Control) {
        for session in sessions {
            self.isolated(session, || {
                session.post(control);
                session.handle_mailbox();
            });
            self.touch(session);
        }
    }

    /// Runs work for one session on behalf of others. A panic in it ends only this session.
    fn isolated(&self, session: &Rc<Session<S>>, work: impl FnOnce()) {
        if panics::caught(work).is_err() {
            session.panicked();
        }
    }

    /// Marks a session for which something was queued outside its own task.
    fn touch(&self, session: &Rc<Session<S>>) {
        if session.touch() {
            self.touched.borrow_mut().push(Rc::clone(session));
        }
    }

    /// Writes what was queued for the marked sessions.
    async fn flush_touched(&self) {
        loop {
            let mut touched = self.touched.take();
            if touched.is_empty() {
                self.touched.replace(touched);
                return;
            }
            for (flushes, session) in touched.drain(..).enumerate() {
                if flushes > 0 && flushes % FLUSHES_PER_TURN == 0 {
                    tokio::task::yield_now().await;
                }
                session.untouch();
                self.isolated(&session, || session.flush_or_wake());
            }
        }
    }
}
