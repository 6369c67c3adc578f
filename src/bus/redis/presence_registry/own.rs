//! The entries of this node, and which of them are not written yet. Bounded by the node's connections and by
//! users who disconnected and are not offline yet.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::Notify;

use crate::bus::Presence;
use crate::domain::UserId;
use crate::panics::lock;

#[derive(Default)]
struct State {
    entries: BTreeMap<UserId, Presence>,
    changed: BTreeSet<UserId>,
    /// The place where writing all entries again continues.
    rewritten: Option<UserId>,
}

/// This node's entries, and which of them must still be written.
#[derive(Default)]
pub struct Own {
    state: Mutex<State>,
    marked: Notify,
}

impl Own {
    /// An entry changed; `None`: it is removed.
    pub fn put(&self, user: UserId, presence: Option<Presence>) {
        let mut state = self.lock();
        let before = match presence {
            Some(presence) => state.entries.insert(user, presence),
            None => state.entries.remove(&user),
        };
        if before != presence {
            state.changed.insert(user);
            drop(state);
            self.marked.notify_one();
        }
    }

    /// Takes up to `most` users whose entries must be written, with their present values.
    pub fn take_changed(&self, most: usize) -> Vec<(UserId, Option<Presence>)> {
        let mut state = self.lock();
        let State { entries, changed, .. } = &mut *state;
        let mut taken = Vec::with_capacity(changed.len().min(most));
        while taken.len() < most {
            let Some(user) = changed.pop_first() else { break };
            taken.push((user, entries.get(&user).copied()));
        }
        taken
    }

    /// These were not written.
    pub fn changed_again(&self, users: impl Iterator<Item = UserId>) {
        self.lock().changed.extend(users);
    }

    /// Nothing is known to be written any more.
    pub fn all_changed(&self) {
        let mut state = self.lock();
        let State { entries, changed, .. } = &mut *state;
        changed.extend(entries.keys());
    }

    /// Marks as many entries as must be written again in a step of `every`, so that all are within `within`.
    pub fn some_changed(&self, every: Duration, within: Duration) {
        let mut state = self.lock();
        let State { entries, changed, rewritten } = &mut *state;
        let steps = (within.as_millis() / every.as_millis().max(1)).max(1) as usize;
        let after = rewritten.map_or(Bound::Unbounded, Bound::Excluded);
        let turn: Vec<UserId> = entries
            .range((after, Bound::Unbounded))
            .map(|(user, _)| *user)
            .take(entries.len().div_ceil(steps))
            .collect();
        *rewritten = turn.last().copied();
        changed.extend(turn);
    }

    /// Waits until something may have changed.
    pub async fn changed(&self) {
        self.marked.notified().await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        lock(&self.state)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn user(number: u128) -> UserId {
        UserId::from_uuid(Uuid::from_u128(number))
    }

    #[test]
    fn only_what_changed_is_written_with_its_latest_state() {
        let own = Own::default();
        own.put(user(1), Some(Presence::Online));
        own.put(user(1), Some(Presence::Away));
        own.put(user(2), Some(Presence::Online));
        own.put(user(2), None);
        own.put(user(3), None);
        let changed = own.take_changed(10);
        assert_eq!(changed, [(user(1), Some(Presence::Away)), (user(2), None)]);
        own.put(user(1), Some(Presence::Away));
        assert!(own.take_changed(10).is_empty());
        own.changed_again(changed.into_iter().map(|(user, _)| user));
        assert_eq!(own.take_changed(1), [(user(1), Some(Presence::Away))]);
    }

    #[test]
    fn every_entry_has_its_turn() {
        let own = Own::default();
        (0..10).for_each(|number| own.put(user(number), Some(Presence::Online)));
        own.take_changed(100);
        let mut seen = BTreeSet::new();
        for _ in 0..4 {
            own.some_changed(Duration::from_secs(1), Duration::from_secs(4));
            seen.extend(own.take_changed(100).into_iter().map(|(user, _)| user));
        }
        assert_eq!(seen.len(), 10);
        own.all_changed();
        assert_eq!(own.take_changed(100).len(), 10);
    }
}
