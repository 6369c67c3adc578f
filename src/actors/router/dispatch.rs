//! Router, local part: puts events into the inboxes of the workers that have readers, in the order of each
//! conversation.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use smallvec::SmallVec;

use super::interest::{WorkerId, WorkerSet};
use super::tracker::{EventSource, Verdict};
use super::{NO_FOLLOWER, Notice, Repair, RoutedReply, Router, State};
use crate::actors::inbox::{ChannelHold, Item};
use crate::domain::{
    Committed, ConversationId, ConversationKind, EventKind, Position, Topic, UserId, topics,
};
use crate::panics;
use crate::protocol::delivery::Delivery;

impl Router {
    /// Delivers events that came by the bus, each message with the epoch of its log. Events of another log
    /// than this node's are dropped: they are different events with the same seqs.
    pub(super) fn pass_on_from_bus(&self, messages: Vec<(Option<u64>, Vec<Committed>)>) {
        let mut state = self.lock();
        let (mut events, mut others) = (Vec::new(), 0);
        for (epoch, committed) in messages {
            if epoch == state.epoch {
                events.extend(committed);
            } else {
                others += 1;
            }
        }
        let dropped = self.pass_on(&mut state, &events, EventSource::Live, Vec::new());
        drop(state);
        drop(dropped);
        if others > 0 {
            rare!(EventsOfAnotherLog);
            self.meters.bus.dropped.of("another_log").increment(others);
            self.notify(Notice::OtherLog);
        }
    }

    /// Delivers events and replies. Returns the items that found no room: the caller drops them after it has
    /// released the lock, because an item may hold a channel, and letting that go takes the lock.
    #[must_use = "drop it when the lock is released"]
    pub(super) fn pass_on(
        &self,
        state: &mut State,
        committed: &[Committed],
        source: EventSource,
        replies: Vec<RoutedReply>,
    ) -> Vec<Item> {
        let covered = self.covered();
        panics::point("router");
        for RoutedReply { worker, item } in replies {
            state.outgoing[usize::from(worker)].push(item);
        }
        for run in committed.chunk_by(same_conversation) {
            self.dispatch_run(state, run, source, covered);
        }
        self.meters.delivery.tracked.set(state.tracker.len() as f64);
        let mut dropped = Vec::new();
        for (worker, items) in state.outgoing.iter_mut().enumerate() {
            dropped.extend(self.inboxes[worker].put(items));
        }
        if !dropped.is_empty() {
            self.meters.delivery.inbox_overflows.increment(1);
            self.meters.load.sheds.of("inbox").increment(dropped.len() as u64);
        }
        dropped
    }

    /// Everything before this position was delivered here; `None` where no other process writes.
    pub fn covered(&self) -> Option<Position> {
        let covered = self.covered.load(Ordering::Acquire);
        (covered != NO_FOLLOWER).then_some(Position(covered))
    }

    /// Dispatches successive events of one conversation. Events without a local reader count too if a later
    /// one has a reader: they show that no predecessor is missing.
    fn dispatch_run(
        &self,
        state: &mut State,
        run: &[Committed],
        source: EventSource,
        covered: Option<Position>,
    ) {
        let readers: SmallVec<[WorkerSet; 1]> = run.iter().map(|one| self.readers(one)).collect();
        let remember = readers.iter().any(|workers| !workers.is_empty());
        for (one, mut workers) in run.iter().zip(readers) {
            let conversation = one.event.conversation;
            if run.len() > 1 && conversation.kind() == ConversationKind::Channel {
                // An earlier event may have made a user here a reader.
                workers = self.readers(one);
            }
            match state.tracker.admit(one, (!workers.is_empty(), remember), source, covered) {
                verdict @ (Verdict::Pass | Verdict::Old) => {
                    if verdict == Verdict::Pass {
                        self.hand_out(state, one, workers);
                    }
                    for next in state.tracker.release(conversation) {
                        let workers = self.readers(&next);
                        self.hand_out(state, &next, workers);
                    }
                }
                Verdict::Repeat => {
                    rare!(EventDeliveredTwice);
                    self.meters.bus.duplicates.increment(1);
                }
                Verdict::Undelivered => match one.event.kind {
                    EventKind::MemberJoined { user, .. } => self.tell_undelivered(conversation, &[user]),
                    // Who left a channel was among its readers, and they were told.
                    EventKind::MemberLeft { user, .. } if conversation.kind() == ConversationKind::Group => {
                        self.tell_undelivered(conversation, &[user]);
                    }
                    _ => {}
                },
                Verdict::Unread | Verdict::Held => {}
                Verdict::Hole => {
                    rare!(HoleFoundByAnEvent);
                    self.meters.resume.gaps_detected.of("live").increment(1);
                    // Nothing says that another event comes soon, or that the log can be read as far as here.
                    if self.repairs.try_send(Repair::Hole(conversation)).is_err() {
                        rare!(HoleGivenUpUnread);
                        self.give_up_in(state, conversation);
                    }
                }
            }
        }
    }

