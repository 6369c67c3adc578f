//! Which build this is.

/// The release.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit it was built from; "unknown", or "development" for a build that is no release.
pub const COMMIT: &str = env!("TIDINGS_COMMIT");
/// Both, in the form that people see.
pub const VERSION_AND_COMMIT: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("TIDINGS_COMMIT"), ")");
