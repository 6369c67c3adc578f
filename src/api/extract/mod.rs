//! The inputs of handlers: the caller, the ids in the path, the query, the body. Each fails with a problem
//! document.

mod body;
mod caller;
mod query;
mod segments;

pub use body::{Body, OptionalBody};
pub use caller::{Address, Caller, Sender, is_signed_in};
pub use query::Query;
pub use segments::Segments;
