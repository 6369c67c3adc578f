//! The presence registry: each node writes the presence of its users, and the other nodes read it.
//!
//! A node writes only about its own connections. Its entries are valid as long as its lease, so the entries
//! of a crashed node end with it. To add a backend: implement [`PresenceRegistry`], name it in `app`, add it
//! to the worlds of `tests/bus`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::Presence;
use crate::domain::{Timestamp, UserId};
use crate::panics::lock;

/// The registry cannot be read now. The caller uses what this node knows itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegistryUnavailable;

/// This node's handle to the shared presence registry. Entries are [`Presence::Online`] and
/// [`Presence::Away`]; an offline user has none.
#[async_trait]
pub trait PresenceRegistry: Send + Sync {
    /// Sets this node's entry of `user`; `None` or offline removes it. Returns at once. The entry is written
    /// soon, and kept until it is changed or this node ends.
    fn put(&self, user: UserId, presence: Option<Presence>);

    /// What the other nodes know of each of `users`, in the same order, after everything that this node has
    /// put before is written.
    ///
    /// # Errors
    /// [`RegistryUnavailable`], within the timeout.
    async fn others(&self, users: &[UserId]) -> Result<Vec<Option<Presence>>, RegistryUnavailable>;

    /// For each of `users`, who must be on no living node: when they were last on a node that has crashed, in
    /// the same order; `None`: not known.
    async fn last_on_dead(&self, users: &[UserId]) -> Vec<Option<Timestamp>> {
        vec![None; users.len()]
    }

    /// On how many other nodes each of `users` is connected, in the same order.
    ///
    /// # Errors
    /// [`RegistryUnavailable`], within the timeout.
    async fn nodes(&self, users: &[UserId]) -> Result<Vec<u32>, RegistryUnavailable>;
}

/// A shared handle to the registry.
pub type SharedPresenceRegistry = Arc<dyn PresenceRegistry>;

/// The state of a user that follows from two nodes: online if the user is online on one of them.
pub fn together(one: Option<Presence>, other: Option<Presence>) -> Option<Presence> {
    let rank = |presence: &Option<Presence>| match presence {
        Some(Presence::Online) => 3,
        Some(Presence::Away) => 2,
        Some(Presence::Offline { .. }) => 1,
        None => 0,
    };
    if rank(&other) > rank(&one) { other } else { one }
}

/// The registry of nodes that share a process, for tests. Dropping a handle is a crash of its node.
#[derive(Default)]
pub struct LocalPresenceRegistries {
    nodes: Mutex<Vec<Entries>>,
}

type Entries = Arc<Mutex<HashMap<UserId, Presence>>>;

/// One node's handle to [`LocalPresenceRegistries`].
pub struct LocalPresenceRegistry {
    registries: Arc<LocalPresenceRegistries>,
    own: Entries,
}

impl LocalPresenceRegistries {
    /// A handle for one more node.
    pub fn open(self: &Arc<Self>) -> LocalPresenceRegistry {
        let own = Entries::default();
        lock(&self.nodes).push(Arc::clone(&own));
        LocalPresenceRegistry { registries: Arc::clone(self), own }
    }
}

#[async_trait]
impl PresenceRegistry for LocalPresenceRegistry {
    fn put(&self, user: UserId, presence: Option<Presence>) {
        let mut own = lock(&self.own);
        match presence {
            Some(presence @ (Presence::Online | Presence::Away)) => own.insert(user, presence),
            Some(Presence::Offline { .. }) | None => own.remove(&user),
        };
    }

    async fn others(&self, users: &[UserId]) -> Result<Vec<Option<Presence>>, RegistryUnavailable> {
        let nodes = lock(&self.registries.nodes);
        let known = users.iter().map(|user| {
            let others = nodes.iter().filter(|entries| !Arc::ptr_eq(entries, &self.own));
            others.map(|entries| lock(entries).get(user).copied()).fold(None, together)
        });
        Ok(known.collect())
    }

    async fn nodes(&self, users: &[UserId]) -> Result<Vec<u32>, RegistryUnavailable> {
        let nodes = lock(&self.registries.nodes);
        let counts = users.iter().map(|user| {
            let others = nodes.iter().filter(|entries| !Arc::ptr_eq(entries, &self.own));
            others.filter(|entries| lock(entries).contains_key(user)).count() as u32
        });
        Ok(counts.collect())
    }
}

impl Drop for LocalPresenceRegistry {
    fn drop(&mut self) {
        lock(&self.registries.nodes).retain(|entries| !Arc::ptr_eq(entries, &self.own));
    }
}
