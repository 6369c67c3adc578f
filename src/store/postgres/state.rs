//! The columns of a conversation's row and a member's row.

/// The columns that [`crate::store::shared::room::Room::read`] reads, from a table named `c`.
macro_rules! room_columns {
    () => {
        "c.id, c.name, c.history, c.join_policy, c.last_seq, c.message_count, c.member_count, c.last_txid, \
         c.members_version, c.settings_seq, c.created_at, c.low, c.high, c.deleted_at"
    };
}
pub(super) use room_columns;

/// The columns that [`crate::store::shared::room::Membership::read`] reads, from a table named `m`.
macro_rules! member_columns {
    () => {
        "m.user_id, m.role, m.joined_seq, m.delivered_seq, m.read_seq, m.read_count, m.role_seq"
    };
}
pub(super) use member_columns;
