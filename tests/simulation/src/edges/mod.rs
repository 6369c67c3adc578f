//! Models of what is outside the product.

pub mod bus;
pub mod clock;
pub mod log;
pub mod socket;

use tokio::time::Instant;

/// The virtual time.
#[expect(clippy::disallowed_methods, reason = "the paused clock of the runtime is the virtual time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
