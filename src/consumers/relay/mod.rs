//! Relay: the guarantee behind the bus. It publishes committed events that no node published, and sends
//! gateways digests of which conversations moved.
//!
//! - *Owns*: the events it has read whose grace period has not ended ([`state`]); its cursor
//!   ([`super::lease`]).
//! - *Receives*: the log in commit order; announcements of what nodes published.
//! - *Emits*: late events and digests, to the bus and to this process's own sessions.
//! - *Limits*: [`state::PENDING_EVENTS`] read ahead; [`BATCH_EVENTS`] per read.
//! - *On restart*: continues at its cursor. Events that are published twice are recognised by their seqs and
//!   dropped.
//! - *On full*: reads no further until earlier events are done; its lag is a metric.

mod observed;
pub mod state;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

pub use self::observed::RelayObserved;
use self::state::RelayState;
use super::lease::{ConsumerLease, LeaseState};
use crate::actors::follower::ahead::Ahead;
use crate::actors::router::Router;
use crate::actors::router::published::PublishedSet;
use crate::domain::Committed;
use crate::environment::SharedEnvironment;
use crate::panics;
use crate::store::{Cursor, SharedStore};
use crate::telemetry::Meters;
use crate::telemetry::inspect::Questions;

/// Events per read of the log.
const BATCH_EVENTS: usize = 2_000;
/// Between two reads of a log that has nothing new.
const EVERY: Duration = Duration::from_millis(50);
/// Between two checks of a standby.
const STANDBY: Duration = Duration::from_millis(250);
/// Between two checks whether the log was replaced.
const LOCATE_EVERY_MS: u64 = 1_000;
/// While the log's end does not move: between two checks whether a transaction holds it back.
const HELD_BACK_EVERY_MS: u64 = 250;
/// Between two writes of the cursor.
const KEEP_EVERY_MS: u64 = 1_000;

/// Events older than this are no longer published: a gateway without a digest for this long has read the log
/// itself.
const STALE_MS: i64 = 60_000;

/// The parts that the relay uses.
pub struct Relay {
    /// The name of this process for operators.
    pub process: String,
    /// The log.
    pub store: SharedStore,
    /// Receives late events and digests.
    pub router: Arc<Router>,
    /// The events that nodes announced as published; also given to [`Router::announce_to`].
    pub announced: Arc<PublishedSet>,
    /// The clock and the source of randomness.
    pub environment: SharedEnvironment,
    /// The metrics.
    pub meters: Arc<Meters>,
    /// The channel that asks for its state.
    pub questions: Questions<RelayObserved>,
}

impl Relay {
    /// Works, or waits as the standby, until `stop` is true. Then a standby can begin at once.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let (store, environment) = (Arc::clone(&self.store), Arc::clone(&self.environment));
        let mut lease = ConsumerLease::new("relay", &self.process, store, environment);
        let mut state: Option<RelayState> = None;
        let mut ahead = Ahead::default();
        let (mut kept_ms, mut located_ms, mut looked_ms) = (0, 0, 0);
        loop {
            let pause = match lease.check().await {
                LeaseState::Standby => {
                    state = None;
                    STANDBY
                }
                LeaseState::Acquired { cursor } => {
                    state = self.begin(cursor).await.map(RelayState::new);
                    EVERY
                }
                LeaseState::Held => {
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
                if !ahead.has_stalled(now_ms) {
                    state.on_held_back(false);
                } else if now_ms.saturating_sub(looked_ms) >= HELD_BACK_EVERY_MS {
                    looked_ms = now_ms;
                    self.look_past_the_end(state, &mut ahead).await;
                }
                if now_ms.saturating_sub(kept_ms) >= KEEP_EVERY_MS {
                    kept_ms = now_ms;
                    lease.save_cursor(state.done()).await;
                }
            }
            tokio::select! {
                () = tokio::time::sleep(if more { Duration::ZERO } else { pause }) => {}
                question = self.questions.next() => {
                    question.answer(self.observed(&lease, state.as_ref()));
                }
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        if let Some(state) = &state {
            lease.save_cursor(state.done()).await;
        }
        lease.release().await;
    }

    fn observed(&self, lease: &ConsumerLease, state: Option<&RelayState>) -> RelayObserved {
        let now_ms = self.environment.monotonic_ms();
        RelayObserved {
            lease: lease.observed(),
            epoch: state.map(|state| state.done().epoch),
            read_to: state.map(|state| state.read_to().position.0),
            watermark: state.map(|state| state.done().position.0),
            pending_events: state.map_or(0, RelayState::pending_events),
            oldest_ms: state.map_or(0, |state| state.oldest_ms(now_ms)),
            announcements: self.announced.len(),
        }
    }

    /// The start position: the last holder's cursor if it is of this log, else the log's end.
    async fn begin(&self, cursor: Option<Cursor>) -> Option<Cursor> {
        let end = match self.store.end().await {
            Ok(end) => end,
            Err(error) => {
                tracing::debug!(%error, "the end of the log could not be read");
                return None;
            }
        };
        rare!(RelayCursorOfAnotherEpoch, cursor.is_some_and(|cursor| cursor.epoch != end.epoch));
        Some(cursor.filter(|cursor| cursor.epoch == end.epoch).unwrap_or(end))
    }

    /// Begins at the log's end if nothing was begun yet or the log was replaced.
    async fn look_at_the_log(&self, state: &mut Option<RelayState>) {
        let Some(end) = self.begin(None).await else { return };
        if state.as_ref().is_some_and(|state| state.done().epoch == end.epoch) {
            return;
        }
        if state.is_some() {
            rare!(LogReplacedUnderTheRelay);
            tracing::warn!(epoch = end.epoch, "the log was replaced");
        }
        *state = Some(RelayState::new(end));
    }

    /// Checks whether the log's end is held back.
    async fn look_past_the_end(&self, state: &mut RelayState, ahead: &mut Ahead) {
        match self.store.running().await {
            Ok(running) => {
                let now_ms = self.environment.monotonic_ms();
                state.on_held_back(ahead.on_running(&running, now_ms).is_some());
            }
            Err(error) => {
                tracing::debug!(%error, "the transactions that hold the log back could not be read");
            }
        }
    }

    /// Reads the log and publishes what is due. Returns whether there is more to read at once.
    async fn step(&self, state: &mut RelayState) -> bool {
        panics::point("relay");
        let mut more = false;
        if let Some(from) = state.wants() {
            let most = bound!(EventsOfARelayRead, BATCH_EVENTS);
            match self.store.tail(from, most).await {
                Ok(tail) => {
                    more = tail.committed.len() >= most;
                    let oldest = tail.committed.first().map(|one| one.event.sent_at);
                    let lag_ms = oldest.map_or(0, |at| self.environment.now().ms_since(at).max(0));
                    self.meters.relay.lag.set(lag_ms as f64 / 1_000.0);
                    state.on_read(tail.committed, tail.next, self.environment.monotonic_ms());
                }
                Err(error) => tracing::debug!(%error, "the log could not be read"),
            }
        }
        let epoch = state.read_to().epoch;
        let now_ms = self.environment.monotonic_ms();
        let mut due = state.due(now_ms, |id, seq| self.announced.take(epoch, id, seq));
        let now = self.environment.now();
        let is_stale = |one: &Committed| now.ms_since(one.event.sent_at) >= bound!(StaleEventMs, STALE_MS);
        rare!(EventTooOldToPublish, due.unpublished.iter().any(is_stale));
        due.unpublished.retain(|one| !is_stale(one));
        if !due.unpublished.is_empty() {
            rare!(EventPublishedByTheRelay);
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
