//! Follower: ensures that events which other nodes commit reach this node, with the bus or without it.
//!
//! - *Owns*: the position in the log before which everything was delivered here ([`state`]).
//! - *Receives*: digests and gaps (from the router), the health of the bus, events of the log.
//! - *Emits*: the log's events to the router while the bus or the relay is unavailable or after something was
//!   lost, also past a held-back end of the log ([`ahead`]); the covered position; the news that the log was
//!   replaced.
//! - *Limits*: [`NOTICES`] notices; [`TAIL_EVENTS`] events per read; one read at a time.
//! - *On restart*: begins at the present end of the log. Sessions connect later and compare heads.
//! - *On full*: a digest is dropped. The next one leaves a gap to the covered position, so the log is read.

pub mod ahead;
mod observed;
pub mod state;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use self::ahead::Ahead;
pub use self::observed::FollowerObserved;
use self::state::{FollowStep, FollowerState, Joins};
use super::router::{Notice, Router};
use crate::bus::health::BusHealth;
use crate::environment::SharedEnvironment;
use crate::panics;
use crate::store::{Cursor, Log};
use crate::telemetry::Meters;
use crate::telemetry::inspect::Questions;

/// Notices that may wait.
pub const NOTICES: usize = 64;
/// Events per read of the log.
const TAIL_EVENTS: usize = 2_000;
/// Between two checks of the state, and between two reads of a log that has nothing new.
const EVERY: Duration = Duration::from_millis(150);
/// Between two checks whether the log was replaced.
const LOCATE_EVERY_MS: u64 = 2_000;

/// Tells `router` which log it writes to, in a process without sessions and therefore without a follower.
/// Runs as long as the process.
pub async fn watch_epoch(router: Arc<Router>, log: Arc<dyn Log>) {
    loop {
        tokio::time::sleep(Duration::from_millis(LOCATE_EVERY_MS)).await;
        match log.end().await {
            Ok(end) => router.writes_to(end.epoch),
            Err(error) => tracing::debug!(%error, "the end of the log could not be read"),
        }
    }
}

/// The parts that the follower uses.
pub struct Follower {
    /// Receives the events.
    pub router: Arc<Router>,
    /// The log that is followed.
    pub log: Arc<dyn Log>,
    /// The clock and the source of randomness.
    pub environment: SharedEnvironment,
    /// The metrics.
    pub meters: Arc<Meters>,
    /// The receiving end of the channel given to [`Router::follow`].
    pub notices: mpsc::Receiver<Notice>,
    /// The channel that asks for its state.
    pub questions: Questions<FollowerObserved>,
    /// The health of the bus; `None` when there is no bus between nodes.
    pub bus: Option<watch::Receiver<BusHealth>>,
}

impl Follower {
    /// Follows the log from `covered` on until the router is dropped.
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
                question = self.questions.next() => {
                    question.answer(self.observed(&state));
                    continue;
                }
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
                tracing::debug!(tailing, "reading the log instead of the bus, or the bus again");
            }
            if now_ms.saturating_sub(located_ms) >= LOCATE_EVERY_MS
                || state.step(now_ms) == FollowStep::Locate
            {
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

    fn observed(&self, state: &FollowerState) -> FollowerObserved {
        let covered = state.covered();
        FollowerObserved {
            watermark: covered.map(|covered| covered.position.0),
            epoch: covered.map(|covered| covered.epoch),
            is_tailing: state.is_tailing(self.environment.monotonic_ms()),
            has_gap: state.has_gap(),
            waiting_notices: self.notices.len(),
        }
    }

    fn take(&self, notice: Notice, state: &mut FollowerState, ahead: &mut Ahead) {
        match notice {
            Notice::Gap => {
                rare!(BusReportsAGap);
                self.meters.resume.gaps_detected.of("overflow").increment(1);
                state.on_gap();
            }
            Notice::OtherLog => state.on_other_log(),
            Notice::Digest(digest) => {
                let now_ms = self.environment.monotonic_ms();
                rare!(DigestBeyondAHeldBackLog, digest.held_back);
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
                    rare!(LogReplaced);
                    tracing::warn!(epoch = end.epoch, "the log was replaced: every client compares heads");
                    *ahead = Ahead::default();
                    self.router.another_log(end);
                }
            }
            Err(error) => tracing::debug!(%error, "the end of the log could not be read"),
        }
        if let Ok(running) = self.log.running().await {
            let now_ms = self.environment.monotonic_ms();
            ahead.on_running(&running, now_ms);
            self.router.hold_back(ahead.held_back_ms(now_ms));
        }
    }

    /// Reads the log to its end if the state asks for it.
    async fn read_on(&self, state: &mut FollowerState, ahead: &mut Ahead) {
        while let FollowStep::Tail(from) = state.step(self.environment.monotonic_ms()) {
            let most = bound!(EventsOfAFollowerRead, TAIL_EVENTS);
            match self.log.tail(from, most).await {
                Ok(tail) => {
                    let end = tail.committed.len() < most;
                    self.meters.bus.tailed.increment(tail.committed.len() as u64);
                    self.router.tailed(&tail.committed);
                    if end && state.has_gap() {
                        rare!(FollowerReadsAGapToItsEnd);
                        ahead.on_gap_closed();
                    }
                    state.on_tailed(tail.next, end);
                    if end {
                        return;
                    }
                }
                Err(error) => {
                    rare!(LogAwayForTheFollower);
                    return tracing::debug!(%error, "the log could not be read");
                }
            }
        }
    }

    /// Reads events that are committed past a held-back end of the log.
    async fn read_past_the_end(&self, ahead: &mut Ahead) {
        let running = match self.log.running().await {
            Ok(running) => running,
            Err(error) => {
                return tracing::debug!(%error, "the transactions that hold the log back could not be read");
            }
        };
        let now_ms = self.environment.monotonic_ms();
        let mut from = ahead.on_running(&running, now_ms);
        self.router.hold_back(ahead.held_back_ms(now_ms));
        while let Some(after) = from {
            let most = bound!(EventsOfAFollowerRead, TAIL_EVENTS);
            match self.log.ahead(after, most).await {
                Ok(read) => {
                    rare!(EventsBeyondAHeldBackEnd, !read.committed.is_empty());
                    self.router.read_ahead(&read.committed);
                    from = (read.committed.len() >= most).then_some(read.next);
                }
                Err(error) => return tracing::debug!(%error, "the log could not be read past its end"),
            }
        }
        ahead.on_read(&running, self.environment.monotonic_ms());
    }
}
