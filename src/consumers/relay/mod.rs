//! Relay: the guarantee behind the bus. Publishes what was committed and nobody published, and tells gateways what moved.
//!
//! - *Owns*: the events it has read and whose grace period has not ended ([`state`]); its place in the log ([`super::place`]).
//! - *Receives*: the log in commit order; announcements of what nodes published.
//! - *Emits*: late events and digests, to the bus and to this process's own sessions.
//! - *Limits*: [`state::PENDING_EVENTS`] read ahead; [`BATCH_EVENTS`] per read.
//! - *On restart*: goes on from its cursor; what was told twice is recognised by seq and dropped.
//! - *On full*: reads no further until earlier events are done; its lag shows.

pub mod state;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use self::state::RelayState;
use super::place::{Place, Turn};
use crate::actors::follower::ahead::Ahead;
use crate::actors::router::Router;
use crate::actors::router::published::PublishedSet;
use crate::environment::SharedEnvironment;
use crate::panics;
use crate::store::{Cursor, SharedStore};
use crate::telemetry::Meters;

/// Events per read of the log.
const BATCH_EVENTS: usize = 2_000;
/// Between two reads of a log that has nothing new.
const EVERY: Duration = Duration::from_millis(50);
/// Between two looks of a standby.
const STANDBY: Duration = Duration::from_millis(250);
/// Between two looks at whether the log is still the same one.
const LOCATE_EVERY_MS: u64 = 1_000;
/// While the log's end stands still: between two questions whether a transaction holds it back.
const HELD_BACK_EVERY_MS: u64 = 250;
/// Between two writes of the cursor.
const KEEP_EVERY_MS: u64 = 1_000;

/// Events older than this are not published any more: a gateway that heard no digest for so long has read the log itself.
const STALE_MS: i64 = 60_000;

/// What the relay works with.
pub struct Relay {
    /// The log.
    pub store: SharedStore,
    /// Where late events and digests go.
    pub router: Arc<Router>,
    /// What nodes said they published; also given to [`Router::announce_to`].
    pub announced: Arc<PublishedSet>,
    /// The clock and the source of randomness.
    pub environment: SharedEnvironment,
    /// What is measured.
    pub meters: Arc<Meters>,
}

impl Relay {
    /// Works, or stands by, until `stop` says so; then hands over to a standby at once.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let (store, environment) = (Arc::clone(&self.store), Arc::clone(&self.environment));
        let mut place = Place::new("relay", store, environment);
        let mut state: Option<RelayState> = None;
        let mut ahead = Ahead::default();
        let (mut kept_ms, mut located_ms, mut looked_ms) = (0, 0, 0);
        loop {
            let pause = match place.turn().await {
                Turn::Standby => {
                    state = None;
                    STANDBY
                }
                Turn::Begins { cursor } => {
                    state = self.begin(cursor).await.map(RelayState::new);
                    EVERY
                }
                Turn::Goes => {
                    let now_ms = self.environment.monotonic_ms();
                    if state.is_none() || now_ms.saturating_sub(located_ms) >= LOCATE_EVERY_MS {
                        located_ms = now_ms;
                        self.look_at_the_log(&mut state).await;
                    }
                    EVERY
                }
            };
            self.meters.relay.leads.set(if state.is_some() { 1.0 } else { 0.0 });
            let mut more = false;
            if let Some(state) = &mut state {
                more = self.step(state).await;
                let now_ms = self.environment.monotonic_ms();
                ahead.on_end(state.read_to(), now_ms);
                if !ahead.stands(now_ms) {
                    state.on_held_back(false);
                } else if now_ms.saturating_sub(looked_ms) >= HELD_BACK_EVERY_MS {
                    looked_ms = now_ms;
                    self.look_past_the_end(state, &mut ahead).await;
                }
                if now_ms.saturating_sub(kept_ms) >= KEEP_EVERY_MS {
                    kept_ms = now_ms;
                    place.keep(state.done()).await;
                }
            }
            tokio::select! {
                () = tokio::time::sleep(if more { Duration::ZERO } else { pause }) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        if let Some(state) = &state {
            place.keep(state.done()).await;
        }
        place.leave().await;
    }

    /// Where to begin: the last holder's cursor when it is of this log, else the log's end.
    async fn begin(&self, cursor: Option<Cursor>) -> Option<Cursor> {
        let end = match self.store.end().await {
            Ok(end) => end,
            Err(error) => {
                tracing::debug!(%error, "where the log ends could not be read");
                return None;
            }
        };
        Some(cursor.filter(|cursor| cursor.epoch == end.epoch).unwrap_or(end))
    }

    /// Begins at the log's end when nothing was begun yet, or the log is another one than before.
    async fn look_at_the_log(&self, state: &mut Option<RelayState>) {
        let Some(end) = self.begin(None).await else { return };
        if state.as_ref().is_some_and(|state| state.done().epoch == end.epoch) {
            return;
        }
        if state.is_some() {
            tracing::warn!(epoch = end.epoch, "the log is another one than before");
        }
        *state = Some(RelayState::new(end));
    }

    /// Finds out whether the log's end is held back.
    async fn look_past_the_end(&self, state: &mut RelayState, ahead: &mut Ahead) {
        match self.store.running().await {
            Ok(running) => {
                let now_ms = self.environment.monotonic_ms();
                state.on_held_back(ahead.on_running(&running, now_ms).is_some());
            }
            Err(error) => tracing::debug!(%error, "what holds the log back could not be read"),
        }
    }

    /// Reads on, publishes what is due; answers whether there is more to read at once.
    async fn step(&self, state: &mut RelayState) -> bool {
        panics::point("relay");
        let mut more = false;
        if let Some(from) = state.wants() {
            match self.store.tail(from, BATCH_EVENTS).await {
                Ok(tail) => {
                    more = tail.committed.len() >= BATCH_EVENTS;
                    let oldest = tail.committed.first().map(|one| one.event.sent_at);
                    let lag_ms = oldest.map_or(0, |at| self.environment.now().ms_since(at).max(0));
                    self.meters.relay.lag.set(lag_ms as f64 / 1_000.0);
                    state.on_read(tail.committed, tail.next, self.environment.monotonic_ms());
                }
                Err(error) => tracing::debug!(%error, "the log could not be read on"),
            }
        }
        let epoch = state.read_to().epoch;
        let now_ms = self.environment.monotonic_ms();
        let mut due = state.due(now_ms, |id, seq| self.announced.take(epoch, id, seq));
        let now = self.environment.now();
        due.unpublished.retain(|one| now.ms_since(one.event.sent_at) < STALE_MS);
        if !due.unpublished.is_empty() {
            self.meters.relay.published.increment(due.unpublished.len() as u64);
            self.router.relayed(&due.unpublished, epoch);
        }
        self.meters.relay.announcements.set(self.announced.len() as f64);
        for digest in due.digests {
            self.meters.relay.digests.increment(1);
            self.router.broadcast(digest);
        }
        more
    }
}
