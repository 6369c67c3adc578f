//! Reading the log back: by seq, by page, by what moved, by commit order. Each from one snapshot, since each is one
//! statement; who may see what is read before it, from the primary.

mod history;
mod range;
mod replica_reads;
mod running;

pub(super) use history::history;
pub(super) use range::range;
pub(super) use running::running;
