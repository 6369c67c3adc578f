//! What this node's watchers were told last, so that they are told of changes only, whichever way the news came.

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

/// The last words on each user that somebody here watches; bounded by the watches.
#[derive(Debug, Default)]
pub struct Told {
    users: DashMap<UserId, Presence>,
}

impl Told {
    /// Notes what watchers are told now. When a user was last seen is a detail, no change.
    pub fn note(&self, user: UserId, presence: Presence) -> News {
        match self.users.entry(user) {
            Entry::Vacant(entry) => {
                entry.insert(presence);
                News::First
            }
            Entry::Occupied(mut entry) => {
                let before = entry.insert(presence);
                let same = std::mem::discriminant(&before) == std::mem::discriminant(&presence);
                if same { News::Known } else { News::Changed }
            }
        }
    }

    /// Nobody watches the user any more.
    pub fn forget(&self, user: UserId) {
        self.users.remove(&user);
    }

    /// Everybody who is watched, with what was told of them.
    pub fn all(&self) -> Vec<(UserId, Presence)> {
        self.users.iter().map(|entry| (*entry.key(), *entry.value())).collect()
    }
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
        told.forget(user);
        assert!(told.all().is_empty());
        assert_eq!(told.note(user, Presence::Away), News::First);
    }
}
