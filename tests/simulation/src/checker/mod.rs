//! Whether the promises held.
