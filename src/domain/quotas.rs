//! How much a user may take part in. The store counts; the numbers are in [`super::Limits`].

use super::{Refusal, Timestamp};

const DAY_MS: i64 = 86_400_000;

/// The day of a time, in UTC.
pub const fn day_of(now: Timestamp) -> i64 {
    now.as_unix_ms().div_euclid(DAY_MS)
}

/// May somebody who is in so many groups and channels be in one more? `own`: it is the one who asks.
///
/// # Errors
/// `TooLarge`.
pub fn may_be_in_one_more(conversations: u64, most: usize, own: bool) -> Result<(), Refusal> {
    match conversations < most as u64 {
        true => Ok(()),
        false if own => Err(Refusal::TooLarge(
            "you are in as many groups and channels as limits.conversations allows: leave one first",
        )),
        false => Err(Refusal::TooLarge(
            "this user is in as many groups and channels as one can be: ask them to leave one",
        )),
    }
}

/// May somebody add people who are then `people` on this day?
///
/// # Errors
/// `TooLarge`.
pub fn may_have_added(people: u64, most: u32) -> Result<(), Refusal> {
    if people <= u64::from(most) {
        return Ok(());
    }
    Err(Refusal::TooLarge(
        "more people in a day than limits.invitations_per_day allows: go on tomorrow (UTC), or let them join an open conversation",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_at_midnight_of_utc() {
        let at = Timestamp::from_unix_ms;
        assert_eq!((day_of(at(0)), day_of(at(DAY_MS - 1)), day_of(at(DAY_MS))), (0, 0, 1));
        assert_eq!(day_of(at(-1)), -1);
    }

    #[test]
    fn the_last_place_is_taken_and_no_further_one() {
        assert!(may_be_in_one_more(1, 2, true).is_ok());
        let (own, other) = (may_be_in_one_more(2, 2, true), may_be_in_one_more(2, 2, false));
        assert!(own.is_err() && other.is_err() && own != other);
        assert!(may_have_added(2, 2).is_ok());
        assert!(may_have_added(3, 2).is_err());
    }
}
