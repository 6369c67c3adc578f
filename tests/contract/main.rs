//! What every store has to do, as one suite over a factory: [`harness::Harness`] makes an empty store, the tests speak to
//! the traits alone. A backend joins by implementing the factory and naming itself in [`harness::fresh`].

mod accounts;
mod append;
mod blocks;
mod changes;
mod consumers;
mod erasure;
mod export;
mod families;
mod harness;
mod heads;
mod history;
mod idempotency;
mod marks;
mod membership;
mod model;
mod rooms;
mod sqlite;
mod tail;
mod visibility;
