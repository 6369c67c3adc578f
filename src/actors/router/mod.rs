//! Router: takes what was committed or arrived on the bus, and hands each worker thread what its sessions are to get.
//!
//! - *Owns*: the order of each conversation on this node ([`tracker`]), who reads what ([`interest`]), the workers' inboxes.
//! - *Receives*: committed events with the replies that belong to them (writer), parcels (bus), healed stretches (healer),
//!   the log itself and its digests (follower).
//! - *Emits*: batches into inboxes, one wake-up each; parcels to the bus; conversations with holes to the healer; digests and
//!   gaps of the bus to the follower.
//! - *Limits*: the tracker's capacity; held events per conversation; the inboxes' own bounds; the healer's queue.
//! - *On restart*: starts empty; sessions compare heads on `hello`.
//! - *On full*: a full inbox drops events and tells its sessions to compare heads; a full healer's queue leaves the hole to
//!   the next event of the conversation, or to the next digest.

mod cluster;
mod dispatch;
pub mod interest;
pub mod published;
#[cfg(test)]
mod tests;
pub mod tracker;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock, Weak};

use smallvec::SmallVec;
use tokio::sync::mpsc;

use self::interest::{Interest, MAX_WORKERS, WorkerId, WorkerSet};
use self::published::PublishedSet;
use self::tracker::{Source, Tracker};
use super::inbox::{Inbox, Item};
use super::presence::told::{News, Told, Word};
use crate::bus::{Cargo, Listener, Parcel, Presence, SharedBus, Signal};
use crate::domain::{Committed, ConversationId, Revocation, Seq, Topic, UserId, topics};
use crate::panics::{lock, shared};
use crate::telemetry::Meters;

pub use self::cluster::Notice;
pub use self::dispatch::ChannelHold;
pub use self::tracker::Need;

/// The bounds of a [`Router`].
#[derive(Debug, Clone, Copy)]
pub struct RouterOptions {
    /// Conversations whose order is tracked.
    pub tracked_conversations: usize,
    /// Conversations that may wait for healing.
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

/// What the healer is asked to read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repair {
    /// A conversation from which events are missing.
    Hole {
        /// The conversation.
        conversation: ConversationId,
        /// The audience of the event or digest that showed the hole; see [`crate::domain::Audience`].
        users: Arc<[UserId]>,
    },
    /// A channel that this node has just begun to follow: events may have been committed before its subscription was active.
    NewChannel(ConversationId),
}

/// Called for every revocation that arrives on the bus.
type OnRevoked = Box<dyn Fn(&Revocation) + Send + Sync>;

/// No position is as high.
const NO_FOLLOWER: u64 = u64::MAX;

/// The router of one node, shared by everything that has events or signals to hand on.
pub struct Router {
    state: Mutex<State>,
    interest: Interest,
    told: Told,
    inboxes: Vec<Arc<Inbox>>,
    bus: OnceLock<SharedBus>,
    follower: OnceLock<mpsc::Sender<Notice>>,
    /// Where a relay in this process finds what nodes have published.
    announced: OnceLock<Arc<PublishedSet>>,
    /// Keeps the list of revoked tokens; told of what the bus says has ended.
    on_revoked: OnceLock<OnRevoked>,
    /// Everything before this position has been passed on here; [`NO_FOLLOWER`] where no other process writes.
    covered: AtomicU64,
    held_back_ms: AtomicU64,
    repairs: mpsc::Sender<Repair>,
    me: Weak<Router>,
    meters: Arc<Meters>,
}

struct State {
    tracker: Tracker,
    /// The incarnation of the log that the tracker knows, and that this process writes to; `None` where nothing leaves the process.
    epoch: Option<u64>,
    /// What each worker gets out of the batch at hand; kept between batches so that steady traffic allocates nothing.
    outgoing: Vec<Vec<Item>>,
}

