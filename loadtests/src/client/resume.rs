//! What a client has of each conversation and what it must ask for (`docs/PROTOCOL.md` 1.4). Pure.

use std::collections::{BTreeSet, HashMap};

use crate::{
    ids::ConversationId,
    wire::{Head, Limits, SyncRange},
};

/// How long to wait before asking again when an answer brought nothing, in microseconds.
const RETRY_US: u64 = 300_000;
/// After so many empty answers the conversation is left alone until the server speaks of it again: the ledger
/// then shows what is missing.
const MAX_EMPTY: u32 = 20;
/// A `sync` unanswered for so long means that the connection is lost, in microseconds. It is never asked
/// again on the same connection: both answers might come.
const ANSWER_US: u64 = 10_000_000;

/// The positions of one client across all its connections.
#[derive(Debug, Default)]
pub struct Resume {
    cursor: Option<String>,
    places: HashMap<ConversationId, Place>,
    lacking: BTreeSet<ConversationId>,
    asked: Option<Asked>,
    not_before_us: u64,
    /// A question about several was refused for good because of one of them: ask about one at a time until
    /// that one is found.
    one_at_a_time: bool,
}

#[derive(Debug, Default)]
struct Place {
    /// Everything up to here is held.
    held: u64,
    /// Held beyond a hole.
    ahead: BTreeSet<u64>,
    /// The highest seq that is known to exist.
    known: u64,
    empty_answers: u32,
}

#[derive(Debug)]
struct Asked {
    id: u64,
    /// When it was asked, or when a part of the answer last came.
    heard_us: u64,
    brought: u64,
    conversations: Vec<ConversationId>,
}

impl Place {
    fn take(&mut self, seq: u64) {
        self.known = self.known.max(seq);
        if seq > self.held {
            self.ahead.insert(seq);
        }
        while self.ahead.remove(&(self.held + 1)) {
            self.held += 1;
        }
    }

    fn lacks(&self) -> bool {
        self.known > self.held && self.empty_answers < MAX_EMPTY
    }

    fn range(&self, conversation: &ConversationId, limits: Limits) -> SyncRange {
        let upto = self.ahead.first().map_or(self.known, |first| first - 1);
        SyncRange {
            conversation: conversation.as_str().to_owned(),
            after: self.held,
            limit: (upto - self.held).min(limits.sync_events),
        }
    }
}

impl Resume {
    /// The cursor for the next `hello`.
    pub fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// Everything of `conversation` up to this seq is held.
    pub fn held(&self, conversation: &str) -> u64 {
        self.places.get(conversation).map_or(0, |place| place.held)
    }

    /// The server told where conversations stand, in a `welcome` or `heads`.
    pub fn heads(&mut self, cursor: Option<String>, heads: &[Head]) {
        if cursor.is_some() {
            self.cursor = cursor;
        }
        for head in heads {
            if head.left {
                self.leave(&head.conversation);
                continue;
            }
            let place = self.places.entry(head.conversation.clone()).or_default();
            place.held = place.held.max(head.first_seq.saturating_sub(1));
            place.known = place.known.max(head.last_seq);
            place.empty_answers = 0;
            self.note(&head.conversation);
        }
    }

    /// The log is another one: nothing that was held counts.
    pub fn reset(&mut self) {
        self.places.clear();
        self.lacking.clear();
        self.asked = None;
    }

    /// Takes everything up to `seq` as held.
    pub fn skip(&mut self, conversation: &ConversationId, seq: u64) {
        let place = self.places.entry(conversation.clone()).or_default();
        place.held = place.held.max(seq);
        place.known = place.known.max(seq);
    }

    /// An event arrived: live, or at `synced_at_us` as part of an answer.
    pub fn event(&mut self, conversation: &ConversationId, seq: u64, synced_at_us: Option<u64>) {
        if !self.places.contains_key(conversation.as_str()) {
            self.places.insert(conversation.clone(), Place::default());
        }
        let Some(place) = self.places.get_mut(conversation.as_str()) else { return };
        place.take(seq);
        if let (Some(now_us), Some(asked)) = (synced_at_us, &mut self.asked) {
            asked.heard_us = now_us;
            asked.brought += 1;
        }
        place.empty_answers = 0;
        if place.held < place.known || self.lacking.contains(conversation.as_str()) {
            self.note(conversation);
        }
    }

