//! What the rules and the backends have in common: rows as values, content as columns, who is told, what a
//! database's error means. Nothing here speaks to a database.

pub(super) mod codec;
pub(super) mod columns;
pub(super) mod content;
pub(super) mod conversation;
pub(super) mod error;
pub(super) mod numbers;
pub(super) mod part;
pub(super) mod roster;
