//! The suite. Each backend includes it once, under a name that identifies the backend.

mod accounts;
mod append;
mod audit;
mod bans;
mod blocks;
mod browse;
mod changes;
mod consent;
mod consumers;
mod conversations;
mod erasure;
mod export;
mod families;
mod heads;
mod history;
mod idempotency;
mod membership;
mod model;
mod names;
mod one_time_passwords;
mod receipts;
mod repeats;
mod second_factors;
mod sending;
mod suspensions;
mod tail;
mod visibility;

/// An empty world over the backend that this copy of the suite is for.
async fn fresh() -> crate::harness::World {
    crate::harness::fresh(module_path!()).await
}
