//! The order of each conversation as this node delivers it. Finds repeated and missing events by their seqs.

mod named;
mod track;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

pub use self::named::Named;
pub use self::track::{EventSource, Need, Verdict};

use self::track::Track;
use crate::domain::{Committed, ConversationId, Position, Seq, UserId};

/// The delivered seqs per conversation, and the events that wait because earlier ones are missing.
///
/// Bounded: at most `capacity` conversations. Above that, conversations without a reader are forgotten, then
/// all that are not being healed. The next event of a forgotten conversation is judged by its position.
#[derive(Debug)]
pub struct Tracker {
    tracks: HashMap<ConversationId, Track>,
    capacity: usize,
}

impl Tracker {
    /// An empty tracker.
    pub fn new(capacity: usize) -> Self {
        Self { tracks: HashMap::new(), capacity }
    }

    /// Judges an event and keeps it if it must be held back. `read`: it has a reader here. `remember`: the
    /// conversation is tracked from now on, even if it is not yet. `covered`: everything before this position
    /// has reached this node or was read by its readers; `None` where no other process writes.
    pub fn admit(
        &mut self,
        one: &Committed,
        (read, remember): (bool, bool),
        source: EventSource,
        covered: Option<Position>,
    ) -> Verdict {
        if let Some(track) = self.tracks.get_mut(&one.event.conversation) {
            return track.admit(one, read, source, covered);
        }
        if !remember {
            return Verdict::Unread;
        }
        self.track(one.event.conversation).admit(one, read, source, covered)
    }

    /// The log holds events `first..=last` of a conversation, a session here reads some of them, all of them
    /// should have arrived, and everything before them is covered. `users`: the users here that any of them
    /// is for. Returns whether healing must start.
    pub fn learn(
        &mut self,
        conversation: ConversationId,
        (first, last): (Seq, Seq),
        users: impl IntoIterator<Item = UserId>,
        covered: Option<Position>,
    ) -> bool {
        self.track(conversation).learn((first, last), users, covered)
    }

    /// A local session begins to read the conversation and has everything up to `last`.
    pub fn follow_from(&mut self, conversation: ConversationId, last: Seq) {
        self.track(conversation).follow_from(last);
    }

    /// Whether any of the events `first..=last` was sent to nobody here, because the heads of the first
    /// reader counted it or because it is of a hole that was given up.
    pub fn undelivered(&self, conversation: ConversationId, first: Seq, last: Seq) -> bool {
        self.tracks.get(&conversation).is_some_and(|track| track.undelivered(first, last))
    }

    /// The last local reader of a conversation has left. What was delivered is remembered while there is
    /// room.
    pub fn unfollow(&mut self, conversation: ConversationId) {
        if let Some(track) = self.tracks.get_mut(&conversation) {
            track.unfollow();
        }
    }

    /// The events that may be delivered now because their predecessor was, in order. Call after each
    /// [`Verdict::Pass`] or [`Verdict::Old`].
    pub fn release(&mut self, conversation: ConversationId) -> Vec<Committed> {
        self.tracks.get_mut(&conversation).map(Track::release).unwrap_or_default()
    }

    /// The last seq that was delivered or had no reader here; `None` when the conversation is not tracked.
    pub fn last(&self, conversation: ConversationId) -> Option<Seq> {
        self.tracks.get(&conversation).map(Track::last)
    }

    /// The next action of the healer for this conversation.
    pub fn need(&mut self, conversation: ConversationId) -> Need {
        self.tracks.get_mut(&conversation).map_or(Need::Nothing, Track::need)
    }

    /// A hole cannot be read now: the next event or digest that shows it starts healing again. Only for a
    /// hole that is not covered yet.
    pub fn postpone(&mut self, conversation: ConversationId) {
        if let Some(track) = self.tracks.get_mut(&conversation) {
            track.postpone();
        }
    }

    /// A hole is not healed: its readers learn the newest seq from heads. Returns the users that its events
    /// are for, as far as they are known.
    pub fn give_up(&mut self, conversation: ConversationId) -> Named {
        self.tracks.get_mut(&conversation).map(Track::give_up).unwrap_or_default()
    }

    /// Forgets everything: the log was replaced.
    pub fn clear(&mut self) {
        self.tracks.clear();
    }

    /// How many conversations are being healed, and how many of their events are held back. Goes over all
    /// that are tracked.
    pub fn healing(&self) -> (usize, usize) {
        let healing = self.tracks.values().filter(|track| track.is_healing());
        healing.fold((0, 0), |(tracks, held), track| (tracks + 1, held + track.held_events()))
    }

    /// How many conversations are tracked.
    pub fn len(&self) -> usize {
        self.tracks.len()
    }

    /// Whether no conversation is tracked.
    pub fn is_empty(&self) -> bool {
        self.tracks.is_empty()
    }

    fn track(&mut self, conversation: ConversationId) -> &mut Track {
        if !self.tracks.contains_key(&conversation) {
            self.make_room();
        }
        self.tracks.entry(conversation).or_default()
    }

    fn make_room(&mut self) {
        if self.tracks.len() >= self.capacity {
            rare!(TracksForgotten);
            self.tracks.retain(|_, track| !track.is_idle());
        }
        if self.tracks.len() >= self.capacity {
            rare!(TracksOfReadersForgotten);
            self.tracks.retain(|_, track| track.is_healing());
        }
    }
}
