//! The users whose presence a session is sent. A user counts from the request on, also before it is answered.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::domain::UserId;

#[derive(Debug, Default)]
struct Watch {
    /// Requests for the user that are not answered yet.
    asked: u32,
    /// The session may see the user, and watches the user.
    active: bool,
}

/// The watches of one session. Bounded by `limits.watch_users`.
#[derive(Debug, Default)]
pub struct Watches {
    /// Most sessions watch no user.
    users: Option<HashMap<UserId, Watch>>,
}

impl Watches {
    /// The client asks to watch `users`. Returns `false`, and notes nothing, if that makes more than `most`
    /// or the list itself is longer.
    pub fn ask(&mut self, users: &[UserId], most: usize) -> bool {
        if users.len() > most {
            return false;
        }
        let watches = self.users.get_or_insert_default();
        for (at, user) in users.iter().enumerate() {
            let room = watches.len() < most;
            match watches.entry(*user) {
                Entry::Occupied(mut entry) => entry.get_mut().asked += 1,
                Entry::Vacant(entry) if room => {
                    entry.insert(Watch { asked: 1, active: false });
                }
                Entry::Vacant(_) => {
                    self.answer(&users[..at], &[]);
                    return false;
                }
            }
        }
        true
    }

    /// A request for `users` is answered: the session may see those in `visible`. Returns the users who are
    /// watched from now on and were not before, without those that the session has stopped watching in the
    /// meantime.
    pub fn answer(&mut self, users: &[UserId], visible: &[UserId]) -> Vec<UserId> {
        let Some(watches) = &mut self.users else { return Vec::new() };
        let mut begun = Vec::new();
        for user in visible {
            rare!(UnwatchedBeforeTheAnswer, !watches.contains_key(user));
            if let Some(watch) = watches.get_mut(user).filter(|watch| !watch.active) {
                watch.active = true;
                begun.push(*user);
            }
        }
        for user in users {
            if let Entry::Occupied(mut entry) = watches.entry(*user) {
                let watch = entry.get_mut();
                watch.asked = watch.asked.saturating_sub(1);
                if watch.asked == 0 && !watch.active {
                    entry.remove();
                }
            }
        }
        begun
    }

    /// The session stops watching `user`. Returns whether it watched the user.
    pub fn end(&mut self, user: UserId) -> bool {
        self.users.as_mut().and_then(|watches| watches.remove(&user)).is_some_and(|watch| watch.active)
    }

    /// Whether `user` is watched.
    pub fn is_watched(&self, user: UserId) -> bool {
        self.users.as_ref().and_then(|watches| watches.get(&user)).is_some_and(|watch| watch.active)
    }

    /// All watched users.
    pub fn all(&self) -> Vec<UserId> {
        let watches = self.users.iter().flat_map(|watches| watches.iter());
        watches.filter(|(_, watch)| watch.active).map(|(user, _)| *user).collect()
    }

    /// Whether any user is watched or asked for.
    pub fn is_empty(&self) -> bool {
        self.users.as_ref().is_none_or(|watches| watches.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn users(numbers: std::ops::Range<u128>) -> Vec<UserId> {
        numbers.map(|number| UserId::from_uuid(Uuid::from_u128(number))).collect()
    }

    #[test]
    fn what_is_asked_for_counts_before_it_is_answered() {
        let mut watches = Watches::default();
        let (first, second) = (users(0..20), users(20..40));
        assert!(watches.ask(&first, 20));
        assert!(!watches.ask(&second, 20), "twenty are asked for already");
        assert!(watches.ask(&first[..5], 20), "the same ones again are no more");
        assert_eq!(watches.answer(&first, &first[..3]), first[..3]);
        assert!(watches.ask(&second[..15], 20), "five are asked for once more, the others' places are free");
        assert!(!watches.ask(&second[15..], 20));
        assert_eq!(watches.answer(&first[..5], &first[..5]), first[3..5]);
        watches.answer(&second[..15], &[]);
        let mut all = watches.all();
        all.sort_unstable();
        assert_eq!(all, first[..5]);
    }

    #[test]
    fn who_is_unwatched_meanwhile_is_not_watched_by_the_answer() {
        let mut watches = Watches::default();
        let one = users(0..1);
        assert!(watches.ask(&one, 5));
        assert!(!watches.end(one[0]), "not watched yet");
        assert!(watches.answer(&one, &one).is_empty());
        assert!(watches.is_empty());
        assert!(watches.ask(&one, 5));
        assert_eq!(watches.answer(&one, &one), one);
        assert!(watches.end(one[0]) && watches.is_empty());
    }

    #[test]
    fn a_user_named_twice_counts_once() {
        let mut watches = Watches::default();
        let twice = [users(0..1), users(0..1)].concat();
        assert!(!watches.ask(&twice, 1), "the list is too long, repeated names included");
        assert!(watches.ask(&twice, 2) && watches.ask(&users(1..2), 2));
        assert_eq!(watches.answer(&twice, &users(0..1)), users(0..1));
    }
}
