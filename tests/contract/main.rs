//! What every store has to do, as one suite over a factory: [`harness::Harness`] makes an empty store, the tests speak to
//! the traits alone. A backend joins by implementing the factory and naming itself in [`harness::fresh`].

mod append;
mod harness;
mod idempotency;
