//! The actors of a node, and the handle through which gateway and API use them.
//!
//! ```text
//! Node (handle)
//! ├── Writer        one shard or more: the way into the log, group commit
//! ├── Router        order per conversation, hands batches to worker threads     (plain value behind a lock)
//! ├── Healer        reads the log behind holes the router noticed
//! ├── Follower      reads the log on while the bus or the relay is away   (where others write too)
//! ├── Receipts      keeps read and delivered positions, coalesced
//! ├── Presence      says who is gone
//! ├── Typing        says who has stopped typing
//! └── worker threads, each: Hub ── Session, one per connection          (src/gateway)
//! ```
//!
//! Each of them adds what it shows of itself to the node's [`crate::telemetry::inspect::Inspection`].
//!
//! Nothing is restarted in place: a panic in any actor ends the process at once ([`crate::panics`], ADR
//! 0020). Uncommitted work was not acknowledged, and committed work is read from the log after the restart.

pub mod backlogs;
pub mod byte_budget;
pub mod cluster_rate;
pub mod connections;
pub mod default_conversation;
pub mod exports;
pub mod follower;
pub mod healer;
pub mod http_output;
pub mod inbox;
mod node;
mod observe;
pub mod offenders;
mod people;
pub mod presence;
pub mod receipts;
pub mod router;
pub mod typing;
pub mod writer;

pub use node::{Node, NodeOptions};
