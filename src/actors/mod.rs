//! The actors of a node, and the handle that gateway and API hold.
//!
//! ```text
//! Node (handle)
//! ├── Writer        one shard or more: the way into the log, group commit
//! ├── Router        order per conversation, hands batches to worker threads     (plain value behind a lock)
//! ├── Healer        reads the log behind holes the router noticed
//! ├── Follower      reads the log on while the bus or the relay is away   (where others write too)
//! ├── Receipts      keeps read and delivered positions, coalesced
//! ├── Presence      says who is gone
//! └── worker threads, each: Switchboard ── Session, one per connection          (src/gateway)
//! ```
//!
//! Nothing here restarts by itself in place: an actor that panics ends its arbiter, and the process with it; what was
//! not committed was not acknowledged.

pub mod follower;
pub mod healer;
pub mod inbox;
mod node;
pub mod presence;
pub mod rates;
pub mod receipts;
pub mod router;
pub mod shares;
pub mod writer;

pub use node::{Node, NodeOptions};