    /// Nobody here was sent events that are for `users`: their sessions compare heads. In a channel those
    /// that read it do not: its readers were told, or their heads counted the events.
    pub(super) fn tell_undelivered(&self, conversation: ConversationId, users: &[UserId]) {
        if conversation.kind() == ConversationKind::Channel {
            return self.tell_joined(conversation, users);
        }
        rare!(HoleNamedAfterItWasGivenUp);
        self.tell_missed(conversation, &users.into());
    }

    /// The readers of a conversation here must compare heads. `users`: see [`crate::domain::Audience`].
    pub(super) fn tell_missed(&self, conversation: ConversationId, users: &Arc<[UserId]>) {
        for worker in self.interest.workers(topics(conversation, users)).iter() {
            self.inbox(worker).put(&mut vec![Item::Missed { conversation, users: Arc::clone(users) }]);
        }
    }

    /// Users may have joined a channel by an event that nobody here was sent. Their sessions that do not read
    /// it compare heads.
    pub(super) fn tell_joined(&self, channel: ConversationId, users: &[UserId]) {
        for user in users {
            for worker in self.interest.workers(std::iter::once(Topic::User(*user))).iter() {
                rare!(JoinCountedByAnotherReader);
                self.inbox(worker).put(&mut vec![Item::Joined { channel, user: *user }]);
            }
        }
    }

    fn readers(&self, one: &Committed) -> WorkerSet {
        self.interest.workers(topics(one.event.conversation, &one.audience.users))
    }

    fn hand_out(&self, state: &mut State, one: &Committed, workers: WorkerSet) {
        let conversation = one.event.conversation;
        let joining = match &one.event.kind {
            EventKind::MemberJoined { user, .. } if conversation.kind() == ConversationKind::Channel => {
                self.interest.workers(std::iter::once(Topic::User(*user)))
            }
            _ => WorkerSet::EMPTY,
        };
        let begins = !joining.is_empty() && !self.reads_channel(conversation);
        let delivery = Arc::new(Delivery::new(Arc::clone(&one.event), one.position));
        for worker in workers.iter() {
            let users = Arc::clone(&one.audience.users);
            // From this event on, because the worker may take a while to subscribe its sessions.
            let hold = joining.contains(worker).then(|| self.hold_channel(worker, conversation));
            state.outgoing[usize::from(worker)].push(Item::Event {
                delivery: Arc::clone(&delivery),
                users,
                hold,
            });
        }
        if begins {
            // What is committed before the bus delivers the channel here must be read. When the queue is
            // full, the next event shows it again.
            let _ = self.repairs.try_send(Repair::NewChannel(conversation));
        }
    }

    pub(super) fn has_sessions(&self, user: UserId) -> bool {
        !self.interest.workers(std::iter::once(Topic::User(user))).is_empty()
    }

    fn reads_channel(&self, channel: ConversationId) -> bool {
        !self.interest.workers(std::iter::once(Topic::Channel(channel))).is_empty()
    }

    fn hold_channel(&self, worker: WorkerId, channel: ConversationId) -> ChannelHold {
        self.subscribe(worker, Topic::Channel(channel));
        let router = Weak::clone(&self.me);
        ChannelHold::new(move || {
            if let Some(router) = router.upgrade() {
                router.unsubscribe(worker, Topic::Channel(channel));
            }
        })
    }
}

pub(super) fn same_conversation(one: &Committed, next: &Committed) -> bool {
    one.event.conversation == next.event.conversation
}
