//! Presence: who is there, told to those who look.
//!
//! - *Owns*: this node's devices per user ([`state`]), and its entries in the book of all nodes ([`sharing`]).
//! - *Receives*: devices that come, go, and move between foreground and background.
//! - *Emits*: a signal to the watchers of a user whose presence changed; nobody else is told.
//! - *Limits*: users with a connection here, and those that went within `presence.offline_after_ms`.
//! - *On restart*: empty; devices come again with their next connection.
//! - *On full*: what is kept grows only with connections, which are bounded. Changes that wait to be asked about in the book are
//!   bounded too; one more is dropped and counted, and the next look at the watched users makes up for it.

pub mod sharing;
pub mod state;
pub mod told;

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use actix::{Actor, AsyncContext, Context};

use self::sharing::Sharing;
use self::state::{Device, PresenceChanged, PresenceState};
use super::router::Router;
use crate::bus::{Presence as Seen, Signal};
use crate::domain::UserId;
use crate::environment::SharedEnvironment;
use crate::panics::{self, lock, shared};
use crate::telemetry::Meters;

/// What sessions hold. A lock rather than a mailbox: counts must not be lost when a mailbox is full, and no call waits.
#[derive(Clone)]
pub struct PresenceBoard {
    state: Arc<Mutex<PresenceState>>,
    sharing: Arc<OnceLock<Sharing>>,
    router: Arc<Router>,
    environment: SharedEnvironment,
    meters: Arc<Meters>,
}

/// Looks for users that are gone.
pub struct Presence {
    board: PresenceBoard,
}

const EXPIRE_EVERY: Duration = Duration::from_millis(500);

impl PresenceBoard {
    /// An empty board.
    pub fn new(
        router: Arc<Router>,
        environment: SharedEnvironment,
        meters: Arc<Meters>,
        offline_after_ms: u64,
    ) -> Self {
        Self {
            state: Arc::new(Mutex::new(PresenceState::new(offline_after_ms))),
            sharing: Arc::default(),
            router,
            environment,
            meters,
        }
    }

    /// The actor that keeps the board current; start one.
    pub fn keeper(&self) -> Presence {
        Presence { board: self.clone() }
    }

    /// A device came.
    pub fn came(&self, user: UserId, device: Device) {
        let _shared = shared();
        let changed = self.lock().came(user, device);
        self.tell(changed);
    }

    /// A device went.
    pub fn went(&self, user: UserId, device: Device) {
        let _shared = shared();
        let (now_ms, now) = (self.environment.monotonic_ms(), self.environment.now());
        let changed = self.lock().went(user, device, now_ms, now);
        self.tell(changed);
    }

    /// A device moved between foreground and background.
    pub fn moved(&self, user: UserId, from: Device, to: Device) {
        let _shared = shared();
        let changed = self.lock().moved(user, from, to);
        self.tell(changed);
    }

    /// What this node itself knows of a user.
    pub fn here(&self, user: UserId) -> Option<Seen> {
        self.lock().of(user)
    }

    /// Writes off who is gone by now; [`Presence`] does it twice a second.
    pub fn expire(&self) {
        panics::point("presence");
        let gone = self.lock().expire(self.environment.monotonic_ms());
        self.tell(gone);
    }

    fn tell(&self, changed: impl IntoIterator<Item = PresenceChanged>) {
        for change in changed {
            let PresenceChanged { user, presence } = change;
            let Some(sharing) = self.sharing.get() else {
                self.announce(user, presence);
                continue;
            };
            sharing.book.put(user, Some(presence));
            if sharing.asks.try_send(change).is_err() {
                self.meters.load.sheds.of("presence").increment(1);
                self.announce(user, presence);
            }
        }
    }

    fn announce(&self, user: UserId, presence: Seen) {
        let state = match presence {
            Seen::Online => "online",
            Seen::Away => "away",
            Seen::Offline { .. } => "offline",
        };
        self.meters.social.presence_changes.of(state).increment(1);
        self.router.signal(Signal::Presence { user, presence }, Arc::new([]));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, PresenceState> {
        lock(&self.state)
    }
}

impl Actor for Presence {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.run_interval(EXPIRE_EVERY, |presence, _| presence.board.expire());
    }
}
