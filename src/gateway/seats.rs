//! Seats: how many connections each user has to this node, over all its worker threads. Bounded by the connections.

use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use crate::domain::UserId;

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Seats {
    taken: DashMap<UserId, u32>,
}

/// One connection of a user; given back when dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    user: UserId,
}

impl Seats {
    /// One more connection of `user`; `None` when there are `most` already.
    pub fn take(self: &Arc<Self>, user: UserId, most: usize) -> Option<Seat> {
        let mut taken = self.taken.entry(user).or_insert(0);
        if *taken as usize >= most {
            return None;
        }
        *taken += 1;
        drop(taken);
        Some(Seat { seats: Arc::clone(self), user })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Entry::Occupied(mut entry) = self.seats.taken.entry(self.user) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_user_has_so_many_connections_whatever_thread_they_come_to() {
        let seats = Arc::new(Seats::default());
        let user = UserId::from_uuid(Uuid::from_u128(1));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let seats = Arc::clone(&seats);
                std::thread::spawn(move || seats.take(user, 3))
            })
            .collect();
        let mut taken: Vec<Seat> =
            threads.into_iter().filter_map(|thread| thread.join().ok().flatten()).collect();
        assert_eq!(taken.len(), 3);
        assert!(seats.take(user, 3).is_none());
        taken.pop();
        assert!(seats.take(user, 3).is_some(), "a connection ended");
        drop(taken);
        assert!(seats.taken.is_empty());
    }
}
