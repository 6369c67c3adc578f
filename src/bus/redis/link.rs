//! One primary server and what this node wants of it: one link with a single server, one per primary in a Cluster.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwapOption;
use redis::aio::MultiplexedConnection;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use super::options::Place;
use super::outgoing::Outgoing;
use super::status::PartId;
use crate::domain::Topic;
use crate::panics::lock;

/// One connection to one Redis server, kept up as long as it is wanted.
pub struct Link {
    /// Where the server is.
    pub place: Place,
    /// What waits to be published there.
    pub outgoing: Outgoing,
    /// The publisher's connection while it stands; commands may be sent on clones of it.
    pub connection: ArcSwapOption<MultiplexedConnection>,
    /// The publisher in the bus's status.
    pub publisher: PartId,
    /// The subscriber in the bus's status.
    pub subscriber: PartId,
    /// Topics whose subscription may differ from what is wanted.
    stale: Mutex<Stale>,
    /// The number of the newest marking whose topics are all subscribed as wanted.
    agreed: watch::Sender<u64>,
    stirred: Notify,
    moved_here: AtomicBool,
    tasks: Mutex<Vec<AbortHandle>>,
}

#[derive(Default)]
struct Stale {
    topics: HashSet<Topic>,
    /// How often topics were marked.
    asked: u64,
}

impl Link {
    /// A link whose tasks are not running yet.
    pub fn new(place: Place, outgoing: Outgoing, publisher: PartId, subscriber: PartId) -> Arc<Self> {
        Arc::new(Self {
            place,
            outgoing,
            connection: ArcSwapOption::empty(),
            publisher,
            subscriber,
            stale: Mutex::default(),
            agreed: watch::Sender::new(0),
            stirred: Notify::new(),
            moved_here: AtomicBool::new(false),
            tasks: Mutex::default(),
        })
    }

    /// Marks topics whose subscription may differ from what is wanted, and wakes the subscriber.
    pub fn stir(&self, topics: impl IntoIterator<Item = Topic>) {
        let mut stale = lock(&self.stale);
        stale.topics.extend(topics);
        stale.asked += 1;
        drop(stale);
        self.stirred.notify_one();
    }

    /// Resolves when the subscriber has reconciled every topic marked before this call.
    pub async fn settled(&self) {
        let asked = lock(&self.stale).asked;
        let mut agreed = self.agreed.subscribe();
        // The sender lives as long as this.
        let _ = agreed.wait_for(|agreed| *agreed >= asked).await;
    }

    /// Notes that topics moved here from another server: what was published meanwhile may be lost.
    pub fn moved_here(&self) {
        self.moved_here.store(true, Ordering::SeqCst);
        self.stirred.notify_one();
    }

    /// Whether topics moved here since the last call.
    pub fn take_moved_here(&self) -> bool {
        self.moved_here.swap(false, Ordering::SeqCst)
    }

    /// Takes the marked topics. None left: all marked before are reconciled.
    pub fn take_stale(&self) -> HashSet<Topic> {
        let mut stale = lock(&self.stale);
        if stale.topics.is_empty() {
            self.agreed.send_replace(stale.asked);
        }
        std::mem::take(&mut stale.topics)
    }

    /// Waits until topics may have been marked.
    pub async fn stirred(&self) {
        self.stirred.notified().await;
    }

    /// Remembers a task to end with the link.
    pub fn own(&self, task: AbortHandle) {
        lock(&self.tasks).push(task);
    }

    /// Ends the link's tasks and with them its connections.
    pub fn end(&self) {
        lock(&self.tasks).drain(..).for_each(|task| task.abort());
        self.connection.store(None);
    }
}
