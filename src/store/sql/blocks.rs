//! Whether one of two users has blocked the other, as SQL.

/// True when there is a block between two users, whoever made it.
macro_rules! blocked {
    ($one:literal, $other:literal) => {
        concat!(
            "(EXISTS (SELECT 1 FROM blocks WHERE blocker = ",
            $one,
            " AND blocked = ",
            $other,
            ") OR EXISTS (SELECT 1 FROM blocks WHERE blocker = ",
            $other,
            " AND blocked = ",
            $one,
            "))"
        )
    };
}
pub(in crate::store::sql) use blocked;
