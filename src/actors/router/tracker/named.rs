//! The users that events of a hole are for, as far as digests and events have named them.

use std::collections::BTreeSet;

use crate::domain::UserId;

/// Users of one hole. When there are more, all sessions here compare heads if the hole is given up.
const USERS: usize = 512;

/// The users to whom a hole that is given up matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// Exactly these users.
    Users(BTreeSet<UserId>),
    /// More than are remembered: it may be anyone.
    Everyone,
}

impl Named {
    /// More users that events of the hole are for.
    pub fn add(&mut self, users: impl IntoIterator<Item = UserId>) {
        for user in users {
            let Self::Users(known) = self else { return };
            if known.len() < bound!(UsersOfAHole, USERS) || known.contains(&user) {
                known.insert(user);
            } else {
                rare!(TooManyUsersOfAHole);
                *self = Self::Everyone;
            }
        }
    }
}

impl Default for Named {
    fn default() -> Self {
        Self::Users(BTreeSet::new())
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn more_users_than_are_remembered_may_be_anyone() {
        let user = |n: usize| UserId::from_uuid(Uuid::from_u128(n as u128));
        let mut named = Named::default();
        named.add((0..USERS).map(user));
        named.add([user(0)]);
        assert_eq!(named, Named::Users((0..USERS).map(user).collect()));
        named.add([user(USERS)]);
        assert_eq!(named, Named::Everyone);
    }
}
