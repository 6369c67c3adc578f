//! The positions of a transaction's events.

use crate::domain::Position;
use crate::store::sql::Connection;

/// A connection to tables of SQLite's dialect.
pub(in crate::store) trait Tables: Connection {
    /// Whether the events of a transaction share a position, because several transactions may be open at
    /// once.
    const SHARED_POSITIONS: bool;
}

/// Gives events their positions.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::store) struct Positions {
    /// The newest position, or that of the transaction.
    pub given: u64,
    shared: bool,
}

impl Positions {
    /// From what a statement of `C` answered for `{given_position}`.
    pub(in crate::store) fn of<C: Tables>(given: u64) -> Self {
        Self { given, shared: C::SHARED_POSITIONS }
    }

    /// The position of an event of a conversation whose event before it has the position `previous`.
    /// Positions never decrease along a conversation.
    pub(in crate::store) fn next(&mut self, previous: Position) -> Position {
        if self.shared {
            return Position(self.given.max(previous.0));
        }
        self.given += 1;
        Position(self.given)
    }
}