    /// The ranges to ask for now under `id`, when something lacks and no answer is awaited.
    pub fn ask(&mut self, id: u64, limits: Limits, now_us: u64) -> Option<Vec<SyncRange>> {
        if self.asked.is_some() || self.lacking.is_empty() || now_us < self.not_before_us {
            return None;
        }
        let most = if self.one_at_a_time { 1 } else { limits.sync_ranges.max(1) };
        let conversations: Vec<_> = self.lacking.iter().take(most).cloned().collect();
        let ranges = conversations
            .iter()
            .filter_map(|conversation| Some(self.places.get(conversation)?.range(conversation, limits)))
            .collect();
        self.asked = Some(Asked { id, heard_us: now_us, brought: 0, conversations });
        Some(ranges)
    }

    /// The question `id` was refused: with a wait, after which it may be asked again, or for good, as that of
    /// a member who was removed. Then the conversation that caused it is found, and left alone until the
    /// server speaks of it again.
    pub fn refused(&mut self, id: u64, retry_after_us: Option<u64>, now_us: u64) {
        let Some(asked) = self.asked.take_if(|asked| asked.id == id) else { return };
        if let Some(wait_us) = retry_after_us {
            self.not_before_us = now_us + wait_us;
        } else if let [conversation] = asked.conversations.as_slice() {
            self.one_at_a_time = false;
            self.leave(conversation);
        } else {
            self.one_at_a_time = true;
        }
    }

    /// What was read stays held: a client that comes back reads on from there.
    fn leave(&mut self, conversation: &ConversationId) {
        if let Some(place) = self.places.get_mut(conversation.as_str()) {
            place.known = place.ahead.last().copied().unwrap_or_default().max(place.held);
            place.empty_answers = MAX_EMPTY;
        }
        self.lacking.remove(conversation.as_str());
    }

    /// The answer to `id` is complete.
    pub fn answered(&mut self, id: u64, now_us: u64) {
        let Some(asked) = self.asked.take_if(|asked| asked.id == id) else { return };
        if asked.brought == 0 {
            self.not_before_us = now_us + RETRY_US;
            for conversation in &asked.conversations {
                if let Some(place) = self.places.get_mut(conversation) {
                    place.empty_answers += 1;
                }
            }
        }
        for conversation in &asked.conversations {
            self.note(conversation);
        }
    }

    /// The server has left a `sync` unanswered for too long: reconnect.
    pub fn stalled(&self, now_us: u64) -> bool {
        self.asked.as_ref().is_some_and(|asked| now_us >= asked.heard_us + ANSWER_US)
    }

    /// The connection is gone, and with it any answer.
    pub fn disconnected(&mut self) {
        self.asked = None;
        self.not_before_us = 0;
        self.one_at_a_time = false;
    }

    /// When [`Resume::ask`] or [`Resume::stalled`] is next worth calling; `None` while nothing lacks.
    pub fn due_us(&self) -> Option<u64> {
        match &self.asked {
            Some(asked) => Some(asked.heard_us + ANSWER_US),
            None => (!self.lacking.is_empty()).then_some(self.not_before_us),
        }
    }

