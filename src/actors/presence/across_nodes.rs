//! Presence across nodes: this node writes what it knows into the presence registry, and announces what all
//! nodes together know.
//!
//! A change is first written to the registry and then announced. A user who is online on this node is online.
//! A user who is away or offline on this node may be online on another one, so the registry is read before
//! that is announced. Signals can be lost and nodes can crash without a signal, so the watched users are
//! looked up in the registry periodically. While the registry is unavailable, each node announces what it
//! knows itself.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;

use super::PresenceBoard;
use super::state::PresenceChanged;
use crate::actors::router::last_sent::alike;
use crate::bus::Presence;
use crate::bus::presence_registry::{SharedPresenceRegistry, together};
use crate::domain::UserId;
use crate::panics::lock;

/// Changes that may wait until the registry was read. One more is announced with what this node knows.
pub const WAITING_CHANGES: usize = 4_096;
/// Users per read of the registry.
const CHANGES_AT_ONCE: usize = 500;
/// Each lookup of this number also includes users who were offline: the signal that they are online may have
/// been lost.
const WIDE_LOOKUP_EVERY: u32 = 8;

/// The presence of a user whom no node knows.
pub const GONE: Presence = Presence::Offline { last_seen: None };

/// The parts that the presence board needs once several nodes share presence.
pub struct AcrossNodes {
    /// The presence registry that all nodes share.
    pub registry: SharedPresenceRegistry,
    /// Changes to announce after the registry was read.
    pub asks: mpsc::Sender<PresenceChanged>,
    /// Users whom a session has begun to watch since the last lookup. What that session was sent may be older
    /// than a signal that arrived before the subscription was active, so they are looked up again. Bounded by
    /// the number of watches.
    recheck: Mutex<HashSet<UserId>>,
}

/// Announces changes and looks up the watched users, until the board is dropped.
pub async fn run(
    board: PresenceBoard,
    registry: SharedPresenceRegistry,
    mut asks: mpsc::Receiver<PresenceChanged>,
    look_every: Duration,
) {
    let mut lookups = Lookups::default();
    let mut due = tokio::time::interval(look_every);
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut changes = Vec::new();
    loop {
        tokio::select! {
            received = asks.recv_many(&mut changes, CHANGES_AT_ONCE) => {
                if received == 0 {
                    return;
                }
                announce_changes(&board, &registry, changes.drain(..)).await;
            }
            _ = due.tick() => lookups.look_up(&board, &registry).await,
        }
    }
}

/// Announces each change as all nodes together see it, after it is in the registry, so that a node which
/// receives the signal finds the same in the registry.
async fn announce_changes(
    board: &PresenceBoard,
    registry: &SharedPresenceRegistry,
    changes: impl Iterator<Item = PresenceChanged>,
) {
    let latest: HashMap<UserId, Presence> = changes.map(|change| (change.user, change.presence)).collect();
    let (sure, unsure): (Vec<UserId>, Vec<UserId>) =
        latest.keys().partition(|user| board.here(**user) == Some(Presence::Online));
    let others = registry.others(&unsure).await.unwrap_or_else(|_| vec![None; unsure.len()]);
    for user in sure {
        board.announce(user, Presence::Online);
    }
    let mut by_others = Vec::new();
    for (user, other) in unsure.into_iter().zip(others) {
        // It may have changed again in the meantime. The change still says when the user was last seen.
        rare!(
            PresenceChangedDuringTheLookup,
            board.here(user).is_some_and(|here| latest.get(&user) != Some(&here))
        );
        let here = board.here(user).or_else(|| latest.get(&user).copied());
        let presence = together(here, other).unwrap_or(GONE);
        board.announce(user, presence);
        if other.is_some() {
            by_others.push((user, presence));
        }
    }
    announce_what_changed_since(board, registry, by_others).await;
}

/// Announces again what another node changed while the first announcement was under way. That node's signal
/// may have come first, so watchers would keep the older state until the periodic lookup.
async fn announce_what_changed_since(
    board: &PresenceBoard,
    registry: &SharedPresenceRegistry,
    announced: Vec<(UserId, Presence)>,
) {
    if announced.is_empty() {
        return;
    }
    let users: Vec<UserId> = announced.iter().map(|(user, _)| *user).collect();
    let Ok(others) = registry.others(&users).await else { return };
    for ((user, presence), other) in announced.into_iter().zip(others) {
        let now = match together(board.here(user), other) {
            Some(now) => now,
            None => gone_since(registry, user).await,
        };
        if !alike(now, presence) {
            rare!(PresenceChangedWhileAnnounced);
            board.announce(user, now);
        }
    }
}

