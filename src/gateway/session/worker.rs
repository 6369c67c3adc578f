//! The state that the sessions of one worker thread share.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::sync::Semaphore;

use super::Session;
use super::connection::SCRATCH_BYTES;
use super::effect::Effect;
use super::endings::Endings;
use super::state::Moment;
use crate::actors::Node;
use crate::actors::inbox::SessionKey;
use crate::actors::router::interest::WorkerId;
use crate::domain::{ConversationId, UserId};
use crate::gateway::Bounds;
use crate::gateway::admission::Admission;
use crate::identity::Identity;
use crate::protocol::Failure;

/// Sessions of a thread that catch up at once.
const CATCH_UPS: usize = 16;
/// Sessions of a thread that read at once which users' signals they may be sent.
const REVIEWS: usize = 4;

/// What a session needs from the hub of its thread: registration for its topics, and a callback at its
/// deadlines.
pub trait Directory<S> {
    /// The session has entered as `user`: it gets the user's events and signals.
    fn join_user(&self, user: UserId, session: &Rc<Session<S>>);
    /// The session no longer gets them.
    fn leave_user(&self, user: UserId, session: &Rc<Session<S>>);
    /// The session gets a channel's events and signals.
    fn join_channel(&self, channel: ConversationId, session: &Rc<Session<S>>);
    /// The session no longer gets them.
    fn leave_channel(&self, channel: ConversationId, session: &Rc<Session<S>>);
    /// The session gets a user's presence.
    fn watch(&self, user: UserId, session: &Rc<Session<S>>);
    /// The session no longer gets it.
    fn unwatch(&self, user: UserId, session: &Rc<Session<S>>);
    /// Calls [`Session::on_timer`] at `at_ms` on the monotonic clock, or up to a slot of the wheel later.
    fn schedule(&self, session: SessionKey, at_ms: u64);
    /// The session is over. Returns `false` if the hub did not know it.
    fn remove(&self, session: &Rc<Session<S>>) -> bool;
}

/// The state that the sessions of one worker thread share.
pub struct Worker<S> {
    /// The thread's number.
    pub id: WorkerId,
    /// The node's actors.
    pub node: Node,
    /// Checks tokens.
    pub identity: Identity,
    /// Admission of connections.
    pub admission: Arc<Admission>,
    /// The limits of the sessions.
    pub bounds: Bounds,
    /// The hub.
    pub directory: Rc<dyn Directory<S>>,
    /// Sessions that read heads at once because they missed something. Others wait for a permit, and their
    /// events are held.
    pub(super) catch_ups: Semaphore,
    /// Sessions that read their rights again at once.
    pub(super) reviews: Semaphore,
    /// The users of the last memberships and blocks that ended.
    pub(super) endings: RefCell<Endings>,
    /// No further request is read: the process ends.
    pub(super) stops_reading: Cell<bool>,
    pub(super) scratch: RefCell<BytesMut>,
    pub(super) effects: RefCell<Vec<Effect>>,
}

impl<S> Worker<S> {
    /// The shared state of the sessions of thread `id`.
    pub fn new(
        id: WorkerId,
        node: Node,
        identity: Identity,
        admission: Arc<Admission>,
        bounds: Bounds,
        directory: Rc<dyn Directory<S>>,
    ) -> Rc<Self> {
        Rc::new(Self {
            id,
            node,
            identity,
            admission,
            bounds,
            directory,
            catch_ups: Semaphore::new(bound!(CatchUpsAtOnce, CATCH_UPS)),
            reviews: Semaphore::new(REVIEWS),
            endings: RefCell::default(),
            stops_reading: Cell::new(false),
            scratch: RefCell::new(BytesMut::with_capacity(SCRATCH_BYTES)),
            effects: RefCell::default(),
        })
    }

    /// From now on sessions read no further request, only what ends their connections.
    pub fn stop_reading(&self) {
        self.stops_reading.set(true);
    }

    /// This moment.
    pub fn moment(&self) -> Moment {
        let environment = self.node.environment();
        Moment { mono_ms: environment.monotonic_ms(), now: environment.now() }
    }

    /// This moment on the monotonic clock.
    pub fn now_ms(&self) -> u64 {
        self.node.environment().monotonic_ms()
    }

    /// Counts an upgrade that was answered with an HTTP error.
    pub fn count_refused_upgrade(&self, reason: &str) {
        self.node.meters().connections.upgrades_refused.of(reason).increment(1);
    }

    /// Counts a connection that admission refused.
    pub fn count_turned_away(&self, failure: &Failure) {
        let load = &self.node.meters().load;
        match failure {
            Failure::RateLimited { .. } => load.rate_limited.of("hello").increment(1),
            _ => load.sheds.of("hellos").increment(1),
        }
    }
}
