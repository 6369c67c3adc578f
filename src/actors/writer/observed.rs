//! The state of the writer, for inspection.

use actix::{Context, Handler, MessageResult};
use serde::Serialize;

use super::WriterShard;
use crate::actors::observe::Observe;

/// One shard's queue.
#[derive(Debug, Clone, Serialize)]
pub struct ShardObserved {
    /// Jobs that wait.
    pub waiting_jobs: usize,
    /// How long the oldest of them has been in this process.
    pub oldest_ms: u64,
    /// Whether a batch or a change is being carried out.
    pub is_working: bool,
}

/// The limits that all shards pass on their way to the database.
#[derive(Debug, Clone, Serialize)]
pub struct GateObserved {
    /// Batches that may be in flight now.
    pub allowed_batches: usize,
    /// Batches that are.
    pub in_flight_batches: usize,
    /// Whether everything is refused because the database is away.
    pub is_shut: bool,
}

impl Handler<Observe<ShardObserved>> for WriterShard {
    type Result = MessageResult<Observe<ShardObserved>>;

    fn handle(&mut self, _: Observe<ShardObserved>, _: &mut Context<Self>) -> Self::Result {
        let now_us = self.shared.environment.monotonic_us();
        let oldest_us = self.state.oldest().map_or(0, |job| now_us.saturating_sub(job.received_us()));
        MessageResult(ShardObserved {
            waiting_jobs: self.state.waiting(),
            oldest_ms: oldest_us / 1_000,
            is_working: self.state.is_working(),
        })
    }
}
