//! Follower: sees to it that what others commit reaches this node, with the bus or without it.
//!
//! - *Owns*: up to where in the log everything has been passed on here ([`state`]).
//! - *Receives*: digests and gaps (router), the bus's health, the log.
//! - *Emits*: the log's events to the router while the bus or the relay is away or something was lost, past its end too when
//!   that is held back ([`ahead`]); the position covered; that the log is another one.
//! - *Limits*: [`NOTICES`] waiting; [`TAIL_EVENTS`] per read; one read in flight.
//! - *On restart*: begins where the log ends then; sessions come later and compare heads.
//! - *On full*: a digest is dropped; the next one does not join on, and the log is read.

pub mod ahead;
pub mod state;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use self::ahead::Ahead;
use self::state::{FollowerState, Joins, Step};
use super::router::{Notice, Router};
use crate::bus::health::BusHealth;
use crate::environment::SharedEnvironment;
use crate::panics;
use crate::store::{Cursor, Log};
use crate::telemetry::Meters;

/// Notices that may wait.
pub const NOTICES: usize = 64;
/// Events per read of the log.
const TAIL_EVENTS: usize = 2_000;
/// Between two looks at the state, and two reads of a log that has nothing new.
const EVERY: Duration = Duration::from_millis(150);
/// Between two looks at whether the log is still the same one.
const LOCATE_EVERY_MS: u64 = 2_000;

/// Keeps `router` told which log it writes to, in a process that has no sessions and so no follower, for as long
/// as it runs.
pub async fn watch_epoch(router: Arc<Router>, log: Arc<dyn Log>) {
    loop {
        tokio::time::sleep(Duration::from_millis(LOCATE_EVERY_MS)).await;
        match log.end().await {
            Ok(end) => router.writes_to(end.epoch),
            Err(error) => tracing::debug!(%error, "where the log ends could not be read"),
        }
    }
}

/// What the follower works with.
pub struct Follower {
    /// Where events go.
    pub router: Arc<Router>,
    /// What is followed.
    pub log: Arc<dyn Log>,
    /// The clock and the source of randomness.
    pub environment: SharedEnvironment,
    /// What is measured.
    pub meters: Arc<Meters>,
    /// The other end of what was given to [`Router::follow`].
    pub notices: mpsc::Receiver<Notice>,
    /// How the bus is; `None` where nothing leaves the process.
    pub bus: Option<watch::Receiver<BusHealth>>,
}

impl Follower {
    /// Follows the log from `covered` on until the router is gone.
    pub async fn run(mut self, covered: Cursor) {
        let mut state = FollowerState::new(covered);
        let mut ahead = Ahead::default();
        let mut located_ms = self.environment.monotonic_ms();
        let mut tailing = false;
        loop {
            tokio::select! {
                notice = self.notices.recv() => match notice {
                    Some(notice) => self.take(notice, &mut state, &mut ahead),
                    None => return,
                },
                () = tokio::time::sleep(EVERY) => {}
            }
            panics::point("follower");
            while let Ok(notice) = self.notices.try_recv() {
                self.take(notice, &mut state, &mut ahead);
            }
            state.on_bus(self.bus.as_ref().is_some_and(|bus| bus.borrow().up));
            let now_ms = self.environment.monotonic_ms();
            if state.is_tailing(now_ms) != tailing {
                tailing = !tailing;
                self.meters.bus.tailing.set(if tailing { 1.0 } else { 0.0 });
                tracing::debug!(tailing, "following the log");
            }
            if now_ms.saturating_sub(located_ms) >= LOCATE_EVERY_MS || state.step(now_ms) == Step::Locate {
                located_ms = now_ms;
                self.locate(&mut state, &mut ahead).await;
            }
            self.read_on(&mut state, &mut ahead).await;
            let now_ms = self.environment.monotonic_ms();
            if let Some(covered) = state.covered() {
                self.router.cover(covered.position);
                ahead.on_end(covered, now_ms);
            }
            if ahead.is_due(tailing, now_ms) {
                self.read_past_the_end(&mut ahead).await;
            }
        }
    }

    fn take(&self, notice: Notice, state: &mut FollowerState, ahead: &mut Ahead) {
        match notice {
            Notice::Gap => {
                self.meters.resume.gaps_detected.of("overflow").increment(1);
                state.on_gap();
            }
            Notice::OtherLog => state.on_other_log(),
            Notice::Digest(digest) => {
                let now_ms = self.environment.monotonic_ms();
                ahead.on_digest(digest.held_back);
                if state.on_digest(&digest, now_ms) == Joins::On {
                    if self.router.compare(&digest) {
                        state.covered_to(digest.to);
                    } else {
                        state.on_gap();
                    }
                }
            }
        }
    }

    async fn locate(&self, state: &mut FollowerState, ahead: &mut Ahead) {
        match self.log.end().await {
            Ok(end) => {
                if state.on_end(end) {
                    tracing::warn!(
                        epoch = end.epoch,
                        "the log is another one than before: every client compares heads"
                    );
                    *ahead = Ahead::default();
                    self.router.another_log(end);
                }
            }
            Err(error) => tracing::debug!(%error, "where the log ends could not be read"),
        }
        if let Ok(running) = self.log.running().await {
            let now_ms = self.environment.monotonic_ms();
            ahead.on_running(&running, now_ms);
            self.router.hold_back(ahead.held_back_ms(now_ms));
        }
    }

    /// Reads the log as far as it goes, when that is called for.
    async fn read_on(&self, state: &mut FollowerState, ahead: &mut Ahead) {
        while let Step::Tail(from) = state.step(self.environment.monotonic_ms()) {
            match self.log.tail(from, TAIL_EVENTS).await {
                Ok(tail) => {
                    let end = tail.committed.len() < TAIL_EVENTS;
                    self.meters.bus.tailed.increment(tail.committed.len() as u64);
                    self.router.tailed(&tail.committed);
                    if end && state.has_gap() {
                        ahead.on_gap_closed();
                    }
                    state.on_tailed(tail.next, end);
                    if end {
                        return;
                    }
                }
                Err(error) => return tracing::debug!(%error, "the log could not be read on"),
            }
        }
    }

    /// Reads what is committed past a log's end that is held back.
    async fn read_past_the_end(&self, ahead: &mut Ahead) {
        let running = match self.log.running().await {
            Ok(running) => running,
            Err(error) => return tracing::debug!(%error, "what holds the log back could not be read"),
        };
        let now_ms = self.environment.monotonic_ms();
        let mut from = ahead.on_running(&running, now_ms);
        self.router.hold_back(ahead.held_back_ms(now_ms));
        while let Some(after) = from {
            match self.log.ahead(after, TAIL_EVENTS).await {
                Ok(read) => {
                    self.router.read_ahead(&read.committed);
                    from = (read.committed.len() >= TAIL_EVENTS).then_some(read.next);
                }
                Err(error) => return tracing::debug!(%error, "the log could not be read past its end"),
            }
        }
        ahead.on_read(&running, self.environment.monotonic_ms());
    }
}
