//! The inbox of a worker thread. Other threads put events, signals and replies for its sessions here, one
//! batch at a time.
//!
//! Waking another thread for every message doubles the cost of a direct message (ADR 0001). So a thread that
//! has items for the sessions of another thread hands them over as one batch and wakes that thread once.
//!
//! Bound: bytes of undelivered events. Policy when full: the batch's events are dropped and the overflow is
//! noted. The worker then makes every session compare heads, so the events arrive later and none is lost.
//! Replies are never dropped: the requests in flight bound their number. Revocations are never dropped,
//! because nothing would repeat them. Each of them takes a call that is rate limited.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use serde::Serialize;

use crate::bus::Signal;
use crate::domain::{ConversationId, MessageId, UserId};
use crate::environment::SharedEnvironment;
use crate::panics::lock;
use crate::protocol::delivery::Delivery;
use crate::protocol::{Failure, RequestId};
use crate::store::{Appended, Changed};

/// A session's slot in its worker. The generation ensures that a late reply never reaches the next session in
/// the same slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionKey {
    /// The slot in the worker's slab.
    pub slot: u32,
    /// How often the slot was used before.
    pub generation: u32,
}

/// The answer to a request that a session sent to an actor.
#[derive(Debug)]
pub enum Reply {
    /// To a send.
    Sent(Result<(MessageId, Appended), Failure>),
    /// To a change.
    Changed(Result<(ConversationId, Changed), Failure>),
}

/// Keeps a channel's events coming to a worker until its sessions have subscribed themselves. Dropping it
/// ends that.
pub struct ChannelHold {
    release: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl ChannelHold {
    /// `release` is called once, when the hold is dropped.
    pub fn new(release: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self { release: Some(Box::new(release)) }
    }
}

impl Drop for ChannelHold {
    fn drop(&mut self) {
        if let Some(release) = self.release.take() {
            release();
        }
    }
}

impl fmt::Debug for ChannelHold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChannelHold")
    }
}

/// One item for a worker's sessions.
#[derive(Debug)]
pub enum Item {
    /// An event for the channel's local subscribers, or the local sessions of `users`.
    Event {
        /// The event, encoded at most once per encoding.
        delivery: Arc<Delivery>,
        /// See [`crate::domain::Audience`].
        users: Arc<[UserId]>,
        /// The event makes one of the worker's users a reader of a channel. The channel's events are
        /// delivered to this worker until the hold is dropped, or longer if a session subscribed in the
        /// meantime.
        hold: Option<ChannelHold>,
    },
    /// A signal for the channel's local subscribers, or the local sessions of `users`.
    Signal {
        /// The signal to deliver.
        signal: Signal,
        /// The users it is for; empty for a channel's subscribers.
        users: Arc<[UserId]>,
    },
    /// Events of a conversation are lost on this node: its channel's local subscribers, or the local sessions
    /// of `users`, must compare heads.
    Missed {
        /// The conversation concerned.
        conversation: ConversationId,
        /// See [`crate::domain::Audience`].
        users: Arc<[UserId]>,
    },
    /// The local sessions of `user` must compare heads, unless they read the channel: the user joined it by
    /// an event that was not delivered here.
    Joined {
        /// The channel.
        channel: ConversationId,
        /// The user who may have joined it.
        user: UserId,
    },
    /// A reply for one session.
    Reply {
        /// The session that made the request.
        session: SessionKey,
        /// The request's id.
        id: RequestId,
        /// The answer.
        reply: Reply,
    },
}

impl Item {
    /// The bytes that the item counts against the bound.
    fn weight_bytes(&self) -> usize {
        match self {
            Self::Event { delivery, .. } => 256 + delivery.weight_bytes(),
            Self::Signal { signal: Signal::Revoked(_), .. } | Self::Reply { .. } => 0,
            Self::Signal { .. } | Self::Missed { .. } | Self::Joined { .. } => 128,
        }
    }
}

#[derive(Default)]
struct Queue {
    items: Vec<Item>,
    bytes: usize,
    overflowed: bool,
    /// When the first of the items came, on the monotonic clock. They are all taken at once.
    since_ms: u64,
}

/// The state of an inbox, for inspection.
#[derive(Debug, Clone, Serialize)]
pub struct InboxObserved {
    /// Items that the worker has not taken.
    pub waiting_items: usize,
    /// How long the oldest of them has waited.
    pub oldest_ms: u64,
    /// The bytes that they count against the bound.
    pub bytes: usize,
    /// Whether events were dropped, and the worker has not taken note of it.
    pub has_overflowed: bool,
}

