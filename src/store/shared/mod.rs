//! The code that both backends share: rows as values, content as columns, audiences. This module does not
//! call a database.

pub(super) mod codec;
pub(super) mod columns;
pub(super) mod content;
pub(super) mod conversation;
pub(super) mod roster;
