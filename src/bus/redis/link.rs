//! One primary server and what this node wants of it: one link with a single server, one per primary in a
//! Cluster.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwapOption;
use redis::aio::MultiplexedConnection;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use super::options::RedisServers;
use super::outgoing::Outgoing;
use super::status::PartId;
use crate::domain::Topic;
use crate::panics::lock;

/// The connections to one primary server, kept up as long as they are needed.
pub struct Link {
    /// How to find the server.
    pub servers: RedisServers,
    /// The messages that wait to be published there.
    pub outgoing: Outgoing,
    /// The publisher's connection while it is open. Commands may be sent on clones of it.
    pub connection: ArcSwapOption<MultiplexedConnection>,
    /// The publisher in the bus's status.
    pub publisher: PartId,
    /// The subscriber in the bus's status.
    pub subscriber: PartId,
    /// Topics whose subscription may differ from what is wanted.
    stale: Mutex<Stale>,
    /// The number of the newest marking whose topics are all reconciled.
    reconciled: watch::Sender<u64>,
    marked: Notify,
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
    pub fn new(
        servers: RedisServers,
        outgoing: Outgoing,
        publisher: PartId,
        subscriber: PartId,
    ) -> Arc<Self> {
        Arc::new(Self {
            servers,
            outgoing,
            connection: ArcSwapOption::empty(),
            publisher,
            subscriber,
            stale: Mutex::default(),
            reconciled: watch::Sender::new(0),
            marked: Notify::new(),
            moved_here: AtomicBool::new(false),
            tasks: Mutex::default(),
        })
    }

    /// Marks topics whose subscription may differ from what is wanted, and wakes the subscriber.
    pub fn mark_stale(&self, topics: impl IntoIterator<Item = Topic>) {
        let mut stale = lock(&self.stale);
        stale.topics.extend(topics);
        stale.asked += 1;
        drop(stale);
        self.marked.notify_one();
    }

    /// Resolves when the subscriber has reconciled every topic marked before this call.
    pub async fn settled(&self) {
        let asked = lock(&self.stale).asked;
        let mut reconciled = self.reconciled.subscribe();
        // The sender lives as long as this link.
        let _ = reconciled.wait_for(|reconciled| *reconciled >= asked).await;
    }

    /// Topics moved here from another server: messages published in the meantime may be lost.
    pub fn moved_here(&self) {
        self.moved_here.store(true, Ordering::SeqCst);
        self.marked.notify_one();
    }

    /// Whether topics moved here since the last call.
    pub fn take_moved_here(&self) -> bool {
        self.moved_here.swap(false, Ordering::SeqCst)
    }

    /// Takes the marked topics. When none is left, all that were marked before are reconciled.
    pub fn take_stale(&self) -> HashSet<Topic> {
        let mut stale = lock(&self.stale);
        if stale.topics.is_empty() {
            self.reconciled.send_replace(stale.asked);
        }
        std::mem::take(&mut stale.topics)
    }

    /// Waits until topics may have been marked.
    pub async fn marked(&self) {
        self.marked.notified().await;
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
