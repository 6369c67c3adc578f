//! The one inbox of a worker thread: what its sessions are to get crosses threads here, a batch at a time.
//!
//! Waking another thread for every message doubles the cost of a direct message (ADR 0001), so whoever has something for
//! a thread's sessions hands it over as one batch and wakes the thread once.
//!
//! Bound: bytes of undelivered events. Policy when full: the batch's events are dropped and the overflow is remembered;
//! the thread then tells every session to compare heads, so events come later and none is lost. Replies are never dropped: their
//! number is bounded by the requests in flight. Revocations are never dropped either, since nothing would repeat them: each
//! takes a call that its user may make only so often.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

use super::router::ChannelHold;
use crate::bus::Signal;
use crate::domain::{ConversationId, MessageId, UserId};
use crate::panics::lock;
use crate::protocol::delivery::Delivery;
use crate::protocol::{Failure, RequestId};
use crate::store::{Appended, Changed};

/// A session's place in its worker: slot and generation, so that a late reply never reaches a successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionKey {
    /// The slot in the worker's slab.
    pub slot: u32,
    /// How often the slot was used before.
    pub generation: u32,
}

/// The answer to a request that a session handed to an actor.
#[derive(Debug)]
pub enum Reply {
    /// To a send.
    Sent(Result<(MessageId, Appended), Failure>),
    /// To a change.
    Changed(Result<(ConversationId, Changed), Failure>),
}

/// One thing for a worker's sessions.
#[derive(Debug)]
pub enum Item {
    /// An event for the channel's local subscribers, or the local sessions of `users`.
    Event {
        /// The event, encoded at most once per encoding.
        delivery: Arc<Delivery>,
        /// See [`crate::domain::Audience`].
        users: Arc<[UserId]>,
        /// The event makes one of the worker's users a reader of a channel: the channel's events come here from now on, and
        /// stop when this is dropped unless a session was subscribed meanwhile.
        hold: Option<ChannelHold>,
    },
    /// A passing signal for the same.
    Signal {
        /// The signal to tell the sessions.
        signal: Signal,
        /// For whom; empty for a channel's subscribers.
        users: Arc<[UserId]>,
    },
    /// Events of a conversation were missed here for good: its channel's local subscribers, or the local sessions of `users`,
    /// compare heads.
    Missed {
        /// The conversation concerned.
        conversation: ConversationId,
        /// See [`crate::domain::Audience`].
        users: Arc<[UserId]>,
    },
    /// An answer for one session.
    Reply {
        /// Whose request.
        session: SessionKey,
        /// The request's id.
        id: RequestId,
        /// The answer.
        reply: Reply,
    },
}

impl Item {
    /// What the item weighs against the bound.
    fn weight_bytes(&self) -> usize {
        match self {
            Self::Event { delivery, .. } => 256 + delivery.weight_bytes(),
            Self::Signal { signal: Signal::Revoked(_), .. } | Self::Reply { .. } => 0,
            Self::Signal { .. } | Self::Missed { .. } => 128,
        }
    }
}

#[derive(Default)]
struct Queue {
    items: Vec<Item>,
    bytes: usize,
    overflowed: bool,
}

/// A worker thread's inbox; see the module's documentation.
pub struct Inbox {
    queue: Mutex<Queue>,
    waker: AtomicWaker,
    bound_bytes: usize,
}

impl Inbox {
    /// An inbox that holds at most `bound_bytes` of undelivered events.
    pub fn new(bound_bytes: usize) -> Arc<Self> {
        Arc::new(Self { queue: Mutex::default(), waker: AtomicWaker::new(), bound_bytes })
    }

    /// Hands over a batch, draining `items`, and wakes the worker once. Answers the events that found no room; whoever holds a
    /// lock drops them after it.
    pub fn put(&self, items: &mut Vec<Item>) -> Vec<Item> {
        let mut dropped = Vec::new();
        if items.is_empty() {
            return dropped;
        }
        let mut queue = lock(&self.queue);
        let was_empty = queue.items.is_empty() && !queue.overflowed;
        for item in items.drain(..) {
            let weight = item.weight_bytes();
            if weight > 0 && queue.bytes + weight > self.bound_bytes {
                queue.overflowed = true;
                dropped.push(item);
            } else {
                queue.bytes += weight;
                queue.items.push(item);
            }
        }
        drop(queue);
        if was_empty {
            self.waker.wake();
        }
        dropped
    }

    /// Takes everything, leaving `spare` (emptied) to be filled next, so that steady traffic allocates nothing.
    pub fn poll_take(&self, spare: &mut Vec<Item>, context: &Context<'_>) -> Poll<bool> {
        self.waker.register(context.waker());
        let mut queue = lock(&self.queue);
        if queue.items.is_empty() && !queue.overflowed {
            return Poll::Pending;
        }
        std::mem::swap(&mut queue.items, spare);
        queue.bytes = 0;
        Poll::Ready(std::mem::take(&mut queue.overflowed))
    }

    /// Marks that something may have been lost on the way here.
    pub fn overflow(&self) {
        lock(&self.queue).overflowed = true;
        self.waker.wake();
    }

    /// Items waiting now.
    pub fn len(&self) -> usize {
        lock(&self.queue).items.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uuid::Uuid;

    use super::*;
    use crate::domain::{FamilyId, Revocation, Timestamp};

    #[test]
    fn a_full_inbox_keeps_revocations() {
        let user = UserId::from_uuid(Uuid::from_u128(1));
        let conversation = ConversationId::direct(user, UserId::from_uuid(Uuid::from_u128(2)));
        let item = |signal| Item::Signal { signal, users: Arc::new([user]) };
        let family = Some(FamilyId::from_uuid(Uuid::from_u128(3)));
        let at = Timestamp::from_unix_ms(1);
        let inbox = Inbox::new(128);
        let dropped = inbox.put(&mut vec![
            item(Signal::Typing { conversation, user, on: true }),
            item(Signal::Typing { conversation, user, on: false }),
            item(Signal::Revoked(Revocation { user, family, at, final_: false })),
        ]);
        assert!(matches!(&dropped[..], [Item::Signal { signal: Signal::Typing { on: false, .. }, .. }]));
        assert_eq!(inbox.len(), 2);
    }
}
