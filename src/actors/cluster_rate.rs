//! The weight of a user's requests on this node: a user who is connected to several nodes has one rate limit
//! in the whole cluster, not one on each node.
//!
//! The presence registry says on how many nodes a user is connected. It is read periodically for the users
//! who made a request lately. A request of a user on three nodes counts three times on each of them. Until
//! the registry was read, and while it is unavailable, the last known count applies. No request waits for the
//! registry.

use std::sync::OnceLock;
use std::time::Duration;

use dashmap::DashMap;

use crate::bus::presence_registry::SharedPresenceRegistry;
use crate::domain::UserId;

/// Users known at once. The requests of further users count once, until others have made no request for a
/// while.
const MOST_USERS: usize = 200_000;

#[derive(Debug)]
struct UserRate {
    times: u32,
    /// Whether the user made a request since the registry was read last.
    active: bool,
}

/// On how many nodes each user is connected who made a request lately.
#[derive(Default)]
pub struct ClusterRate {
    users: DashMap<UserId, UserRate>,
    shared: OnceLock<()>,
}

impl ClusterRate {
    /// How many times one request of `user` counts on this node. Notes that there was a request.
    pub fn times(&self, user: UserId) -> u32 {
        if self.shared.get().is_none() {
            return 1;
        }
        if let Some(mut rate) = self.users.get_mut(&user) {
            rare!(RateCountsOtherProcesses, rate.times > 1);
            rate.active = true;
            return rate.times;
        }
        if self.users.len() < MOST_USERS {
            self.users.insert(user, UserRate { times: 1, active: true });
        }
        1
    }

    /// Reads the registry every `every`. Never returns.
    pub async fn keep(&self, registry: SharedPresenceRegistry, every: Duration) {
        let _ = self.shared.set(());
        let mut due = tokio::time::interval(every);
        due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            due.tick().await;
            self.read(&registry).await;
        }
    }

    async fn read(&self, registry: &SharedPresenceRegistry) {
        self.users.retain(|_, rate| std::mem::take(&mut rate.active));
        let users: Vec<UserId> = self.users.iter().map(|entry| *entry.key()).collect();
        let Ok(counts) = registry.nodes(&users).await else {
            rare!(OtherProcessesUncounted);
            return;
        };
        for (user, others) in users.into_iter().zip(counts) {
            if let Some(mut rate) = self.users.get_mut(&user) {
                rate.times = 1 + others;
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
    use crate::bus::presence_registry::{LocalPresenceRegistries, PresenceRegistry};

    #[tokio::test]
    async fn a_request_counts_once_for_every_node_the_user_is_on() {
        let registries = Arc::new(LocalPresenceRegistries::default());
        let (here, there) = (Arc::new(registries.open()), registries.open());
        let user = UserId::from_uuid(Uuid::from_u128(7));
        let cluster_rate = ClusterRate::default();
        assert_eq!((cluster_rate.times(user), cluster_rate.users.len()), (1, 0), "one node is all there is");
        let _ = cluster_rate.shared.set(());
        here.put(user, Some(Presence::Online));
        there.put(user, Some(Presence::Away));
        let registry: SharedPresenceRegistry = here;
        assert_eq!(cluster_rate.times(user), 1, "not known yet");
        cluster_rate.read(&registry).await;
        assert_eq!(cluster_rate.times(user), 2);
        drop(there);
        cluster_rate.read(&registry).await;
        assert_eq!(cluster_rate.times(user), 1, "that node is gone");
        cluster_rate.read(&registry).await;
        cluster_rate.read(&registry).await;
        assert!(cluster_rate.users.is_empty(), "quiet users are forgotten");
    }
}
