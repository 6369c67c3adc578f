//! The token of a session, once it was checked.

use crate::identity::Claims;

/// A good token and when it ends.
#[derive(Debug)]
pub struct CheckedToken {
    /// Its claims.
    pub claims: Claims,
    ends_mono_ms: u64,
    warned: bool,
}

impl CheckedToken {
    /// A token that ends at this time of the monotonic clock.
    pub const fn new(claims: Claims, ends_mono_ms: u64) -> Self {
        Self { claims, ends_mono_ms, warned: false }
    }

    /// How long it is good still.
    pub const fn left_ms(&self, mono_ms: u64) -> u64 {
        self.ends_mono_ms.saturating_sub(mono_ms)
    }

    /// When the client is warned, `warning_ms` before the end; after that the end.
    pub const fn due_ms(&self, warning_ms: u64) -> u64 {
        if self.warned { self.ends_mono_ms } else { self.ends_mono_ms.saturating_sub(warning_ms) }
    }

    /// Whether to warn the client now; true once.
    pub const fn warn(&mut self, mono_ms: u64, warning_ms: u64) -> bool {
        let warn = !self.warned && self.left_ms(mono_ms) <= warning_ms;
        self.warned |= warn;
        warn
    }
}