/// The inbox of one worker thread.
pub struct Inbox {
    queue: Mutex<Queue>,
    waker: AtomicWaker,
    bound_bytes: usize,
    environment: SharedEnvironment,
}

impl Inbox {
    /// An inbox that holds at most `bound_bytes` of undelivered events.
    pub fn new(bound_bytes: usize, environment: SharedEnvironment) -> Arc<Self> {
        let bound_bytes = bound!(InboxBytes, bound_bytes);
        Arc::new(Self { queue: Mutex::default(), waker: AtomicWaker::new(), bound_bytes, environment })
    }

    /// Hands over a batch, draining `items`, and wakes the worker once. Returns the events that found no
    /// room, so that a caller who holds a lock can drop them after releasing it.
    pub fn put(&self, items: &mut Vec<Item>) -> Vec<Item> {
        let mut dropped = Vec::new();
        if items.is_empty() {
            return dropped;
        }
        let mut queue = lock(&self.queue);
        let was_empty = queue.items.is_empty() && !queue.overflowed;
        if queue.items.is_empty() {
            queue.since_ms = self.environment.monotonic_ms();
        }
        for item in items.drain(..) {
            let weight = item.weight_bytes();
            if weight > 0 && queue.bytes + weight > self.bound_bytes {
                rare!(InboxFull);
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

    /// Takes everything and leaves `spare` (emptied) to be filled next, so that steady traffic allocates
    /// nothing.
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

    /// Notes that something may have been lost on the way here.
    pub fn overflow(&self) {
        lock(&self.queue).overflowed = true;
        self.waker.wake();
    }

    /// The items that wait in it now.
    pub fn observed(&self) -> InboxObserved {
        let now_ms = self.environment.monotonic_ms();
        let queue = lock(&self.queue);
        let waits = !queue.items.is_empty();
        InboxObserved {
            waiting_items: queue.items.len(),
            oldest_ms: if waits { now_ms.saturating_sub(queue.since_ms) } else { 0 },
            bytes: queue.bytes,
            has_overflowed: queue.overflowed,
        }
    }

    /// How many items wait.
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
    use crate::domain::{FamilyId, Revocation, RevocationKind, Timestamp};
    use crate::environment::ManualEnvironment;

    #[test]
    fn a_full_inbox_keeps_revocations() {
        let user = UserId::from_uuid(Uuid::from_u128(1));
        let conversation = ConversationId::direct(user, UserId::from_uuid(Uuid::from_u128(2)));
        let item = |signal| Item::Signal { signal, users: Arc::new([user]) };
        let family = Some(FamilyId::from_uuid(Uuid::from_u128(3)));
        let at = Timestamp::from_unix_ms(1);
        let inbox = Inbox::new(128, Arc::new(ManualEnvironment::new(0, 1)));
        let dropped = inbox.put(&mut vec![
            item(Signal::Typing { conversation, user, on: true }),
            item(Signal::Typing { conversation, user, on: false }),
            item(Signal::Revoked(Revocation { user, family, at, kind: RevocationKind::Tokens })),
        ]);
        assert!(matches!(&dropped[..], [Item::Signal { signal: Signal::Typing { on: false, .. }, .. }]));
        assert_eq!(inbox.len(), 2);
    }

    #[test]
    fn it_shows_for_how_long_the_oldest_item_waits() {
        let user = UserId::from_uuid(Uuid::from_u128(1));
        let environment = Arc::new(ManualEnvironment::new(5_000, 1));
        let inbox = Inbox::new(1_024, environment.clone());
        let missed = || Item::Missed {
            conversation: ConversationId::direct(user, UserId::from_uuid(Uuid::from_u128(2))),
            users: Arc::new([user]),
        };
        let oldest_ms = || inbox.observed().oldest_ms;
        environment.advance_ms(100);
        assert_eq!(oldest_ms(), 0, "nothing waits");
        inbox.put(&mut vec![missed()]);
        environment.advance_ms(30);
        inbox.put(&mut vec![missed()]);
        environment.advance_ms(12);
        assert_eq!(oldest_ms(), 42);
        let context = Context::from_waker(std::task::Waker::noop());
        assert!(inbox.poll_take(&mut Vec::new(), &context).is_ready());
        assert_eq!(oldest_ms(), 0);
        inbox.put(&mut vec![missed()]);
        environment.advance_ms(7);
        assert_eq!(oldest_ms(), 7);
    }
}
