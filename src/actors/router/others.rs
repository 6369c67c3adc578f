//! What a router does where other processes write to the same log: it tells them, and holds what they tell against what it
//! passed on.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use smallvec::SmallVec;
use tokio::sync::mpsc;

use super::announced::Announced;
use super::{Mend, Router, parcel_of};
use crate::bus::{Cargo, Digest, Parcel};
use crate::domain::{Committed, ConversationKind, Position, Topic, topics};

/// What the follower is told.
#[derive(Debug, Clone)]
pub enum Notice {
    /// A relay told what moved.
    Digest(Arc<Digest>),
    /// The bus may have lost something.
    Gap,
}

/// Holes that one digest may show before reading the log as a whole costs less than reading each conversation.
const HOLES_PER_DIGEST: usize = 200;

impl Router {
    /// From now on other processes write too: `follower` is told of digests and gaps, and everything before `covered` counts
    /// as passed on. Call before the first session.
    pub fn follow(&self, follower: mpsc::Sender<Notice>, covered: Position) {
        let already = self.follower.set(follower);
        debug_assert!(already.is_ok(), "the log is followed once");
        self.cover(covered);
        if let Some(bus) = self.bus.get() {
            bus.subscribe(Topic::Digest);
        }
    }

    /// Everything before `position` has been passed on here, or is being healed.
    pub fn cover(&self, position: Position) {
        self.covered.store(position.0, Ordering::Release);
    }

    /// From now on what nodes publish is noted in `announced`, for a relay in this process.
    pub fn announce_to(&self, announced: Arc<Announced>) {
        let already = self.announced.set(announced);
        debug_assert!(already.is_ok(), "one relay listens");
        if let Some(bus) = self.bus.get() {
            bus.subscribe(Topic::Published);
        }
    }

    /// Holds a digest against what was passed on here, and has what is missing read. `false`: so much is missing that the
    /// log is to be read as a whole from where the digest begins.
    pub fn compare(&self, digest: &Digest) -> bool {
        let mut mends = Vec::new();
        let mut state = self.lock();
        for moved in &digest.moved {
            let conversation = moved.conversation;
            if self.interest.workers(topics(conversation, &moved.users)).is_empty() {
                continue;
            }
            if conversation.kind() == ConversationKind::Channel && !self.reads_channel(conversation) {
                // Somebody here joined or left, or both. What they were told of is recognised.
                if state.tracker.last(conversation).is_none_or(|last| last < moved.last) {
                    mends.push(Mend::Members { channel: conversation, first: moved.first, last: moved.last });
                }
            } else if state.tracker.learn(conversation, moved.first, moved.last) {
                mends.push(Mend::Hole(conversation));
            }
        }
        let mut asked = mends.len() <= HOLES_PER_DIGEST;
        for mend in mends {
            self.meters.resume.gaps_detected.of("digest").increment(1);
            asked = asked && self.holes.try_send(mend).is_ok();
            if !asked && let Mend::Hole(conversation) = mend {
                state.tracker.put_off(conversation);
            }
        }
        asked
    }

    /// Tells every gateway what moved, this process's own included.
    pub fn broadcast(&self, digest: Digest) {
        let digest = Arc::new(digest);
        if let Some(bus) = self.bus.get() {
            let topics = SmallVec::from_slice(&[Topic::Digest]);
            bus.publish(vec![Parcel { topics, cargo: Cargo::Digest(Arc::clone(&digest)) }]);
        }
        self.notify(Notice::Digest(digest));
    }

    /// Tells the follower; a full queue is a gap it finds by itself, since digests join up.
    pub(super) fn notify(&self, notice: Notice) {
        if let Some(follower) = self.follower.get()
            && follower.try_send(notice).is_err()
        {
            self.meters.load.sheds.of("bus").increment(1);
        }
    }

    pub(super) fn publish(&self, committed: &[Committed]) {
        if let Some(announced) = self.announced.get() {
            announced.note(committed.iter().map(|one| (one.event.conversation, one.event.seq)));
        }
        let Some(bus) = self.bus.get() else { return };
        let mut parcels: Vec<Parcel> = committed.iter().map(parcel_of).collect();
        let published = committed.iter().map(|one| (one.event.conversation, one.event.seq)).collect();
        let topics = SmallVec::from_slice(&[Topic::Published]);
        parcels.push(Parcel { topics, cargo: Cargo::Published(published) });
        bus.publish(parcels);
    }
}
