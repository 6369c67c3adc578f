//! What this node's watchers were told last, so that they are told of changes only, whichever way the news came.

use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use crate::bus::Presence;
use crate::domain::UserId;

/// What became of a piece of news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// Nothing was known of the user.
    First,
    /// They were told otherwise before.
    Changed,
    /// They know.
    Known,
}

/// The last word on one watched user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// What was told.
    pub presence: Presence,
    /// Tells this word from an earlier or later one that says the same.
    pub number: u64,
}

/// The last words on each user that somebody here watches; bounded by the watches.
#[derive(Debug, Default)]
pub struct Told {
    users: DashMap<UserId, Word>,
    words: AtomicU64,
}

impl Told {
    /// Notes what watchers are told now. When a user was last seen is a detail, no change.
    pub fn note(&self, user: UserId, presence: Presence) -> News {
        match self.users.entry(user) {
            Entry::Vacant(entry) => {
                entry.insert(self.word(presence));
                News::First
            }
            Entry::Occupied(mut entry) => {
                let before = entry.insert(self.word(presence));
                if alike(before.presence, presence) { News::Known } else { News::Changed }
            }
        }
    }

    /// Notes what a look found instead of the word of that `number`; `false` when something newer was told meanwhile.
    pub fn correct(&self, user: UserId, presence: Presence, number: u64) -> bool {
        match self.users.entry(user) {
            Entry::Occupied(mut entry) if entry.get().number == number => {
                entry.insert(self.word(presence));
                true
            }
            Entry::Occupied(_) | Entry::Vacant(_) => false,
        }
    }

    /// What watchers were told last; `presence` from now on when that is nothing.
    pub fn first(&self, user: UserId, presence: Presence) -> Presence {
        self.users.entry(user).or_insert_with(|| self.word(presence)).presence
    }

    /// Nobody watches the user any more.
    pub fn forget(&self, user: UserId) {
        self.users.remove(&user);
    }

    /// Everybody who is watched, with the last word on them.
    pub fn all(&self) -> Vec<(UserId, Word)> {
        self.users.iter().map(|entry| (*entry.key(), *entry.value())).collect()
    }

    fn word(&self, presence: Presence) -> Word {
        Word { presence, number: self.words.fetch_add(1, Ordering::Relaxed) }
    }
}

/// Whether watchers would see no difference but in when a user was last seen.
pub fn alike(one: Presence, other: Presence) -> bool {
    std::mem::discriminant(&one) == std::mem::discriminant(&other)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::Timestamp;

    #[test]
    fn only_changes_are_news() {
        let told = Told::default();
        let user = UserId::from_uuid(Uuid::from_u128(1));
        let seen = |last_seen| Presence::Offline { last_seen };
        assert_eq!(told.note(user, Presence::Online), News::First);
        assert_eq!(told.note(user, Presence::Online), News::Known);
        assert_eq!(told.note(user, seen(None)), News::Changed);
        assert_eq!(told.note(user, seen(Some(Timestamp::default()))), News::Known);
        assert_eq!(
            told.first(user, Presence::Online),
            seen(Some(Timestamp::default())),
            "what was told holds"
        );
        told.forget(user);
        assert!(told.all().is_empty());
        assert_eq!(told.first(user, Presence::Online), Presence::Online);
        assert_eq!(told.note(user, Presence::Away), News::Changed);
    }

    #[test]
    fn a_look_does_not_overrule_what_was_told_after_it_began() {
        let told = Told::default();
        let user = UserId::from_uuid(Uuid::from_u128(1));
        told.note(user, Presence::Away);
        let (_, word) = told.all()[0];
        told.note(user, Presence::Online);
        told.note(user, Presence::Away);
        assert!(!told.correct(user, Presence::Online, word.number), "the same word, but a newer one");
        let (_, word) = told.all()[0];
        assert!(told.correct(user, Presence::Online, word.number));
        assert_eq!(told.first(user, Presence::Away), Presence::Online);
    }
}
