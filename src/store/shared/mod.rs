//! What the backends have in common: rows as values, content as columns, who is told. Nothing here speaks to
//! a database.

pub(super) mod codec;
pub(super) mod columns;
pub(super) mod content;
pub(super) mod conversation;
pub(super) mod roster;
