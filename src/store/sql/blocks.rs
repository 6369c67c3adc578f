//! Whether one of two users has blocked the other, as SQL.

use super::part::Part;

/// LIMIT and no EXISTS: Postgres would make a hash of all blocks when it expects many rows.
pub(super) const PARTS: &[Part] = &[
    // The first has blocked the second.
    Part::same(
        "has_blocked",
        "coalesce((SELECT TRUE FROM blocks o WHERE o.blocker = %1 AND o.blocked = %2 LIMIT 1), FALSE)",
    ),
    // There is a block between the two, whoever made it.
    Part::same(
        "blocked",
        "coalesce((SELECT TRUE FROM blocks o WHERE o.blocker = %1 AND o.blocked = %2 LIMIT 1), \
                  (SELECT TRUE FROM blocks o WHERE o.blocker = %2 AND o.blocked = %1 LIMIT 1), FALSE)",
    ),
];
