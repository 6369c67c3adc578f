//! Router, multi-node part: publishes local commits to the bus, and compares relay digests with what was
//! delivered here.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use smallvec::SmallVec;
use tokio::sync::mpsc;

use super::dispatch::same_conversation;
use super::published::PublishedSet;
use super::tracker::Named;
use super::{Repair, Router, State};
use crate::bus::{BusMessage, Digest, Moved, Payload};
use crate::domain::{Committed, ConversationId, ConversationKind, Position, Topic, UserId, topics};
use crate::store::Cursor;

/// A notice for the follower.
#[derive(Debug, Clone)]
pub enum Notice {
    /// A digest of a relay arrived.
    Digest(Arc<Digest>),
    /// The bus may have lost something.
    Gap,
    /// The bus brought events of another log than the one this node follows.
    OtherLog,
}

/// When one digest shows more holes than this, reading the whole log costs less than reading each
/// conversation.
const HOLES_PER_DIGEST: usize = 200;
/// Events in one bus message.
const EVENTS_PER_MESSAGE: usize = 32;

impl Router {
    /// From now on other processes write too. `follower` is sent digests and gaps, and everything before
    /// `covered` counts as delivered. Call before the first session.
    pub fn follow(&self, follower: mpsc::Sender<Notice>, covered: Cursor) {
        let already = self.follower.set(follower);
        debug_assert!(already.is_ok(), "the log is followed once");
        self.writes_to(covered.epoch);
        self.cover(covered.position);
        if let Some(bus) = self.bus.get() {
            bus.subscribe(Topic::Digest);
        }
    }

    /// Everything before `position` was delivered here or is being healed.
    pub fn cover(&self, position: Position) {
        self.covered.store(position.0, Ordering::Release);
    }

    /// This node commits to the log `epoch`, and its events are published with that epoch. A node drops
    /// events of another log, because they are different events with the same seqs.
    pub fn writes_to(&self, epoch: u64) {
        self.lock().epoch = Some(epoch);
    }

    /// The log was replaced and ends at `end`. Nothing known of the old one is valid, so every session
    /// compares heads.
    pub fn another_log(&self, end: Cursor) {
        let mut state = self.lock();
        state.tracker.clear();
        state.epoch = Some(end.epoch);
        self.log_changes.fetch_add(1, Ordering::Release);
        self.cover(end.position);
        drop(state);
        self.compare_heads();
    }

    /// How often the log was found replaced since the start.
    pub fn log_changes(&self) -> u64 {
        self.log_changes.load(Ordering::Acquire)
    }

    /// For how many milliseconds the oldest undecided transaction that has written has held back the log's
    /// end.
    pub fn held_back_ms(&self) -> u64 {
        self.held_back_ms.load(Ordering::Relaxed)
    }

    /// The follower found that the log's end has been held back for `ms`.
    pub(in crate::actors) fn hold_back(&self, held_back_ms: u64) {
        self.held_back_ms.store(held_back_ms, Ordering::Relaxed);
        self.meters.bus.held_back.set(held_back_ms as f64 / 1_000.0);
    }

    /// From now on what nodes publish is noted in `announced`, for a relay in this process.
    pub fn announce_to(&self, announced: Arc<PublishedSet>) {
        let already = self.announced.set(announced);
        debug_assert!(already.is_ok(), "one relay listens");
        if let Some(bus) = self.bus.get() {
            bus.subscribe(Topic::Published);
        }
    }

    /// Compares a digest with what was delivered here, and asks the healer for what is missing. Returns
    /// `false` when so much is missing that the whole log must be read from where the digest begins.
    pub fn compare(&self, digest: &Digest) -> bool {
        let covered = self.covered();
        let mut missing = Vec::new();
        let mut state = self.lock();
        for Moved { conversation, first, last, users } in &digest.moved {
            if state.tracker.undelivered(*conversation, *first, *last) {
                self.tell_undelivered(*conversation, users);
            }
            let here = users.iter().copied().filter(|user| self.has_sessions(*user));
            if !self.interest.workers(topics(*conversation, users)).is_empty()
                && state.tracker.learn(*conversation, (*first, *last), here, covered)
            {
                missing.push(*conversation);
            }
        }
        self.meters.resume.gaps_detected.of("digest").increment(missing.len() as u64);
        let mut asked = missing.len() <= bound!(HolesPerDigest, HOLES_PER_DIGEST);
        for conversation in missing {
            asked = asked && self.repairs.try_send(Repair::Hole(conversation)).is_ok();
            if !asked {
                state.tracker.postpone(conversation);
            }
        }
        asked
    }

    /// A hole cannot be healed: the readers of the conversation here, and the users who joined or left it in
    /// the hole, must compare heads. They are told before any later event of the conversation.
    pub fn give_up(&self, conversation: ConversationId) {
        self.give_up_in(&mut self.lock(), conversation);
    }

