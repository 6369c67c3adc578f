//! Router: takes events that were committed here or arrived on the bus, and hands each worker thread the
//! events for its sessions.
//!
//! - *Owns*: the order of each conversation on this node ([`tracker`]), which worker reads which topic
//!   ([`interest`]), the workers' inboxes.
//! - *Receives*: committed events with the replies that belong to them (writer), messages (bus), events read
//!   for a hole (healer), events and digests of the whole log (follower).
//! - *Emits*: batches into inboxes, one wake-up each; messages to the bus; conversations with holes to the
//!   healer; digests and gaps of the bus to the follower.
//! - *Limits*: the tracker's capacity; held events per conversation; the inboxes' own bounds; the healer's
//!   queue.
//! - *On restart*: starts empty; sessions compare heads on `hello`.
//! - *On full*: a full inbox drops events and makes its sessions compare heads. When the healer's queue is
//!   full, the readers of the conversation compare heads, or the follower reads the whole log.

mod cluster;
mod dispatch;
pub mod interest;
pub mod last_sent;
mod observed;
pub mod published;
#[cfg(test)]
mod tests;
pub mod tracker;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock, Weak};

use smallvec::SmallVec;
use tokio::sync::mpsc;

use self::interest::{Interest, MAX_WORKERS, WorkerId, WorkerSet};
use self::last_sent::{LastSent, Sent, SentPresence};
use self::published::PublishedSet;
use self::tracker::{EventSource, Tracker};
use super::inbox::{Inbox, Item};
use crate::bus::{BusMessage, Listener, Payload, Presence, SharedBus, Signal};
use crate::domain::{Committed, ConversationId, Revocation, Seq, Topic, UserId};
use crate::panics::{lock, shared};
use crate::telemetry::Meters;

pub use self::cluster::Notice;
pub use self::tracker::Need;

/// The bounds of a [`Router`].
#[derive(Debug, Clone, Copy)]
pub struct RouterOptions {
    /// Conversations whose order is tracked.
    pub tracked_conversations: usize,
    /// Conversations that may wait for the healer.
    pub healing_conversations: usize,
}

impl Default for RouterOptions {
    fn default() -> Self {
        Self { tracked_conversations: 200_000, healing_conversations: 4_096 }
    }
}

/// A reply on its way to the worker of the session that asked.
pub struct RoutedReply {
    /// The session's worker.
    pub worker: WorkerId,
    /// The reply.
    pub item: Item,
}

/// A request to the healer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repair {
    /// A conversation from which events are missing.
    Hole(ConversationId),
    /// A channel that this node has just begun to follow: events may have been committed before its
    /// subscription was active.
    NewChannel(ConversationId),
}

/// Called for every revocation that arrives on the bus.
type OnRevoked = Box<dyn Fn(&Revocation) + Send + Sync>;

/// No position is as high as this.
const NO_FOLLOWER: u64 = u64::MAX;

/// The router of one node, shared by everything that delivers events or signals.
pub struct Router {
    state: Mutex<State>,
    interest: Interest,
    last_sent: LastSent,
    inboxes: Vec<Arc<Inbox>>,
    bus: OnceLock<SharedBus>,
    follower: OnceLock<mpsc::Sender<Notice>>,
    /// The announcements of published events, for a relay in this process.
    announced: OnceLock<Arc<PublishedSet>>,
    /// Called with every revocation that arrives on the bus.
    on_revoked: OnceLock<OnRevoked>,
    /// Everything before this position was delivered here; [`NO_FOLLOWER`] where no other process writes.
    covered: AtomicU64,
    held_back_ms: AtomicU64,
    log_changes: AtomicU64,
    repairs: mpsc::Sender<Repair>,
    me: Weak<Router>,
    meters: Arc<Meters>,
}

struct State {
    tracker: Tracker,
    /// The incarnation of the log that the tracker knows and this process writes to; `None` where there is no
    /// other process.
    epoch: Option<u64>,
    /// What each worker gets of the present batch. It is kept between batches, so that steady traffic
    /// allocates nothing.
    outgoing: Vec<Vec<Item>>,
}

impl Router {
    /// A router over the workers' inboxes, and the receiving end of its requests to the healer.
    ///
    /// # Panics
    /// When there are more than [`MAX_WORKERS`] inboxes; the configuration refuses that.
    pub fn new(
        inboxes: Vec<Arc<Inbox>>,
        meters: Arc<Meters>,
        options: RouterOptions,
    ) -> (Arc<Self>, mpsc::Receiver<Repair>) {
        assert!(inboxes.len() <= MAX_WORKERS, "one bit per worker");
        let (repairs, to_heal) = mpsc::channel(bound!(RepairsWaiting, options.healing_conversations));
        let state = State {
            tracker: Tracker::new(bound!(TrackedConversations, options.tracked_conversations)),
            epoch: None,
            outgoing: inboxes.iter().map(|_| Vec::new()).collect(),
        };
        let router = Arc::new_cyclic(|me| Self {
            state: Mutex::new(state),
            interest: Interest::default(),
            last_sent: LastSent::default(),
            inboxes,
            bus: OnceLock::new(),
            follower: OnceLock::new(),
            announced: OnceLock::new(),
            on_revoked: OnceLock::new(),
            covered: AtomicU64::new(NO_FOLLOWER),
            held_back_ms: AtomicU64::new(0),
            log_changes: AtomicU64::new(0),
            repairs,
            me: Weak::clone(me),
            meters,
        });
        (router, to_heal)
    }