impl Router {
    /// A router over the workers' inboxes, and the stream of conversations that need healing.
    ///
    /// # Panics
    /// When there are more than [`MAX_WORKERS`] inboxes; configuration refuses that before.
    pub fn new(
        inboxes: Vec<Arc<Inbox>>,
        meters: Arc<Meters>,
        options: RouterOptions,
    ) -> (Arc<Self>, mpsc::Receiver<Repair>) {
        assert!(inboxes.len() <= MAX_WORKERS, "one bit per worker");
        let (repairs, to_heal) = mpsc::channel(options.healing_conversations);
        let state = State {
            tracker: Tracker::new(options.tracked_conversations),
            epoch: None,
            outgoing: inboxes.iter().map(|_| Vec::new()).collect(),
        };
        let router = Arc::new_cyclic(|me| Self {
            state: Mutex::new(state),
            interest: Interest::default(),
            told: Told::default(),
            inboxes,
            bus: OnceLock::new(),
            follower: OnceLock::new(),
            announced: OnceLock::new(),
            on_revoked: OnceLock::new(),
            covered: AtomicU64::new(NO_FOLLOWER),
            held_back_ms: AtomicU64::new(0),
            repairs,
            me: Weak::clone(me),
            meters,
        });
        (router, to_heal)
    }

    /// Connects the bus; before that, events reach local sessions only.
    pub fn connect(&self, bus: SharedBus) {
        let already = self.bus.set(bus);
        debug_assert!(already.is_ok(), "the bus is connected once");
    }

    /// From now on `note` is told of every revocation that arrives on the bus; it notes it and tells sessions here. Set once,
    /// before serving.
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

    /// A session of `worker` reads `topic` from now on; once this returns, whatever is published reaches it.
    pub fn subscribe(&self, worker: WorkerId, topic: Topic) {
        let _shared = shared();
        self.interest.add(worker, topic, || {
            if let Some(bus) = self.bus.get() {
                bus.subscribe(topic);
            }
        });
    }