    pub(super) fn give_up_in(&self, state: &mut State, conversation: ConversationId) {
        self.meters.resume.gaps_given_up.increment(1);
        let Named::Users(users) = state.tracker.give_up(conversation) else { return self.compare_heads() };
        let users: Arc<[UserId]> = users.into_iter().collect();
        self.tell_missed(conversation, &users);
        if conversation.kind() == ConversationKind::Channel {
            self.tell_joined(conversation, &users);
        }
    }

    /// Sends a digest to every gateway, including the one in this process.
    pub fn broadcast(&self, digest: Digest) {
        let digest = Arc::new(digest);
        if let Some(bus) = self.bus.get() {
            let topics = SmallVec::from_slice(&[Topic::Digest]);
            let epoch = Some(digest.epoch);
            bus.publish(vec![BusMessage { topics, epoch, payload: Payload::Digest(Arc::clone(&digest)) }]);
        }
        self.notify(Notice::Digest(digest));
    }

    /// Sends a notice to the follower. When its queue is full, the follower finds the gap by itself from the
    /// next digest.
    pub(super) fn notify(&self, notice: Notice) {
        if let Some(follower) = self.follower.get()
            && follower.try_send(notice).is_err()
        {
            self.meters.load.sheds.of("bus").increment(1);
        }
    }

    /// Publishes events of the log `epoch`.
    pub(super) fn publish(&self, committed: &[Committed], epoch: Option<u64>) {
        if let (Some(announced), Some(epoch)) = (self.announced.get(), epoch) {
            announced.note(epoch, committed.iter().map(|one| (one.event.conversation, one.event.seq)));
        }
        let Some(bus) = self.bus.get() else { return };
        let mut messages = messages_of(committed, epoch);
        let published = committed.iter().map(|one| (one.event.conversation, one.event.seq)).collect();
        let topics = SmallVec::from_slice(&[Topic::Published]);
        messages.push(BusMessage { topics, epoch, payload: Payload::Published(published) });
        bus.publish(messages);
    }
}

/// Successive events of one conversation are sent in one message, so that a member added by one of them sees
/// that no earlier one is missing.
fn messages_of(committed: &[Committed], epoch: Option<u64>) -> Vec<BusMessage> {
    let most = bound!(EventsPerBusMessage, EVENTS_PER_MESSAGE);
    let runs = committed.chunk_by(same_conversation).flat_map(|run| run.chunks(most));
    runs.map(|run| BusMessage { topics: topics_of(run), epoch, payload: Payload::Events(run.to_vec()) })
        .collect()
}

/// The topics of all users whom one of these events of a conversation is for.
fn topics_of(run: &[Committed]) -> SmallVec<[Topic; 2]> {
    let [first, more @ ..] = run else { return SmallVec::new() };
    let mut all: SmallVec<[Topic; 2]> = topics(first.event.conversation, &first.audience.users).collect();
    let others = more.iter().filter(|one| !Arc::ptr_eq(&one.audience.users, &first.audience.users));
    let mut known: HashSet<Topic> = HashSet::new();
    for one in others {
        if known.is_empty() {
            known.extend(all.iter().copied());
        }
        all.extend(topics(one.event.conversation, &one.audience.users).filter(|topic| known.insert(*topic)));
    }
    all
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{Audience, Event, EventKind, LeaveReason, Seq, Timestamp};

    fn committed(conversation: ConversationId, seq: u64, users: &[u128]) -> Committed {
        let users: Vec<UserId> = users.iter().map(|n| UserId::from_uuid(Uuid::from_u128(*n))).collect();
        let event = Event {
            conversation,
            seq: Seq::new(seq).unwrap_or_default(),
            sender: users[0],
            sent_at: Timestamp::default(),
            kind: EventKind::MemberLeft { user: users[0], reason: LeaveReason::Left },
        };
        Committed {
            event: Arc::new(event),
            position: Position(9),
            previous: Position(9),
            audience: Audience { users: users.into() },
        }
    }

    #[test]
    fn successive_events_of_a_conversation_travel_together_to_all_they_concern() {
        let room = |n: u128| ConversationId::from_random(ConversationKind::Group, Uuid::from_u128(n << 8));
        let events = [
            committed(room(1), 1, &[1]),
            committed(room(1), 2, &[1, 2]),
            committed(room(1), 3, &[1, 2, 3]),
            committed(room(2), 7, &[4]),
        ];
        let messages = messages_of(&events, Some(1));
        assert_eq!(messages.len(), 2);
        assert!(messages.iter().all(|message| message.epoch == Some(1)));
        let user = |n| Topic::User(UserId::from_uuid(Uuid::from_u128(n)));
        assert_eq!(messages[0].topics.as_slice(), [user(1), user(2), user(3)]);
        assert_eq!(messages[0].payload, Payload::Events(events[..3].to_vec()));
        assert_eq!(messages[1].topics.as_slice(), [user(4)]);
        let many = vec![committed(room(1), 1, &[1]); EVENTS_PER_MESSAGE + 1];
        assert_eq!(messages_of(&many, Some(1)).len(), 2);
    }
}
