//! The actors of a node and the handle that gateway and API hold.

mod node;

pub use node::Node;