    /// A session of `worker` reads `topic` no more.
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
                Topic::Presence(user) => self.told.forget(user),
                Topic::User(_) | Topic::Digest | Topic::Published => {}
            }
        }
    }

    /// Resolves when everything subscribed to so far has taken hold on the bus: whatever is read from the log then, the rest
    /// comes by the bus. It resolves soon also when the bus is away, since then the follower reads on.
    pub async fn settled(&self) {
        if let Some(bus) = self.bus.get() {
            bus.settled().await;
        }
    }

    /// A session begins to read a channel and was told of everything up to `last`.
    pub fn begin(&self, channel: ConversationId, last: Seq) {
        let _shared = shared();
        self.lock().tracker.follow_from(channel, last);
    }

    /// The last seq of a conversation that was passed on here.
    pub fn last(&self, conversation: ConversationId) -> Option<Seq> {
        self.lock().tracker.last(conversation)
    }

    /// Passes on what this node committed, with the replies that belong to it: local sessions now, other nodes by the bus.
    pub fn committed(&self, committed: &[Committed], replies: Vec<RoutedReply>) {
        let _shared = shared();
        let mut state = self.lock();
        let epoch = state.epoch;
        self.pass_on(&mut state, committed, Source::Told, replies);
        drop(state);
        if !committed.is_empty() {
            self.publish(committed, epoch);
        }
    }

    /// Publishes what a relay read from the log `epoch` and nobody had published.
    pub fn relayed(&self, committed: &[Committed], epoch: u64) {
        let _shared = shared();
        let mut state = self.lock();
        if state.epoch == Some(epoch) {
            self.pass_on(&mut state, committed, Source::Told, Vec::new());
        }
        drop(state);
        self.publish(committed, Some(epoch));
    }

    /// Passes on what was read from the log in commit order; what came before is recognised and dropped.
    pub fn tailed(&self, committed: &[Committed]) {
        self.pass_on(&mut self.lock(), committed, Source::Tail, Vec::new());
    }

    /// Passes on what was read past the log's end: of each conversation in order, but others may still come before it.
    pub fn read_ahead(&self, committed: &[Committed]) {
        self.pass_on(&mut self.lock(), committed, Source::Told, Vec::new());
    }

    /// Passes on events of one conversation that were read because of a hole.
    pub fn healed(&self, committed: &[Committed]) {
        self.pass_on(&mut self.lock(), committed, Source::Stretch, Vec::new());
    }

    /// Tells this node's sessions alone: the others learned of it where this node did.
    pub fn signal_here(&self, signal: &Signal, users: Arc<[UserId]>) {
        self.signal_locally(signal, &signal_topics(signal, &users), &users);
    }

    /// What is to be read of a conversation for its holes to close.
    pub fn need(&self, conversation: ConversationId) -> Need {
        self.lock().tracker.need(conversation)
    }

    /// A hole cannot be healed: who reads the conversation here compares heads instead.
    pub fn give_up(&self, conversation: ConversationId, users: &Arc<[UserId]>) {
        self.lock().tracker.give_up(conversation);
        for worker in self.interest.workers(topics(conversation, users)).iter() {
            self.inbox(worker).put(&mut vec![Item::Missed { conversation, users: Arc::clone(users) }]);
        }
    }

    /// Nobody knows what was missed: every session compares heads.
    pub fn compare_heads(&self) {
        for inbox in &self.inboxes {
            inbox.overflow();
        }
    }

    /// Tells local sessions and other nodes of a passing signal. `users`: for whom; empty for a channel's subscribers.
    pub fn signal(&self, signal: Signal, users: Arc<[UserId]>) {
        let _shared = shared();
        let topics = signal_topics(&signal, &users);
        if let Some(bus) = self.bus.get() {
            let (topics, cargo) = (topics.clone(), Cargo::Signal(signal.clone()));
            bus.publish(vec![Parcel { topics, epoch: None, cargo }]);
        }
        self.signal_locally(&signal, &topics, &users);
    }

    fn signal_locally(&self, signal: &Signal, topics: &[Topic], users: &Arc<[UserId]>) {
        let workers = self.interest.workers(topics.iter().copied());
        if let Signal::Presence { user, presence } = signal
            && !workers.is_empty()
            && self.told.note(*user, *presence) == News::Known
        {
            return;
        }
        self.hand_signal(workers, signal, users);
    }

    /// What a new watcher is to be told of `user`, who was looked up: the same as the others, who may have heard newer.
    pub fn told(&self, user: UserId, looked: Presence) -> Presence {
        let _shared = shared();
        let workers = self.interest.workers([Topic::Presence(user)].into_iter());
        if workers.is_empty() { looked } else { self.told.first(user, looked) }
    }

    /// Looks found `user` to be otherwise than the word of that `number`: local watchers are told, unless they know newer.
    pub fn correct(&self, user: UserId, presence: Presence, number: u64) {
        let workers = self.interest.workers([Topic::Presence(user)].into_iter());
        if self.told.correct(user, presence, number) {
            let nobody: Arc<[UserId]> = Arc::new([]);
            self.hand_signal(workers, &Signal::Presence { user, presence }, &nobody);
        }
    }

    /// The users whom somebody here watches, and the last word on each.
    pub fn watched(&self) -> Vec<(UserId, Word)> {
        self.told.all()
    }

    fn hand_signal(&self, workers: WorkerSet, signal: &Signal, users: &Arc<[UserId]>) {
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
    fn on_parcels(&self, parcels: Vec<Parcel>) {
        let mut events = Vec::new();
        for parcel in parcels {
            match parcel.cargo {
                Cargo::Events(committed) => events.push((parcel.epoch, committed)),
                Cargo::Signal(Signal::Revoked(revocation)) => {
                    if let Some(note) = self.on_revoked.get() {
                        note(&revocation);
                    }
                }
                Cargo::Signal(signal) => {
                    let users = parcel.topics.iter().filter_map(|topic| match topic {
                        Topic::User(user) => Some(*user),
                        Topic::Channel(_) | Topic::Presence(_) | Topic::Digest | Topic::Published => None,
                    });
                    self.signal_locally(&signal, &parcel.topics, &users.collect());
                }
                Cargo::Digest(digest) => self.notify(Notice::Digest(digest)),
                Cargo::Published(published) => {
                    if let (Some(announced), Some(epoch)) = (self.announced.get(), parcel.epoch) {
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
        Signal::Blocked { by, user, .. } => SmallVec::from_slice(&[Topic::User(*by), Topic::User(*user)]),
        Signal::Typing { conversation, .. } if users.is_empty() => {
            SmallVec::from_slice(&[Topic::Channel(*conversation)])
        }
        Signal::Typing { .. } | Signal::Receipt { .. } => users.iter().copied().map(Topic::User).collect(),
    }
}
