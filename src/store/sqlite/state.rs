//! Parts of statements: the columns of a conversation's row, and the newest position.
//!
//! An event takes the next position and is written under it. A receipt or a membership without an event takes one too, so that a
//! cursor behind it sees that something moved and a cursor past it does not; such positions are kept in `position_floor`. Positions
//! therefore have holes, seqs never.

/// The columns that [`crate::store::shared::room::Room::read`] reads, from a table named `c`.
macro_rules! room_columns {
    () => {
        "c.id, c.name, c.history, c.join_policy, c.last_seq, c.message_count, c.member_count, c.last_position, \
         c.members_version, c.settings_seq, c.created_at, c.low, c.high, c.deleted_at"
    };
}
pub(super) use room_columns;

/// The newest position taken; 0 in an empty log.
macro_rules! last_position {
    () => {
        "(SELECT max(value, coalesce((SELECT max(position) FROM events), 0)) FROM meta WHERE name = 'position_floor')"
    };
}
pub(super) use last_position;
