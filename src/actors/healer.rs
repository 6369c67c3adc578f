//! Healer: reads the log behind the holes that the router noticed.
//!
//! - *Owns*: nothing; the router's tracker says what is missing.
//! - *Receives*: conversations with a hole, and those this node has just begun to follow.
//! - *Emits*: the missing events, to the router.
//! - *Limits*: the router's queue of holes; [`STRETCH_EVENTS`] per read.
//! - *On restart*: the next event of a conversation shows its hole again.
//! - *On full*: the router forgets the conversation; its clients notice by seq.

use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use futures_util::StreamExt;
use tokio::sync::mpsc;

use super::router::{Mend, Router};
use crate::domain::{ConversationId, Seq};
use crate::panics;
use crate::store::SharedStore;
use crate::telemetry::Meters;

/// How long a missing event may still be on its way: commit order is not publish order.
const PATIENCE: Duration = Duration::from_millis(20);
/// Events per read.
const STRETCH_EVENTS: usize = 500;

/// Conversations healed side by side; the store's own bounds hold for their reads.
const SIDE_BY_SIDE: usize = 32;

/// Runs until the router is gone.
pub async fn run(router: Arc<Router>, store: SharedStore, meters: Arc<Meters>, holes: mpsc::Receiver<Mend>) {
    let holes = futures_util::stream::unfold(holes, async |mut holes| Some((holes.recv().await?, holes)));
    holes
        .inspect(|_| panics::point("healer"))
        .for_each_concurrent(SIDE_BY_SIDE, async |mend| match mend {
            Mend::Hole(conversation) => {
                tokio::time::sleep(PATIENCE).await;
                heal(&router, &store, &meters, conversation).await;
            }
            Mend::Look(conversation) => {
                router.settled().await;
                look(&router, &store, conversation).await;
            }
            Mend::Members { channel, first, last } => {
                members(&router, &store, channel, first, last).await;
            }
        })
        .await;
}

/// Reads what was said before this node's subscription stood; mostly nothing.
async fn look(router: &Router, store: &SharedStore, conversation: ConversationId) {
    let Some(after) = router.last(conversation) else { return };
    match store.stretch(conversation, after, STRETCH_EVENTS).await {
        Ok(events) if events.is_empty() => {}
        Ok(events) => {
            router.healed(conversation, events);
        }
        // The next event of the conversation, or the next digest, shows what is missing.
        Err(error) => tracing::debug!(%error, "a new subscription was not looked behind"),
    }
}

/// Reads a stretch of a channel that nobody here reads: who joined in it does from there on.
async fn members(router: &Router, store: &SharedStore, channel: ConversationId, first: Seq, last: Seq) {
    let after = Seq::new(first.get().saturating_sub(1)).unwrap_or(Seq::ZERO);
    let limit = usize::try_from(last.get() - after.get()).unwrap_or(STRETCH_EVENTS).min(STRETCH_EVENTS);
    match store.stretch(channel, after, limit).await {
        Ok(events) => {
            router.healed(channel, events);
        }
        Err(error) => tracing::debug!(%error, "a change of membership may come late"),
    }
}

async fn heal(router: &Router, store: &SharedStore, meters: &Meters, conversation: ConversationId) {
    let mut hole = router.hole(conversation);
    while let Some(after) = hole {
        let read = || async {
            let events = store.stretch(conversation, after, STRETCH_EVENTS).await;
            let events = events.map_err(|error| error.to_string())?;
            // Who noticed the hole saw a later event, which is in the log.
            if events.is_empty() { Err("the log does not show it yet".to_owned()) } else { Ok(events) }
        };
        let backoff =
            ExponentialBuilder::default().with_min_delay(Duration::from_millis(100)).with_max_times(5);
        match read.retry(backoff).await {
            Ok(events) => {
                hole = router.healed(conversation, events);
                if hole.is_none() {
                    meters.resume.gaps_healed.increment(1);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a hole could not be healed; its readers are told to compare heads");
                return router.give_up(conversation);
            }
        }
    }
}