/// The periodic lookups of the watched users.
#[derive(Default)]
struct Lookups {
    count: u32,
    /// Users for whom the last lookup found something else than their watchers were sent, with the version
    /// that was sent. A signal is faster than the registry, and an emptied registry is filled again between
    /// two lookups. So a difference counts only when two lookups in a row find it.
    suspected: HashMap<UserId, (Presence, u64)>,
}

impl Lookups {
    async fn look_up(&mut self, board: &PresenceBoard, registry: &SharedPresenceRegistry) {
        let wide = self.count.is_multiple_of(WIDE_LOOKUP_EVERY);
        self.count = self.count.wrapping_add(1);
        let recheck = board.across_nodes.get().map(AcrossNodes::take_recheck).unwrap_or_default();
        let before = std::mem::take(&mut self.suspected);
        let is_due = |user: &UserId, sent: Presence| {
            wide || is_there(sent) || recheck.contains(user) || before.contains_key(user)
        };
        let watched = board.router.watched();
        let (online_here, mut watched): (Vec<_>, Vec<_>) =
            watched.into_iter().partition(|(user, _)| board.here(*user) == Some(Presence::Online));
        for (user, sent) in online_here {
            // Another node said so because it could not read the registry. This one knows better without it.
            if !alike(sent.presence, Presence::Online) {
                rare!(PresenceSaidWithoutTheRegistry);
                board.router.correct(user, Presence::Online, sent.version);
            }
        }
        watched.retain(|(user, sent)| is_due(user, sent.presence));
        let users: Vec<UserId> = watched.iter().map(|(user, _)| *user).collect();
        if users.is_empty() {
            return;
        }
        let Ok(others) = registry.others(&users).await else {
            rare!(PresenceRegistryAway);
            return;
        };
        for ((user, sent), other) in watched.into_iter().zip(others) {
            let now = together(board.here(user), other).unwrap_or(GONE);
            if alike(sent.presence, now) {
                continue;
            }
            let seen_before = before.get(&user);
            if seen_before.is_some_and(|(seen, version)| alike(*seen, now) && *version == sent.version) {
                rare!(PresenceSignalLost);
                // The node crashed before it sent a signal, or the signal was lost.
                let now = if is_there(now) { now } else { gone_since(registry, user).await };
                board.router.correct(user, now, sent.version);
            } else {
                rare!(PresenceDiffersOnce);
                self.suspected.insert(user, (now, sent.version));
            }
        }
    }
}

async fn gone_since(registry: &SharedPresenceRegistry, user: UserId) -> Presence {
    Presence::Offline { last_seen: registry.last_on_dead(&[user]).await.into_iter().next().flatten() }
}

const fn is_there(presence: Presence) -> bool {
    !matches!(presence, Presence::Offline { .. })
}

impl AcrossNodes {
    /// Changes that wait to be asked about.
    pub fn waiting(&self) -> usize {
        self.asks.max_capacity() - self.asks.capacity()
    }

    fn take_recheck(&self) -> HashSet<UserId> {
        std::mem::take(&mut *lock(&self.recheck))
    }
}

impl PresenceBoard {
    /// What to send a new watcher of `user`, for whom [`PresenceBoard::seen`] returned `looked`. Subscribe
    /// before that call.
    pub fn answer(&self, user: UserId, looked: Presence) -> Presence {
        if let Some(across_nodes) = self.across_nodes.get() {
            lock(&across_nodes.recheck).insert(user);
        }
        self.router.last_sent_or(user, looked)
    }

    /// From now on shares presence with other nodes through `registry`. While the returned work runs, it
    /// looks up the watched users every `look_every`; it never ends. Call once.
    pub fn share(
        &self,
        registry: SharedPresenceRegistry,
        look_every: Duration,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (asks, asked) = mpsc::channel(WAITING_CHANGES);
        let across_nodes = AcrossNodes { registry: Arc::clone(&registry), asks, recheck: Mutex::default() };
        let already = self.across_nodes.set(across_nodes);
        debug_assert!(already.is_ok(), "the registry is shared once");
        run(self.clone(), registry, asked, look_every)
    }

    /// What all nodes together know of `users`, in the same order. While the registry is unavailable: what
    /// this node knows.
    pub async fn seen(&self, users: &[UserId]) -> Vec<Presence> {
        let mut seen: Vec<Option<Presence>> = users.iter().map(|user| self.here(*user)).collect();
        if let Some(across_nodes) = self.across_nodes.get() {
            let asked: Vec<usize> =
                (0..users.len()).filter(|at| seen[*at] != Some(Presence::Online)).collect();
            let questions: Vec<UserId> = asked.iter().map(|at| users[*at]).collect();
            if !questions.is_empty()
                && let Ok(others) = across_nodes.registry.others(&questions).await
            {
                for (at, other) in asked.into_iter().zip(others) {
                    seen[at] = together(seen[at], other);
                }
            }
        }
        seen.into_iter().map(|seen| seen.unwrap_or(GONE)).collect()
    }
}
