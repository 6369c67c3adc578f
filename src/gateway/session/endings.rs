//! Which users' memberships and blocks ended lately.

use std::collections::VecDeque;

use crate::domain::UserId;

/// How many are remembered.
const REMEMBERED: usize = 256;

/// The users of the last memberships and blocks that ended. What was read while one of them ended is read
/// again.
#[derive(Debug, Default)]
pub struct Endings {
    count: u64,
    /// The newest is the last; `None` may concern any user.
    recent: VecDeque<Option<UserId>>,
}

impl Endings {
    /// A membership or a block of `user` ended; `None`: it may concern any user.
    pub fn note(&mut self, user: Option<UserId>) {
        self.count += 1;
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(user);
    }

    /// How many ended so far.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Whether any that ended after `count` concerns one of the users for whom `concerns` is true.
    pub fn any_since(&self, count: u64, concerns: impl Fn(UserId) -> bool) -> bool {
        let fresh = usize::try_from(self.count - count).unwrap_or(usize::MAX);
        fresh > self.recent.len()
            || self.recent.iter().rev().take(fresh).any(|user| user.is_none_or(&concerns))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn what_was_read_while_something_ended_is_known_to_be_old() {
        let user = |n| UserId::from_uuid(Uuid::from_u128(n));
        let mut endings = Endings::default();
        endings.note(Some(user(1)));
        let began = endings.count();
        assert!(!endings.any_since(began, |who| who == user(1)));
        endings.note(Some(user(2)));
        assert!(
            endings.any_since(began, |who| who == user(2)) && !endings.any_since(began, |who| who == user(1))
        );
        endings.note(None);
        assert!(endings.any_since(began, |who| who == user(1)));
        let began = endings.count();
        (0..=REMEMBERED as u128).for_each(|n| endings.note(Some(user(n + 9))));
        assert!(endings.any_since(began, |who| who == user(1)), "more ended than is remembered");
    }
}