    /// Connects the bus. Before that, events reach local sessions only.
    pub fn connect(&self, bus: SharedBus) {
        let already = self.bus.set(bus);
        debug_assert!(already.is_ok(), "the bus is connected once");
    }

    /// From now on `note` is called with every revocation that arrives on the bus. Set once, before serving.
    pub fn on_revoked(&self, note: impl Fn(&Revocation) + Send + Sync + 'static) {
        let already = self.on_revoked.set(Box::new(note));
        debug_assert!(already.is_ok(), "one list of revocations per node");
    }

    /// The inbox of a worker.
    pub fn inbox(&self, worker: WorkerId) -> &Arc<Inbox> {
        &self.inboxes[usize::from(worker)]
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.inboxes.len()
    }

    /// A session of `worker` reads `topic` from now on. When this returns, everything that is published later
    /// reaches it.
    pub fn subscribe(&self, worker: WorkerId, topic: Topic) {
        let _shared = shared();
        self.interest.add(worker, topic, || {
            if let Some(bus) = self.bus.get() {
                bus.subscribe(topic);
            }
        });
    }

    /// A session of `worker` stops reading `topic`.
    pub fn unsubscribe(&self, worker: WorkerId, topic: Topic) {
        let _shared = shared();
        let unsubscribe = || {
            if let Some(bus) = self.bus.get() {
                bus.unsubscribe(topic);
            }
        };
        if self.interest.remove(worker, topic, unsubscribe) {
            match topic {
                Topic::Channel(conversation) => self.lock().tracker.unfollow(conversation),
                Topic::Presence(user) => self.last_sent.forget(user),
                Topic::User(_) | Topic::Digest | Topic::Published => {}
            }
        }
    }

    /// Resolves when every subscription made so far is active on the bus. What is published later than that
    /// arrives by the bus; what was committed earlier can be read from the log. It also resolves soon while
    /// the bus is unavailable, because the follower then reads the log.
    pub async fn settled(&self) {
        if let Some(bus) = self.bus.get() {
            bus.settled().await;
        }
    }

    /// A session that has subscribed to a channel was sent everything up to `last`. When others here have
    /// subscribed too, some of them may have been sent less: then the next event is judged by its position.
    pub fn begin(&self, channel: ConversationId, last: Seq) {
        let _shared = shared();
        if self.interest.readers(Topic::Channel(channel)) <= 1 {
            self.lock().tracker.follow_from(channel, last);
        }
    }

    /// The last seq of a conversation that was delivered here.
    pub fn last(&self, conversation: ConversationId) -> Option<Seq> {
        self.lock().tracker.last(conversation)
    }

    /// Delivers what this node committed, with the replies that belong to it: first to local sessions, then
    /// to other nodes by the bus.
    pub fn committed(&self, committed: &[Committed], replies: Vec<RoutedReply>) {
        let _shared = shared();
        let mut state = self.lock();
        let epoch = state.epoch;
        let dropped = self.pass_on(&mut state, committed, EventSource::Live, replies);
        drop(state);
        drop(dropped);
        if !committed.is_empty() {
            self.publish(committed, epoch);
        }
    }

    /// Publishes events that a relay read from the log `epoch` and that no node had published.
    pub fn relayed(&self, committed: &[Committed], epoch: u64) {
        let _shared = shared();
        let mut state = self.lock();
        let here = if state.epoch == Some(epoch) { committed } else { &[] };
        let dropped = self.pass_on(&mut state, here, EventSource::Live, Vec::new());
        drop(state);
        drop(dropped);
        self.publish(committed, Some(epoch));
    }

    /// Delivers events that were read from the log in commit order. Events that were delivered before are
    /// recognised and dropped.
    pub fn tailed(&self, committed: &[Committed]) {
        let _dropped = self.pass_on(&mut self.lock(), committed, EventSource::Tail, Vec::new());
    }

    /// Delivers events that were read past the log's end. Those of one conversation are in order, but events
    /// of other transactions may still come before them.
    pub fn read_ahead(&self, committed: &[Committed]) {
        let _dropped = self.pass_on(&mut self.lock(), committed, EventSource::Live, Vec::new());
    }

    /// Delivers events of one conversation that were read because of a hole.
    pub fn healed(&self, committed: &[Committed]) {
        let _dropped = self.pass_on(&mut self.lock(), committed, EventSource::Stretch, Vec::new());
    }

