//! The rules of [`crate::domain::permissions`] that statements decide by themselves, as SQL.
//!
//! Each stands here once, for both databases and for the functions in Postgres.
//! `tests/contract/suite/sending.rs` compares them with the domain's.

use super::part::Part;

/// LIMIT and no EXISTS: Postgres would make a hash of a whole table when it expects many rows.
pub(super) const PARTS: &[Part] = &[
    // The account is there and not erased.
    Part::same("lives", "coalesce((SELECT u.erased_at IS NULL FROM users u WHERE u.id = %1 LIMIT 1), FALSE)"),
    // The first has blocked the second.
    Part::same(
        "has_blocked",
        "coalesce((SELECT TRUE FROM blocks o WHERE o.blocker = %1 AND o.blocked = %2 LIMIT 1), FALSE)",
    ),
    // `is_blocked` between two users.
    Part::same(
        "is_blocked",
        "coalesce((SELECT TRUE FROM blocks o WHERE o.blocker = %1 AND o.blocked = %2 LIMIT 1), \
                  (SELECT TRUE FROM blocks o WHERE o.blocker = %2 AND o.blocked = %1 LIMIT 1), FALSE)",
    ),
    // `may_send`, from a row `f` with the fields of `Sending`; `there_open` is NULL when there is no
    // conversation.
    Part::same(
        "may_send",
        "CASE WHEN NOT f.sender_lives OR (f.there_open IS NULL AND NOT f.direct) THEN {not_found} \
              WHEN f.there_open AND NOT f.member THEN {not_member} \
              WHEN NOT f.there_open AND NOT f.member THEN {not_found} \
              WHEN f.direct AND NOT f.peer_lives THEN {not_found} \
              WHEN f.direct AND f.is_blocked THEN {refused_blocked} \
              ELSE {accepted} END",
    ),
];
