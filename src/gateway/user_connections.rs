//! How many connections each user has to this node, over all its worker threads. Bounded by the connections.

use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use crate::domain::UserId;

/// The connections of each user to this node, counted.
#[derive(Debug, Default)]
pub struct UserConnections {
    taken: DashMap<UserId, u32>,
}

/// One connection of a user. It is counted until this value is dropped.
#[derive(Debug)]
pub struct UserConnection {
    user_connections: Arc<UserConnections>,
    user: UserId,
}

impl UserConnections {
    /// Counts one more connection of `user`; `None` when there are `most` already.
    pub fn take(self: &Arc<Self>, user: UserId, most: usize) -> Option<UserConnection> {
        let mut taken = self.taken.entry(user).or_insert(0);
        if *taken as usize >= most {
            return None;
        }
        *taken += 1;
        drop(taken);
        Some(UserConnection { user_connections: Arc::clone(self), user })
    }
}

impl Drop for UserConnection {
    fn drop(&mut self) {
        if let Entry::Occupied(mut entry) = self.user_connections.taken.entry(self.user) {
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
        let user_connections = Arc::new(UserConnections::default());
        let user = UserId::from_uuid(Uuid::from_u128(1));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let user_connections = Arc::clone(&user_connections);
                std::thread::spawn(move || user_connections.take(user, 3))
            })
            .collect();
        let mut taken: Vec<UserConnection> =
            threads.into_iter().filter_map(|thread| thread.join().ok().flatten()).collect();
        assert_eq!(taken.len(), 3);
        assert!(user_connections.take(user, 3).is_none());
        taken.pop();
        assert!(user_connections.take(user, 3).is_some(), "a connection ended");
        drop(taken);
        assert!(user_connections.taken.is_empty());
    }
}
