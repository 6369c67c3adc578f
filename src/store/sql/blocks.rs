//! Whether one of two users has blocked the other, as SQL.

/// True when there is a block between two users, whoever made it. LIMIT and no EXISTS: Postgres would make a hash of all blocks when it
/// expects many rows.
macro_rules! blocked {
    ($one:literal, $other:literal) => {
        concat!(
            "coalesce((SELECT TRUE FROM blocks WHERE blocker = ",
            $one,
            " AND blocked = ",
            $other,
            " LIMIT 1), (SELECT TRUE FROM blocks WHERE blocker = ",
            $other,
            " AND blocked = ",
            $one,
            " LIMIT 1), FALSE)"
        )
    };
}
pub(in crate::store::sql) use blocked;
