//! What this node sent the watchers of each user last, so that they are sent changes only, whichever way a
//! change arrives.

use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use crate::bus::Presence;
use crate::domain::UserId;

/// The result of [`LastSent::note`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Nothing was sent for the user before.
    First,
    /// Something else was sent before.
    Changed,
    /// The same was sent before.
    Unchanged,
}

/// The presence that was sent last for one watched user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentPresence {
    /// The presence that was sent.
    pub presence: Presence,
    /// Differs from the version of every other send, also of one with the same presence.
    pub version: u64,
}

/// What was sent last for each user that a session here watches. Bounded by the number of watches.
#[derive(Debug, Default)]
pub struct LastSent {
    users: DashMap<UserId, SentPresence>,
    versions: AtomicU64,
}

impl LastSent {
    /// Notes what watchers are sent now. Another time of "last seen" alone is not a change.
    pub fn note(&self, user: UserId, presence: Presence) -> Sent {
        match self.users.entry(user) {
            Entry::Vacant(entry) => {
                entry.insert(self.next(presence));
                Sent::First
            }
            Entry::Occupied(mut entry) => {
                let before = entry.insert(self.next(presence));
                if alike(before.presence, presence) { Sent::Unchanged } else { Sent::Changed }
            }
        }
    }

    /// Notes what a lookup found instead of what was sent as `version`. Returns `false` when something newer
    /// was sent since.
    pub fn correct(&self, user: UserId, presence: Presence, version: u64) -> bool {
        match self.users.entry(user) {
            Entry::Occupied(mut entry) if entry.get().version == version => {
                entry.insert(self.next(presence));
                true
            }
            Entry::Occupied(_) | Entry::Vacant(_) => {
                rare!(PresenceChangedSinceTheLookup);
                false
            }
        }
    }

    /// What watchers were sent last. When nothing was sent yet, notes and returns `presence`.
    pub fn first(&self, user: UserId, presence: Presence) -> Presence {
        self.users.entry(user).or_insert_with(|| self.next(presence)).presence
    }

    /// Forgets a user whom no session watches any more.
    pub fn forget(&self, user: UserId) {
        self.users.remove(&user);
    }

    /// All watched users, with what was sent last.
    pub fn all(&self) -> Vec<(UserId, SentPresence)> {
        self.users.iter().map(|entry| (*entry.key(), *entry.value())).collect()
    }

    fn next(&self, presence: Presence) -> SentPresence {
        SentPresence { presence, version: self.versions.fetch_add(1, Ordering::Relaxed) }
    }
}

/// Whether two presences differ at most in when the user was last seen.
pub fn alike(one: Presence, other: Presence) -> bool {
    std::mem::discriminant(&one) == std::mem::discriminant(&other)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::Timestamp;

    #[test]
    fn only_changes_are_sent() {
        let sent = LastSent::default();
        let user = UserId::from_uuid(Uuid::from_u128(1));
        let seen = |last_seen| Presence::Offline { last_seen };
        assert_eq!(sent.note(user, Presence::Online), Sent::First);
        assert_eq!(sent.note(user, Presence::Online), Sent::Unchanged);
        assert_eq!(sent.note(user, seen(None)), Sent::Changed);
        assert_eq!(sent.note(user, seen(Some(Timestamp::default()))), Sent::Unchanged);
        assert_eq!(
            sent.first(user, Presence::Online),
            seen(Some(Timestamp::default())),
            "what was sent holds"
        );
        sent.forget(user);
        assert!(sent.all().is_empty());
        assert_eq!(sent.first(user, Presence::Online), Presence::Online);
        assert_eq!(sent.note(user, Presence::Away), Sent::Changed);
    }

    #[test]
    fn a_lookup_does_not_overrule_what_was_sent_after_it_began() {
        let sent = LastSent::default();
        let user = UserId::from_uuid(Uuid::from_u128(1));
        sent.note(user, Presence::Away);
        let (_, last) = sent.all()[0];
        sent.note(user, Presence::Online);
        sent.note(user, Presence::Away);
        assert!(!sent.correct(user, Presence::Online, last.version), "the same presence, but sent again");
        let (_, last) = sent.all()[0];
        assert!(sent.correct(user, Presence::Online, last.version));
        assert_eq!(sent.first(user, Presence::Away), Presence::Online);
    }
}
