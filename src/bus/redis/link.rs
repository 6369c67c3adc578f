//! One primary server and what this node wants of it: one link with a single server, one per primary in a Cluster.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use redis::aio::MultiplexedConnection;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::options::Place;
use super::outgoing::Outgoing;
use super::status::PartId;
use crate::domain::Topic;

/// See the module's documentation.
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
    stale: Mutex<HashSet<Topic>>,
    stirred: Notify,
    moved_here: AtomicBool,
    tasks: Mutex<Vec<AbortHandle>>,
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
            stirred: Notify::new(),
            moved_here: AtomicBool::new(false),
            tasks: Mutex::default(),
        })
    }

    /// Have another look at these topics.
    pub fn stir(&self, topics: impl IntoIterator<Item = Topic>) {
        lock(&self.stale).extend(topics);
        self.stirred.notify_one();
    }

    /// Topics came here from another server: what was published meanwhile may be lost.
    pub fn moved_here(&self) {
        self.moved_here.store(true, Ordering::SeqCst);
        self.stirred.notify_one();
    }

    /// Whether topics came here since the last question.
    pub fn take_moved_here(&self) -> bool {
        self.moved_here.swap(false, Ordering::SeqCst)
    }

    /// Takes the topics to look at.
    pub fn take_stale(&self) -> HashSet<Topic> {
        std::mem::take(&mut lock(&self.stale))
    }

    /// Waits until there may be topics to look at.
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

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
