//! Log consumers: whatever happens after the commit and apart from the request that caused it.
//!
//! A consumer reads the log in commit order from a durable cursor, one process at a time ([`place`]), in batches that bear
//! repetition, and shows how far it lags. To add one: a folder with its pure state and a `run`, a role or a setting that
//! starts it in `app`, its lag in the catalogue of metrics.
//!
//! ```text
//! relay    publishes what was committed and nobody published; tells gateways what moved
//! purge    removes what was said in deleted conversations, in bounded steps
//! jobs     goes on with what an operation has begun (erasing an account), one bounded step after the other
//! ```

pub mod jobs;
pub mod place;
pub mod purge;
pub mod relay;
