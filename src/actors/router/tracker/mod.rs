//! The order of each conversation as this node passes it on: notices repeats and holes by seq.

mod track;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

pub use self::track::{Need, Source, Verdict};

use self::track::Track;
use crate::domain::{Committed, ConversationId, Position, Seq};

/// What was passed on per conversation, and what waits behind holes.
///
/// Bounded: at most `capacity` conversations; past it those nobody reads are forgotten, then all that are not being healed. A
/// forgotten conversation's next event is judged by its position.
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

    /// Judges an event; a held one is kept inside. `read`: somebody here reads it. `remember`: a conversation that is not
    /// tracked yet is from now on. `covered`: everything before this position has reached this node, or those who read here
    /// have read it; `None` where no other process writes.
    pub fn admit(
        &mut self,
        one: &Committed,
        (read, remember): (bool, bool),
        source: Source,
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

    /// Takes in that the log holds events `first..=last` of a conversation of which somebody here reads some, that all of them
    /// should have come by now, and that what came before them is covered. Answers whether to start healing.
    pub fn learn(
        &mut self,
        conversation: ConversationId,
        first: Seq,
        last: Seq,
        covered: Option<Position>,
    ) -> bool {
        self.track(conversation).learn(first, last, covered)
    }

    /// A local reader begins to read the conversation, and has everything up to `last`.
    pub fn follow_from(&mut self, conversation: ConversationId, last: Seq) {
        self.track(conversation).follow_from(last);
    }

    /// The last local reader of a conversation has left. What was passed on is remembered while there is room.
    pub fn unfollow(&mut self, conversation: ConversationId) {
        if let Some(track) = self.tracks.get_mut(&conversation) {
            track.unfollow();
        }
    }

    /// The events that may go out now that their predecessor has, in order. Call after each [`Verdict::Pass`] or
    /// [`Verdict::Old`].
    pub fn release(&mut self, conversation: ConversationId) -> Vec<Committed> {
        self.tracks.get_mut(&conversation).map(Track::release).unwrap_or_default()
    }

    /// The last seq that was passed on or that nobody here was to get; `None` when the conversation is not tracked.
    pub fn last(&self, conversation: ConversationId) -> Option<Seq> {
        self.tracks.get(&conversation).map(Track::last)
    }

    /// What a healer of this conversation is to do.
    pub fn need(&mut self, conversation: ConversationId) -> Need {
        self.tracks.get_mut(&conversation).map_or(Need::Nothing, Track::need)
    }

    /// A hole cannot be read now: the next event or digest that shows it starts healing again. Only for a hole that is not covered
    /// yet.
    pub fn postpone(&mut self, conversation: ConversationId) {
        if let Some(track) = self.tracks.get_mut(&conversation) {
            track.postpone();
        }
    }

    /// A hole is not healed: its readers learn from heads of all that is known of.
    pub fn give_up(&mut self, conversation: ConversationId) {
        if let Some(track) = self.tracks.get_mut(&conversation) {
            track.give_up();
        }
    }

    /// Forgets everything: the log is another one.
    pub fn clear(&mut self) {
        self.tracks.clear();
    }

    /// How many conversations are tracked.
    pub fn len(&self) -> usize {
        self.tracks.len()
    }

    /// Whether none is.
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
            self.tracks.retain(|_, track| !track.is_idle());
        }
        if self.tracks.len() >= self.capacity {
            self.tracks.retain(|_, track| track.is_healing());
        }
    }
}
