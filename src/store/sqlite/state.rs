//! The columns of a conversation's row, and who may read.

pub(super) use crate::store::sql::conversations::membership_of;

/// The columns that [`crate::store::shared::room::Room::read`] reads, from a table named `c`.
macro_rules! room_columns {
    () => {
        "c.id, c.name, c.history, c.join_policy, c.last_seq, c.message_count, c.member_count, c.last_position, \
         c.members_version, c.settings_seq, c.created_at, c.low, c.high, c.deleted_at"
    };
}
pub(super) use room_columns;
