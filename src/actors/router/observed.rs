//! The state of the router, for inspection.

use std::sync::atomic::Ordering;

use serde::Serialize;

use super::{NO_FOLLOWER, Router};
use crate::actors::inbox::InboxObserved;

/// The router and its tracker.
#[derive(Debug, Clone, Serialize)]
pub struct RouterObserved {
    /// Conversations whose order is tracked.
    pub tracked_conversations: usize,
    /// Conversations of which events are missing and being read.
    pub healing_conversations: usize,
    /// Events held back behind them.
    pub held_events: usize,
    /// Holes that the healer has not taken up.
    pub waiting_repairs: usize,
    /// Topics that somebody here reads.
    pub topics: usize,
    /// Everything before this position was passed on here; `None` where no other process writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watermark: Option<u64>,
    /// The incarnation of the log; `None` where nothing leaves the process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// How long a transaction has held the log's end back.
    pub held_back_ms: u64,
    /// The inbox of each worker thread, in their order.
    pub inboxes: Vec<InboxObserved>,
}

impl Router {
    /// The state for inspection. Waits for the lock, and visits every tracked conversation.
    pub fn observed(&self) -> RouterObserved {
        let (tracked_conversations, healing_conversations, held_events, epoch) = {
            let state = self.lock();
            let (healing, held) = state.tracker.healing();
            (state.tracker.len(), healing, held, state.epoch)
        };
        let covered = self.covered.load(Ordering::Acquire);
        RouterObserved {
            tracked_conversations,
            healing_conversations,
            held_events,
            waiting_repairs: self.repairs.max_capacity() - self.repairs.capacity(),
            topics: self.interest.len(),
            watermark: (covered != NO_FOLLOWER).then_some(covered),
            epoch,
            held_back_ms: self.held_back_ms(),
            inboxes: self.inboxes.iter().map(|inbox| inbox.observed()).collect(),
        }
    }
}
