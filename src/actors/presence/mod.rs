//! Presence: which users are connected, announced to the sessions that watch them.
//!
//! - *Owns*: this node's devices per user ([`state`]), and its entries in the registry of all nodes
//!   ([`across_nodes`]).
//! - *Receives*: devices that connect, disconnect, and move between foreground and background.
//! - *Emits*: a signal to the watchers of a user whose presence changed, and to nobody else.
//! - *Limits*: users with a connection here, and those who disconnected within `presence.offline_after_ms`.
//! - *On restart*: empty; each device is counted again when it reconnects.
//! - *On full*: the state grows only with connections, which are bounded. Changes that wait for the registry
//!   are bounded too: one more is counted and announced with what this node knows, and the next lookup
//!   corrects it.

pub mod across_nodes;
pub mod state;

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, MessageResult};
use serde::Serialize;

use self::across_nodes::AcrossNodes;
use self::state::{ConnectedDevices, Device, PresenceChanged};
use super::observe::Observe;
use super::router::Router;
use crate::bus::{Presence, Signal};
use crate::config::PresenceSettings;
use crate::domain::UserId;
use crate::environment::SharedEnvironment;
use crate::panics::{self, lock, shared};
use crate::telemetry::Meters;

/// The handle that sessions use. It has a lock instead of a mailbox, because a full mailbox would lose
/// counts. No call waits.
#[derive(Clone)]
pub struct PresenceBoard {
    state: Arc<Mutex<ConnectedDevices>>,
    across_nodes: Arc<OnceLock<AcrossNodes>>,
    router: Arc<Router>,
    environment: SharedEnvironment,
    meters: Arc<Meters>,
}

/// The state of presence, for inspection.
#[derive(Debug, Clone, Serialize)]
pub struct PresenceObserved {
    /// Users with a device here, or who went a moment ago.
    pub users: usize,
    /// Users whom somebody here watches.
    pub watched_users: usize,
    /// Changes that wait until other nodes were asked; `None` where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_changes: Option<usize>,
}

/// The actor that looks for users who are gone.
pub struct PresenceExpiry {
    board: PresenceBoard,
}

const EXPIRE_EVERY: Duration = Duration::from_millis(500);

impl PresenceBoard {
    /// An empty board.
    pub fn new(
        router: Arc<Router>,
        environment: SharedEnvironment,
        meters: Arc<Meters>,
        settings: PresenceSettings,
    ) -> Self {
        Self {
            state: Arc::new(Mutex::new(ConnectedDevices::new(settings.offline_after_ms))),
            across_nodes: Arc::default(),
            router,
            environment,
            meters,
        }
    }

    /// The actor that expires users. Start exactly one.
    pub fn keeper(&self) -> PresenceExpiry {
        PresenceExpiry { board: self.clone() }
    }

    /// A device connected.
    pub fn connected(&self, user: UserId, device: Device) {
        let _shared = shared();
        let changed = self.lock().connected(user, device);
        self.publish(changed);
    }

    /// A device disconnected.
    pub fn disconnected(&self, user: UserId, device: Device) {
        let _shared = shared();
        let (now_ms, now) = (self.environment.monotonic_ms(), self.environment.now());
        let changed = self.lock().disconnected(user, device, now_ms, now);
        self.publish(changed);
    }

    /// A device moved between foreground and background.
    pub fn moved(&self, user: UserId, from: Device, to: Device) {
        let _shared = shared();
        let changed = self.lock().moved(user, from, to);
        self.publish(changed);
    }

    /// The state of a user on this node.
    pub fn here(&self, user: UserId) -> Option<Presence> {
        self.lock().of(user)
    }

    /// Marks users offline whose time after the last disconnect is over; [`PresenceExpiry`] does it twice a
    /// second.
    pub fn expire(&self) {
        panics::point("presence");
        let gone = self.lock().expire(self.environment.monotonic_ms());
        self.publish(gone);
    }

    fn observed(&self) -> PresenceObserved {
        PresenceObserved {
            users: self.lock().len(),
            watched_users: self.router.watched().len(),
            waiting_changes: self.across_nodes.get().map(AcrossNodes::waiting),
        }
    }

    fn publish(&self, changed: impl IntoIterator<Item = PresenceChanged>) {
        for change in changed {
            let PresenceChanged { user, presence } = change;
            let Some(across_nodes) = self.across_nodes.get() else {
                self.announce(user, presence);
                continue;
            };
            across_nodes.registry.put(user, Some(presence));
            if across_nodes.asks.try_send(change).is_err() {
                self.meters.load.sheds.of("presence").increment(1);
                self.announce(user, presence);
            }
        }
    }

    fn announce(&self, user: UserId, presence: Presence) {
        let state = match presence {
            Presence::Online => "online",
            Presence::Away => "away",
            Presence::Offline { .. } => "offline",
        };
        self.meters.social.presence_changes.of(state).increment(1);
        self.router.signal(Signal::Presence { user, presence }, Arc::new([]));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ConnectedDevices> {
        lock(&self.state)
    }
}

impl Actor for PresenceExpiry {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.run_interval(EXPIRE_EVERY, |presence, _| presence.board.expire());
    }
}

impl Handler<Observe<PresenceObserved>> for PresenceExpiry {
    type Result = MessageResult<Observe<PresenceObserved>>;

    fn handle(&mut self, _: Observe<PresenceObserved>, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.board.observed())
    }
}