    fn note(&mut self, conversation: &ConversationId) {
        if self.places.get(conversation).is_some_and(Place::lacks) {
            self.lacking.insert(conversation.clone());
        } else {
            self.lacking.remove(conversation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(name: &str, last_seq: u64) -> Head {
        Head { conversation: name.into(), last_seq, first_seq: 1, left: false }
    }

    fn asks(resume: &mut Resume, id: u64, now_us: u64) -> Vec<(String, u64, u64)> {
        let ranges = resume.ask(id, Limits::default(), now_us).unwrap_or_default();
        ranges.into_iter().map(|range| (range.conversation, range.after, range.limit)).collect()
    }

    #[test]
    fn asks_for_exactly_what_a_head_shows_as_lacking() {
        let mut resume = Resume::default();
        resume.heads(Some("a".into()), &[head("c", 3), head("d", 0)]);
        assert_eq!(asks(&mut resume, 1, 0), [("c".to_owned(), 0, 3)]);
        assert!(asks(&mut resume, 2, 1).is_empty(), "one question at a time");
        for seq in 1..=3 {
            resume.event(&"c".into(), seq, Some(1));
        }
        resume.answered(1, 2);
        assert_eq!((resume.held("c"), resume.due_us(), resume.cursor()), (3, None, Some("a")));
    }

    #[test]
    fn a_live_jump_is_healed_and_meets_the_stream() {
        let mut resume = Resume::default();
        resume.event(&"c".into(), 1, None);
        resume.event(&"c".into(), 4, None);
        assert_eq!(asks(&mut resume, 1, 0), [("c".to_owned(), 1, 2)]);
        resume.event(&"c".into(), 5, None);
        resume.event(&"c".into(), 2, Some(0));
        resume.event(&"c".into(), 3, Some(0));
        resume.answered(1, 0);
        assert_eq!((resume.held("c"), resume.due_us()), (5, None));
    }

    #[test]
    fn whoever_left_asks_for_nothing_and_reads_on_after_coming_back() {
        let mut resume = Resume::default();
        resume.heads(None, &[head("c", 1)]);
        resume.event(&"c".into(), 1, None);
        resume.heads(None, &[head("c", 2)]);
        resume.heads(None, &[Head { left: true, ..head("c", 0) }]);
        assert!(asks(&mut resume, 1, 0).is_empty());
        resume.heads(None, &[head("c", 4)]);
        assert_eq!(asks(&mut resume, 2, 0), [("c".to_owned(), 1, 3)]);
    }

    #[test]
    fn one_conversation_that_may_not_be_read_does_not_hold_up_the_others() {
        let mut resume = Resume::default();
        resume.heads(None, &[head("c", 2), head("d", 3)]);
        assert_eq!(asks(&mut resume, 1, 0).len(), 2);
        resume.refused(1, None, 0);
        assert_eq!(asks(&mut resume, 2, 0), [("c".to_owned(), 0, 2)]);
        resume.refused(2, None, 0);
        assert_eq!(asks(&mut resume, 3, 0), [("d".to_owned(), 0, 3)]);
        resume.refused(3, Some(5), 0);
        assert!(asks(&mut resume, 4, 4).is_empty(), "waits as it was told");
        assert_eq!(asks(&mut resume, 4, 5), [("d".to_owned(), 0, 3)]);
        resume.event(&"d".into(), 1, Some(5));
        resume.answered(4, 5);
        resume.event(&"c".into(), 3, None);
        assert_eq!(asks(&mut resume, 5, 5).len(), 2, "a client that is added again asks again");
    }

    #[test]
    fn a_lost_answer_is_asked_again_after_a_reconnect() {
        let mut resume = Resume::default();
        resume.heads(None, &[head("c", 2)]);
        assert_eq!(asks(&mut resume, 1, 0).len(), 1);
        resume.disconnected();
        resume.heads(None, &[]);
        assert_eq!(asks(&mut resume, 2, 1), [("c".to_owned(), 0, 2)]);
    }

    #[test]
    fn silence_is_noticed_and_never_asked_into() {
        let mut resume = Resume::default();
        resume.heads(None, &[head("c", 2)]);
        assert_eq!(asks(&mut resume, 1, 0).len(), 1);
        assert_eq!(resume.due_us(), Some(ANSWER_US));
        assert!(asks(&mut resume, 2, ANSWER_US).is_empty());
        assert!(!resume.stalled(ANSWER_US - 1) && resume.stalled(ANSWER_US));
        resume.event(&"c".into(), 1, Some(5));
        assert!(!resume.stalled(ANSWER_US), "a part of the answer is a sign of life");
    }

    #[test]
    fn an_empty_answer_is_retried_with_a_wait_and_given_up_in_the_end() {
        let mut resume = Resume::default();
        resume.heads(None, &[head("c", 2)]);
        let mut now_us = 0;
        for id in 0..u64::from(MAX_EMPTY) {
            assert_eq!(asks(&mut resume, id, now_us).len(), 1, "attempt {id}");
            resume.answered(id, now_us);
            assert!(asks(&mut resume, id + 1000, now_us).is_empty(), "waits first");
            now_us += RETRY_US;
        }
        assert!(asks(&mut resume, 99, now_us).is_empty());
        resume.heads(None, &[head("c", 3)]);
        assert_eq!(asks(&mut resume, 100, now_us), [("c".to_owned(), 0, 3)]);
    }
}