    /// Sends a signal to this node's sessions only: the other nodes learn of it in the same way as this one
    /// did.
    pub fn signal_here(&self, signal: &Signal, users: Arc<[UserId]>) {
        self.signal_locally(signal, &signal_topics(signal, &users), &users);
    }

    /// The range to read of a conversation to close its holes.
    pub fn need(&self, conversation: ConversationId) -> Need {
        self.lock().tracker.need(conversation)
    }

    /// It is not known what is missing: every session must compare heads.
    pub fn compare_heads(&self) {
        for inbox in &self.inboxes {
            inbox.overflow();
        }
    }

    /// Sends a signal to local sessions and to other nodes. `users`: the users it is for; empty for a
    /// channel's subscribers.
    pub fn signal(&self, signal: Signal, users: Arc<[UserId]>) {
        let _shared = shared();
        let topics = signal_topics(&signal, &users);
        if let Some(bus) = self.bus.get() {
            let (topics, payload) = (topics.clone(), Payload::Signal(signal.clone()));
            bus.publish(vec![BusMessage { topics, epoch: None, payload }]);
        }
        self.signal_locally(&signal, &topics, &users);
    }

    fn signal_locally(&self, signal: &Signal, topics: &[Topic], users: &Arc<[UserId]>) {
        let workers = self.interest.workers(topics.iter().copied());
        if let Signal::Presence { user, presence } = signal
            && !workers.is_empty()
            && self.last_sent.note(*user, *presence) == Sent::Unchanged
        {
            rare!(PresenceSaidTwice);
            return;
        }
        self.deliver_signal(workers, signal, users);
    }

    /// What to send a new watcher of `user`, for whom the registry said `looked`: what the other watchers
    /// were sent last, which may be newer.
    pub fn last_sent_or(&self, user: UserId, looked: Presence) -> Presence {
        let _shared = shared();
        let workers = self.interest.workers([Topic::Presence(user)].into_iter());
        if workers.is_empty() { looked } else { self.last_sent.first(user, looked) }
    }

    /// The registry says something else of `user` than what was sent as `version`: sends it to the watchers
    /// here, unless they were sent something newer since.
    pub fn correct(&self, user: UserId, presence: Presence, version: u64) {
        let workers = self.interest.workers([Topic::Presence(user)].into_iter());
        if self.last_sent.correct(user, presence, version) {
            let nobody: Arc<[UserId]> = Arc::new([]);
            self.deliver_signal(workers, &Signal::Presence { user, presence }, &nobody);
        }
    }

    /// The users whom a session here watches, and what was sent last for each.
    pub fn watched(&self) -> Vec<(UserId, SentPresence)> {
        self.last_sent.all()
    }

    fn deliver_signal(&self, workers: WorkerSet, signal: &Signal, users: &Arc<[UserId]>) {
        for worker in workers.iter() {
            let mut items = vec![Item::Signal { signal: signal.clone(), users: Arc::clone(users) }];
            self.inbox(worker).put(&mut items);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Listener for Router {
    fn on_messages(&self, messages: Vec<BusMessage>) {
        let mut events = Vec::new();
        for message in messages {
            match message.payload {
                Payload::Events(committed) => events.push((message.epoch, committed)),
                Payload::Signal(Signal::Revoked(revocation)) => {
                    if let Some(note) = self.on_revoked.get() {
                        note(&revocation);
                    }
                }
                Payload::Signal(signal) => {
                    let users = message.topics.iter().filter_map(|topic| match topic {
                        Topic::User(user) => Some(*user),
                        Topic::Channel(_) | Topic::Presence(_) | Topic::Digest | Topic::Published => None,
                    });
                    self.signal_locally(&signal, &message.topics, &users.collect());
                }
                Payload::Digest(digest) => self.notify(Notice::Digest(digest)),
                Payload::Published(published) => {
                    if let (Some(announced), Some(epoch)) = (self.announced.get(), message.epoch) {
                        announced.note(epoch, published);
                    }
                }
            }
        }
        if !events.is_empty() {
            self.pass_on_from_bus(events);
        }
    }

    fn on_gap(&self) {
        self.notify(Notice::Gap);
    }
}

fn signal_topics(signal: &Signal, users: &[UserId]) -> SmallVec<[Topic; 2]> {
    match signal {
        Signal::Presence { user, .. } => SmallVec::from_slice(&[Topic::Presence(*user)]),
        Signal::Revoked(revocation) => SmallVec::from_slice(&[Topic::User(revocation.user)]),
        Signal::Hidden { user } => SmallVec::from_slice(&[Topic::User(*user), Topic::Presence(*user)]),
        Signal::Invited { user, .. } => SmallVec::from_slice(&[Topic::User(*user)]),
        Signal::Blocked { by, user, .. } => SmallVec::from_slice(&[Topic::User(*by), Topic::User(*user)]),
        Signal::Typing { conversation, .. } if users.is_empty() => {
            SmallVec::from_slice(&[Topic::Channel(*conversation)])
        }
        Signal::Typing { .. } | Signal::Receipt { .. } => users.iter().copied().map(Topic::User).collect(),
    }
}
