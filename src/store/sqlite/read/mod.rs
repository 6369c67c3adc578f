//! Reading the log back: by seq, by page, by what moved, by commit order. Each from one snapshot.

mod history;
mod range;

pub(super) use history::history;
pub(super) use range::range;
