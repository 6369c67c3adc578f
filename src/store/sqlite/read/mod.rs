//! Reading the log back: by seq, by page, by what moved, by commit order. Each from one snapshot.

mod heads;
mod history;
mod range;
mod tail;

pub(super) use heads::heads;
pub(super) use history::history;
pub(super) use range::range;
pub(super) use tail::{ahead, end, running, stretch, tail};
