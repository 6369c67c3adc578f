//! The exports in progress on a node: so many of a user at once.
//!
//! *Limit*: `limits.exports_per_user` of a user. *On full*: `rate_limited`.

use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use crate::domain::UserId;
use crate::protocol::Failure;
use crate::telemetry::Meters;

/// The wait that is told to a user who has too many. An export that nobody reads ends after
/// `gateway.write_deadline_ms`, which is as long by default.
const COME_BACK_MS: u64 = 10_000;

/// The users with exports, and how many each has.
#[derive(Debug)]
pub struct Exports {
    most_of_a_user: usize,
    running: DashMap<UserId, usize>,
    meters: Arc<Meters>,
}

/// One export. It is counted until this value is dropped.
#[derive(Debug)]
pub struct Export {
    exports: Arc<Exports>,
    user: UserId,
}

impl Exports {
    /// At most `most_of_a_user` of each user.
    pub fn new(most_of_a_user: usize, meters: Arc<Meters>) -> Arc<Self> {
        Arc::new(Self { most_of_a_user, running: DashMap::new(), meters })
    }

    /// Counts one more export of `user`.
    ///
    /// # Errors
    /// `RateLimited` when the user has too many.
    pub fn begin(self: &Arc<Self>, user: UserId) -> Result<Export, Failure> {
        let mut running = self.running.entry(user).or_insert(0);
        if *running >= self.most_of_a_user {
            self.meters.load.rate_limited.of("export").increment(1);
            return Err(Failure::RateLimited { retry_after_ms: COME_BACK_MS });
        }
        *running += 1;
        self.meters.queued.exports.increment(1.0);
        Ok(Export { exports: Arc::clone(self), user })
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        self.exports.meters.queued.exports.decrement(1.0);
        if let Entry::Occupied(mut running) = self.exports.running.entry(self.user) {
            *running.get_mut() -= 1;
            if *running.get() == 0 {
                running.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_user_has_so_many_at_once_and_others_have_theirs() {
        let exports = Exports::new(2, Arc::default());
        let user = |n| UserId::from_uuid(Uuid::from_u128(n));
        let first = exports.begin(user(1));
        let second = exports.begin(user(1));
        assert!(first.is_ok() && second.is_ok());
        assert!(matches!(exports.begin(user(1)), Err(Failure::RateLimited { retry_after_ms: 1.. })));
        let other = exports.begin(user(2));
        assert!(other.is_ok());
        drop(second);
        let again = exports.begin(user(1));
        assert!(again.is_ok());
        drop((first, again, other));
        assert!(exports.running.is_empty(), "nothing is remembered of who has none");
    }
}
