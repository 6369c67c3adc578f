//! Up to where a session was given each conversation, by heads or by a push, as long as that is needed to
//! recognise copies and to compare.

use crate::domain::{ConversationId, Position, Seq};

/// The position of the newest announced event is not known: it may be anywhere.
const ANYWHERE: Position = Position(u64::MAX);

#[derive(Debug, Clone, Copy)]
struct Entry {
    conversation: ConversationId,
    seq: Seq,
    position: Position,
}

/// Up to which seq each conversation was given, sorted by conversation.
///
/// Bounded by the user's conversations: one entry for each that moved since the last comparison.
#[derive(Debug, Default)]
pub struct Given {
    entries: Vec<Entry>,
}

impl Given {
    /// Heads announced these.
    pub fn announced(mut heads: Vec<(ConversationId, Seq)>) -> Self {
        heads.sort_unstable();
        let entry = |(conversation, seq)| Entry { conversation, seq, position: ANYWHERE };
        Self { entries: heads.into_iter().map(entry).collect() }
    }

    /// The seq up to which a conversation was given; `None` when it is not known.
    pub fn up_to(&self, conversation: ConversationId) -> Option<Seq> {
        self.find(conversation).ok().map(|at| self.entries[at].seq)
    }

    /// An event is about to be given. Returns `false` if it was given before.
    pub fn give(&mut self, conversation: ConversationId, seq: Seq, position: Position) -> bool {
        match self.find(conversation) {
            Ok(at) if seq <= self.entries[at].seq => {
                rare!(EventGivenBefore);
                return false;
            }
            Ok(at) => self.entries[at] = Entry { conversation, seq, position },
            Err(at) => self.entries.insert(at, Entry { conversation, seq, position }),
        }
        true
    }

    /// Events before `position` do not arrive again. Keeps only what was given from there on, and of what
    /// heads announced only conversations in `moved` (sorted).
    pub fn forget_before(&mut self, position: Position, moved: &[(ConversationId, Seq)]) {
        let names = |id: ConversationId| moved.binary_search_by_key(&id, |(moved, _)| *moved).is_ok();
        self.entries.retain(|entry| match entry.position {
            ANYWHERE => names(entry.conversation),
            given => given >= position,
        });
        self.entries.shrink_to_fit();
    }

    fn find(&self, conversation: ConversationId) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&conversation, |entry| entry.conversation)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::ConversationKind;

    fn conversation(n: u128) -> ConversationId {
        ConversationId::from_random(ConversationKind::Group, Uuid::from_u128(n << 8))
    }

    fn seq(n: u64) -> Seq {
        Seq::new(n).unwrap_or_default()
    }

    #[test]
    fn what_was_given_is_kept_until_it_cannot_come_again() {
        let mut given = Given::announced(vec![(conversation(3), seq(3)), (conversation(1), seq(7))]);
        assert!(!given.give(conversation(1), seq(7), Position(10)), "heads announced it");
        assert!(given.give(conversation(1), seq(8), Position(11)));
        assert!(given.give(conversation(2), seq(1), Position(20)));
        given.forget_before(Position(20), &[(conversation(1), seq(8))]);
        assert_eq!(given.up_to(conversation(1)), None, "it lies before the position");
        assert_eq!(given.up_to(conversation(2)), Some(seq(1)));
        assert_eq!(given.up_to(conversation(3)), None, "announced, and it did not move");
        let mut given = Given::announced(vec![(conversation(1), seq(7))]);
        given.forget_before(Position(20), &[(conversation(1), seq(7))]);
        assert_eq!(given.up_to(conversation(1)), Some(seq(7)), "it may lie behind the position");
    }
}
