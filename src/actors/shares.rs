//! A user's share of their rate on this node: who is connected to several nodes has the rate once, not once on each.
//!
//! The presence book, whose entries end with their node's lease, says on how many nodes a user is. Of those who asked for
//! something lately it is read again and again; a request of somebody on three nodes counts three times on each. Until the
//! book was read, and while it is away, what was known last holds; nothing waits for it.

use std::sync::OnceLock;
use std::time::Duration;

use dashmap::DashMap;

use crate::bus::book::SharedBook;
use crate::domain::UserId;

/// Users whose shares are known at once; those above it count once per request until others have gone quiet.
const MOST_USERS: usize = 200_000;

#[derive(Debug)]
struct Share {
    times: u32,
    /// Asked for something since the last look.
    active: bool,
}

/// On how many nodes each user is who asked for something lately.
#[derive(Default)]
pub struct Shares {
    users: DashMap<UserId, Share>,
    shared: OnceLock<()>,
}

impl Shares {
    /// How often a request of `user` counts here; notes that there was one.
    pub fn times(&self, user: UserId) -> u32 {
        if self.shared.get().is_none() {
            return 1;
        }
        if let Some(mut share) = self.users.get_mut(&user) {
            share.active = true;
            return share.times;
        }
        if self.users.len() < MOST_USERS {
            self.users.insert(user, Share { times: 1, active: true });
        }
        1
    }

    /// Reads the book every `every`, for ever.
    pub async fn keep(&self, book: SharedBook, every: Duration) {
        let _ = self.shared.set(());
        let mut due = tokio::time::interval(every);
        due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            due.tick().await;
            self.look(&book).await;
        }
    }

    async fn look(&self, book: &SharedBook) {
        self.users.retain(|_, share| std::mem::take(&mut share.active));
        let users: Vec<UserId> = self.users.iter().map(|entry| *entry.key()).collect();
        let Ok(counts) = book.nodes(&users).await else { return };
        for (user, others) in users.into_iter().zip(counts) {
            if let Some(mut share) = self.users.get_mut(&user) {
                share.times = 1 + others;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uuid::Uuid;

    use super::*;
    use crate::bus::Presence;
    use crate::bus::book::{LocalBooks, PresenceBook};

    #[tokio::test]
    async fn a_request_counts_once_for_every_node_the_user_is_on() {
        let books = Arc::new(LocalBooks::default());
        let (here, there) = (Arc::new(books.open()), books.open());
        let user = UserId::from_uuid(Uuid::from_u128(7));
        let shares = Shares::default();
        assert_eq!((shares.times(user), shares.users.len()), (1, 0), "one node is all there is");
        let _ = shares.shared.set(());
        here.put(user, Some(Presence::Online));
        there.put(user, Some(Presence::Away));
        let book: SharedBook = here;
        assert_eq!(shares.times(user), 1, "not known yet");
        shares.look(&book).await;
        assert_eq!(shares.times(user), 2);
        drop(there);
        shares.look(&book).await;
        assert_eq!(shares.times(user), 1, "that node is gone");
        shares.look(&book).await;
        shares.look(&book).await;
        assert!(shares.users.is_empty(), "quiet users are forgotten");
    }
}
