//! What the hub does for its sessions: it registers which session reads what, and calls each one back at its
//! deadline.

use std::cell::RefCell;
use std::rc::Rc;

use super::registry::Registry;
use super::timer_wheel::TimerWheel;
use crate::actors::Node;
use crate::actors::inbox::SessionKey;
use crate::actors::router::interest::WorkerId;
use crate::domain::{ConversationId, Topic, UserId};
use crate::gateway::session::Session;
use crate::gateway::session::stream::ByteStream;
use crate::gateway::session::worker::Directory;

/// The registry and the timers of a hub. Every topic in the registry is also subscribed to at the router.
pub struct HubDirectory<S> {
    worker: WorkerId,
    node: Node,
    pub registry: RefCell<Registry<S>>,
    pub timers: RefCell<TimerWheel>,
}

impl<S> HubDirectory<S> {
    /// An empty directory for the thread `worker`.
    pub fn new(worker: WorkerId, node: Node) -> Rc<Self> {
        let timers = RefCell::new(TimerWheel::new(node.environment().monotonic_ms()));
        Rc::new(Self { worker, node, registry: RefCell::default(), timers })
    }
}

impl<S: ByteStream> Directory<S> for HubDirectory<S> {
    fn join_user(&self, user: UserId, session: &Rc<Session<S>>) {
        self.registry.borrow_mut().join_user(user, session);
        self.node.router().subscribe(self.worker, Topic::User(user));
    }

    fn leave_user(&self, user: UserId, session: &Rc<Session<S>>) {
        self.registry.borrow_mut().leave_user(user, session);
        self.node.router().unsubscribe(self.worker, Topic::User(user));
    }

    fn join_channel(&self, channel: ConversationId, session: &Rc<Session<S>>) {
        self.registry.borrow_mut().join_channel(channel, session);
        self.node.router().subscribe(self.worker, Topic::Channel(channel));
    }

    fn leave_channel(&self, channel: ConversationId, session: &Rc<Session<S>>) {
        self.registry.borrow_mut().leave_channel(channel, session);
        self.node.router().unsubscribe(self.worker, Topic::Channel(channel));
    }

    fn watch(&self, user: UserId, session: &Rc<Session<S>>) {
        self.registry.borrow_mut().watch(user, session);
        self.node.router().subscribe(self.worker, Topic::Presence(user));
        self.node.meters().social.watches.increment(1.0);
    }

    fn unwatch(&self, user: UserId, session: &Rc<Session<S>>) {
        self.registry.borrow_mut().unwatch(user, session);
        self.node.router().unsubscribe(self.worker, Topic::Presence(user));
        self.node.meters().social.watches.decrement(1.0);
    }

    fn schedule(&self, session: SessionKey, at_ms: u64) {
        self.timers.borrow_mut().schedule(session, at_ms);
    }

    fn remove(&self, session: &Rc<Session<S>>) -> bool {
        self.registry.borrow_mut().remove(session)
    }
}
