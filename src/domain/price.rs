//! What requests cost: the one table of prices, in units of `limits.requests_per_second`.
//!
//! Most requests cost one unit. What makes the server read, write or send more costs more, about as much as
//! its work. A price above `limits.request_burst` counts as that burst, so every request passes in the end.

/// A request that is not named below.
pub const REQUEST: u32 = 1;
/// A new token on an open connection: a signature is checked.
pub const AUTH: u32 = 2;

/// A new conversation: each member that it adds is a membership to write and a user to inform.
pub fn of_new_conversation(members: usize) -> u32 {
    plus(members)
}

/// `sync`: four ranges are read for a unit.
pub fn of_sync(ranges: usize) -> u32 {
    plus(ranges / 4)
}

/// `watch` of so many users: each is looked for among the user's conversations.
pub fn of_watch(users: usize) -> u32 {
    plus(users / 20)
}

fn plus(more: usize) -> u32 {
    u32::try_from(more).unwrap_or(u32::MAX).saturating_add(REQUEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_request_costs_one_and_a_large_one_its_work() {
        assert_eq!([of_sync(0), of_sync(3), of_watch(19)], [1; 3]);
        assert_eq!((of_sync(200), of_watch(200), of_new_conversation(255)), (51, 11, 256));
    }
}
