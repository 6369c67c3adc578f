//! Healer: reads events from the log that the router found missing.
//!
//! - *Owns*: nothing; the router's tracker says what is missing.
//! - *Receives*: conversations with a hole, and channels that this node has just begun to follow.
//! - *Emits*: the missing events, to the router.
//! - *Limits*: the router's queue of holes; [`AT_WORK`] conversations; [`READS`] reads at once;
//!   [`STRETCH_EVENTS`] events per read. A pause follows each read that found nothing new, and the number of
//!   such reads is limited.
//! - *On restart*: the next event of a conversation, or the next digest, shows its hole again.
//! - *On full*: the router drops the request. Where an event showed the hole, its readers compare heads.
//!   Where a digest did, the follower reads the whole log.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use serde::Serialize;
use tokio::sync::{Semaphore, mpsc};

use super::router::{Need, Repair, Router};
use crate::domain::{Committed, ConversationId, Seq};
use crate::environment::Backoff;
use crate::panics;
use crate::store::{Log, StoreError};
use crate::telemetry::Meters;
use crate::telemetry::inspect::Questions;

/// How long a missing event may still be on its way: events are not always published in commit order.
const PATIENCE: Duration = Duration::from_millis(20);
/// Events per read.
pub const STRETCH_EVENTS: usize = 500;
/// Conversations that are healed at once. When the store is unavailable, most of them are pausing.
pub const AT_WORK: usize = 1_024;
/// Reads at once.
pub const READS: usize = 32;

/// After so many reads that found nothing new a hole is given up.
const VAIN_READS: u32 = 8;
/// After so many reads that the store did not answer a hole is given up. That takes a few minutes. Comparing
/// heads earlier would fail as well, because it reads the same store.
const UNANSWERED_READS: u32 = 60;
/// Pauses double from the first to the longest.
const FIRST_PAUSE_MS: u64 = 50;
const LONGEST_PAUSE_MS: u64 = 2_000;

/// The state of the healer, for inspection.
#[derive(Debug, Clone, Serialize)]
pub struct HealerObserved {
    /// Conversations that are being healed, or wait for their next try.
    pub conversations: usize,
    /// Reads of the log under way.
    pub reads: usize,
}

/// Runs until the router is dropped.
pub async fn run(
    router: Arc<Router>,
    log: Arc<dyn Log>,
    meters: Arc<Meters>,
    repairs: mpsc::Receiver<Repair>,
    questions: Questions<HealerObserved>,
) {
    let healer = Healer { router, log, meters, reads: Semaphore::new(READS), at_work: AtomicUsize::new(0) };
    let healer = &healer;
    let repairs =
        futures_util::stream::unfold(repairs, async |mut repairs| Some((repairs.recv().await?, repairs)));
    let heals = repairs.inspect(|_| panics::point("healer")).for_each_concurrent(
        bound!(RepairsAtOnce, AT_WORK),
        async move |repair| {
            healer.at_work.fetch_add(1, Ordering::Relaxed);
            match repair {
                Repair::Hole(conversation) => {
                    tokio::time::sleep(PATIENCE).await;
                    healer.heal(conversation).await;
                }
                Repair::NewChannel(channel) => healer.catch_up(channel).await,
            }
            healer.at_work.fetch_sub(1, Ordering::Relaxed);
        },
    );
    tokio::select! {
        () = heals => {}
        () = questions.answer_all(|| healer.observed()) => {}
    }
}

struct Healer {
    router: Arc<Router>,
    log: Arc<dyn Log>,
    meters: Arc<Meters>,
    reads: Semaphore,
    at_work: AtomicUsize,
}

impl Healer {
    fn observed(&self) -> HealerObserved {
        HealerObserved {
            conversations: self.at_work.load(Ordering::Relaxed),
            reads: READS - self.reads.available_permits(),
        }
    }

    /// Reads until nothing is missing or until reading does not help.
    async fn heal(&self, conversation: ConversationId) {
        let (mut vain, mut unanswered) = (0, 0);
        let mut pauses = Backoff::new(FIRST_PAUSE_MS, LONGEST_PAUSE_MS);
        let mut need = self.router.need(conversation);
        while let Need::After(after) = need {
            match self.read(conversation, after).await {
                Ok(events) => {
                    unanswered = 0;
                    self.router.healed(&events);
                    let left = self.router.need(conversation);
                    rare!(HoleReadInVain, left == need);
                    vain = if left == need { vain + 1 } else { 0 };
                    need = left;
                }
                Err(StoreError::Unavailable { .. } | StoreError::Overloaded) => {
                    rare!(LogAwayDuringARepair);
                    unanswered += 1;
                }
                Err(error) => {
                    tracing::warn!(%error, %conversation, "missing events could not be read");
                    vain = VAIN_READS;
                }
            }
            if vain >= VAIN_READS || unanswered >= UNANSWERED_READS {
                need = Need::TooMuch;
            } else if vain + unanswered > 0 {
                tokio::time::sleep(Duration::from_millis(pauses.next_ms())).await;
                need = self.router.need(conversation);
            } else {
                pauses.reset();
            }
        }
        if need == Need::TooMuch {
            rare!(HoleGivenUp);
            tracing::warn!(%conversation, "a hole was not healed; the readers of the conversation compare heads");
            self.router.give_up(conversation);
        } else {
            self.meters.resume.gaps_healed.increment(1);
        }
    }

    /// Reads what was committed to a channel before this node's subscription was active. Usually that is
    /// nothing.
    async fn catch_up(&self, channel: ConversationId) {
        self.router.settled().await;
        let Some(after) = self.router.last(channel) else { return };
        match self.read(channel, after).await {
            Ok(events) => self.router.healed(&events),
            // The next event of the channel, or the next digest, shows what is missing.
            Err(error) => {
                rare!(NewChannelUnreadable);
                tracing::debug!(%error, "events before a new subscription could not be read");
            }
        }
    }

    async fn read(&self, conversation: ConversationId, after: Seq) -> Result<Vec<Committed>, StoreError> {
        // The semaphore is never closed, so a permit always comes.
        let _turn = self.reads.acquire().await;
        self.log.stretch(conversation, after, bound!(EventsOfARepairRead, STRETCH_EVENTS)).await
    }
}
