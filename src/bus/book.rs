//! The presence book: what each node knows of its users, for the other nodes to read.
//!
//! A node writes only about its own connections. Its entries count as long as its lease: those of a node that died
//! end with it. To add a backend: implement [`PresenceBook`], name it in `app`, add it to the suite's worlds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::Presence;
use crate::domain::{Timestamp, UserId};
use crate::panics::lock;

/// The book cannot be read now; the caller uses what this node knows itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BookAway;

/// This node's handle to the shared presence book. Entries are [`Presence::Online`] and [`Presence::Away`]; an offline user has
/// none.
#[async_trait]
pub trait PresenceBook: Send + Sync {
    /// Sets this node's entry of `user`; `None` or offline removes it. Returns at once. The entry is written soon, and
    /// kept until it is changed or this node ends.
    fn put(&self, user: UserId, presence: Option<Presence>);

    /// What the other nodes know of `users`, in their order, once everything put here before is written.
    ///
    /// # Errors
    /// [`BookAway`], in time.
    async fn others(&self, users: &[UserId]) -> Result<Vec<Option<Presence>>, BookAway>;

    /// When each of `users`, who is on no node any more, was last on one that has died since, in their order; `None`: not known.
    async fn last_on_dead(&self, users: &[UserId]) -> Vec<Option<Timestamp>> {
        vec![None; users.len()]
    }

    /// On how many other nodes each of `users` is, in their order.
    ///
    /// # Errors
    /// [`BookAway`], in time.
    async fn nodes(&self, users: &[UserId]) -> Result<Vec<u32>, BookAway>;
}

/// How the book is shared.
pub type SharedBook = Arc<dyn PresenceBook>;

/// What two nodes together know of a user: online wherever one says so.
pub fn together(one: Option<Presence>, other: Option<Presence>) -> Option<Presence> {
    let rank = |presence: &Option<Presence>| match presence {
        Some(Presence::Online) => 3,
        Some(Presence::Away) => 2,
        Some(Presence::Offline { .. }) => 1,
        None => 0,
    };
    if rank(&other) > rank(&one) { other } else { one }
}

/// The book of nodes that share a process: tests. Its nodes die by being dropped.
#[derive(Default)]
pub struct LocalBooks {
    nodes: Mutex<Vec<Pages>>,
}

type Pages = Arc<Mutex<HashMap<UserId, Presence>>>;

/// One node's hand on [`LocalBooks`].
pub struct LocalBook {
    books: Arc<LocalBooks>,
    own: Pages,
}

impl LocalBooks {
    /// Opens the book for one more node.
    pub fn open(self: &Arc<Self>) -> LocalBook {
        let own = Pages::default();
        lock(&self.nodes).push(Arc::clone(&own));
        LocalBook { books: Arc::clone(self), own }
    }
}

#[async_trait]
impl PresenceBook for LocalBook {
    fn put(&self, user: UserId, presence: Option<Presence>) {
        let mut own = lock(&self.own);
        match presence {
            Some(presence @ (Presence::Online | Presence::Away)) => own.insert(user, presence),
            Some(Presence::Offline { .. }) | None => own.remove(&user),
        };
    }

    async fn others(&self, users: &[UserId]) -> Result<Vec<Option<Presence>>, BookAway> {
        let nodes = lock(&self.books.nodes);
        let known = users.iter().map(|user| {
            let others = nodes.iter().filter(|pages| !Arc::ptr_eq(pages, &self.own));
            others.map(|pages| lock(pages).get(user).copied()).fold(None, together)
        });
        Ok(known.collect())
    }

    async fn nodes(&self, users: &[UserId]) -> Result<Vec<u32>, BookAway> {
        let nodes = lock(&self.books.nodes);
        let counts = users.iter().map(|user| {
            let others = nodes.iter().filter(|pages| !Arc::ptr_eq(pages, &self.own));
            others.filter(|pages| lock(pages).contains_key(user)).count() as u32
        });
        Ok(counts.collect())
    }
}

impl Drop for LocalBook {
    fn drop(&mut self) {
        lock(&self.books.nodes).retain(|pages| !Arc::ptr_eq(pages, &self.own));
    }
}
