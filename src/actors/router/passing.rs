//! From what was committed or arrived to the workers' inboxes, in the order of each conversation.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::interest::{WorkerId, WorkerSet};
use super::tracker::Verdict;
use super::{Mend, NO_FOLLOWER, RoutedReply, Router, State};
use crate::actors::inbox::Item;
use crate::domain::{Committed, ConversationId, ConversationKind, EventKind, Position, Topic, topics};
use crate::panics;
use crate::protocol::delivery::Delivery;

/// Keeps a channel's events coming to a worker until its sessions have subscribed themselves.
#[derive(Debug)]
pub struct ChannelHold {
    router: Weak<Router>,
    worker: WorkerId,
    channel: ConversationId,
}

impl Drop for ChannelHold {
    fn drop(&mut self) {
        if let Some(router) = self.router.upgrade() {
            router.unsubscribe(self.worker, Topic::Channel(self.channel));
        }
    }
}

impl Router {
    pub(super) fn pass_on(&self, committed: Vec<Committed>, replies: Vec<RoutedReply>) {
        let covered = self.covered.load(Ordering::Acquire);
        let covered = (covered != NO_FOLLOWER).then_some(Position(covered));
        let mut state = self.lock();
        panics::point("router");
        for RoutedReply { worker, item } in replies {
            state.outgoing[usize::from(worker)].push(item);
        }
        for one in committed {
            self.judge(&mut state, one, covered);
        }
        let mut dropped = Vec::new();
        for (worker, items) in state.outgoing.iter_mut().enumerate() {
            dropped.extend(self.inboxes[worker].put(items));
        }
        drop(state);
        if !dropped.is_empty() {
            self.meters.delivery.inbox_overflows.increment(1);
            self.meters.load.sheds.of("inbox").increment(dropped.len() as u64);
        }
    }

    fn judge(&self, state: &mut State, one: Committed, covered: Option<Position>) {
        let conversation = one.event.conversation;
        let workers = self.interest.workers(topics(conversation, &one.audience.users));
        if workers.is_empty() {
            // Nobody here reads it, so nobody here can miss it.
            return state.tracker.rest(conversation);
        }
        // Without named users whoever is concerned reads the channel.
        let named = !one.audience.users.is_empty();
        if named && conversation.kind() == ConversationKind::Channel && !self.reads_channel(conversation) {
            return self.judge_for_user(state, one, workers);
        }
        match state.tracker.admit(&one, covered) {
            verdict @ (Verdict::Pass | Verdict::Old) => {
                if verdict == Verdict::Pass {
                    self.hand_out(state, one, workers);
                }
                for next in state.tracker.release(conversation) {
                    let workers = self.interest.workers(topics(conversation, &next.audience.users));
                    self.hand_out(state, next, workers);
                }
            }
            Verdict::Repeat => self.meters.bus.duplicates.increment(1),
            Verdict::Hole { first } => {
                self.meters.resume.gaps_detected.of("live").increment(1);
                // A full queue leaves the hole to the conversation's next event.
                if first && self.holes.try_send(Mend::Hole(conversation)).is_err() {
                    state.tracker.put_off(conversation);
                }
            }
        }
    }

    /// An event of a channel that nobody here reads, for somebody whose membership it changes. Its predecessors concern nobody
    /// here; whoever joins reads from it on.
    fn judge_for_user(&self, state: &mut State, one: Committed, workers: WorkerSet) {
        let (conversation, seq) = (one.event.conversation, one.event.seq);
        if state.tracker.last(conversation).is_some_and(|last| seq <= last) {
            return self.meters.bus.duplicates.increment(1);
        }
        if matches!(one.event.kind, EventKind::MemberJoined { .. }) {
            state.tracker.restart(conversation, seq);
            self.hand_out(state, one, workers);
            // What is said before the bus carries the channel here is read; a full queue leaves it to the next event.
            let _ = self.holes.try_send(Mend::Look(conversation));
        } else {
            self.hand_out(state, one, workers);
        }
    }

    fn hand_out(&self, state: &mut State, committed: Committed, workers: WorkerSet) {
        let joining = match &committed.event.kind {
            EventKind::MemberJoined { user, .. }
                if committed.event.conversation.kind() == ConversationKind::Channel =>
            {
                self.interest.workers(std::iter::once(Topic::User(*user)))
            }
            _ => WorkerSet::EMPTY,
        };
        let channel = committed.event.conversation;
        let delivery = Arc::new(Delivery::new(committed.event, committed.position));
        for worker in workers.iter() {
            let users = Arc::clone(&committed.audience.users);
            // From this very event on: the worker may take a while to subscribe its sessions.
            let hold = joining.contains(worker).then(|| self.hold(worker, channel));
            state.outgoing[usize::from(worker)].push(Item::Event {
                delivery: Arc::clone(&delivery),
                users,
                hold,
            });
        }
    }

    pub(super) fn reads_channel(&self, channel: ConversationId) -> bool {
        !self.interest.workers(std::iter::once(Topic::Channel(channel))).is_empty()
    }

    fn hold(&self, worker: WorkerId, channel: ConversationId) -> ChannelHold {
        self.subscribe(worker, Topic::Channel(channel));
        ChannelHold { router: Weak::clone(&self.me), worker, channel }
    }
}
