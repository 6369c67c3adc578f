//! Log consumers: work that happens after the commit, apart from the request that caused it.
//!
//! A consumer reads the log in commit order from a durable cursor, in batches that may be repeated. One
//! process at a time does it ([`lease`]). Its lag is a metric. To add one: a folder with its pure state and a
//! `run`, a role or a setting that starts it in `app`, its lag in the catalogue of metrics.
//!
//! ```text
//! relay    publishes committed events that no node published; sends gateways digests of what moved
//! jobs     continues what an operation began (erasing an account, deleting a conversation), in bounded steps
//! ```

pub mod jobs;
pub mod lease;
pub mod relay;
