//! The rules of [`crate::domain::permissions`] that statements decide by themselves, as SQL.
//!
//! Each is written here once, for both databases and for the functions in Postgres.
//! `tests/contract/suite/sending.rs` compares them with the domain's rules.

use super::Result;
use crate::domain::permissions::{Block, Sending};
use crate::domain::{Approach, ConsentRules, Openness, Refusal, Timestamp};
use crate::store::shared::columns::Columns;
use crate::store::shared::part::Part;

/// LIMIT instead of EXISTS: Postgres would build a hash of a whole table if it expects many rows.
pub(super) const PARTS: &[Part] = &[
    // The account exists and is not erased.
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
    // The second is a contact of the first.
    Part::same(
        "knows",
        "coalesce(%1 = %2 OR (SELECT TRUE FROM contacts o WHERE o.user_id = %1 AND o.contact = %2 LIMIT 1), FALSE)",
    ),
    // What a user has chosen; NULL: nothing.
    Part::same("chosen_messages", "(SELECT x.messages_from FROM privacy x WHERE x.user_id = %1 LIMIT 1)"),
    Part::same("chosen_groups", "(SELECT x.groups_from FROM privacy x WHERE x.user_id = %1 LIMIT 1)"),
    // Until when a user is muted in a conversation.
    Part::same(
        "muted_until",
        "(SELECT x.ends_at FROM mutes x WHERE x.user_id = %1 AND x.conversation = %2 LIMIT 1)",
    ),
    // Until when a user is kept out of a conversation.
    Part::same(
        "banned_until",
        "(SELECT x.ends_at FROM bans x WHERE x.user_id = %1 AND x.conversation = %2 LIMIT 1)",
    ),
    // What `may_send` looks up of a sender, the other user of a direct conversation and the conversation, as
    // [`sending`] reads it.
    Part::same(
        "sending",
        "{lives %1} AS sender_lives, {lives %2} AS peer_lives, {has_blocked %1 %2} AS by_sender, \
         {has_blocked %2 %1} AS by_peer, {muted_until %1 %3} AS muted_until, \
         {knows %2 %1} AS known, CASE WHEN %1 = %2 THEN 0 ELSE {chosen_messages %2} END AS takes",
    ),
    // `may_send`, from a row `f` with the columns of `{sending}` and the other fields of `Sending`;
    // `there_open` is NULL when there is no conversation, `said` counts its messages. `p_takes` and
    // `p_unanswered` are the installation's rules, `p_now` is the time. The numbers are those of
    // [`refusals`].
    Part::same(
        "may_send",
        "CASE WHEN NOT f.sender_lives OR (f.there_open IS NULL AND NOT f.direct) THEN {not_found} \
              WHEN f.there_open AND NOT f.member THEN {not_member} \
              WHEN NOT f.there_open AND NOT f.member THEN {not_found} \
              WHEN f.direct AND NOT f.peer_lives THEN {not_found} \
              WHEN f.direct AND (f.by_sender OR f.by_peer) THEN {refused_blocked} \
              WHEN f.direct AND NOT (f.known AND f.said > 0) AND coalesce(f.takes, p_takes) > CASE WHEN f.known THEN 1 ELSE 0 END \
              THEN {refused_blocked} \
              WHEN f.direct AND NOT f.known AND f.said >= p_unanswered THEN {refused_unanswered} \
              WHEN f.muted_until > p_now THEN {refused_muted} \
              ELSE {accepted} END",
    ),
];

/// What `may_send` refuses with, as numbers beside those of `numbers.rs`; `tidings_append` answers them in
/// its first column.
pub(super) mod refusals {
    crate::store::shared::numbers::numbers! {
        NOT_FOUND not_found = 3;
        NOT_MEMBER not_member = 4;
        BLOCKED refused_blocked = 5;
        MUTED refused_muted = 8;
        UNANSWERED refused_unanswered = 9;
    }
}

/// Why a row of `tidings_append` refuses a message; `None` when it does not, or not by `may_send`.
pub(in crate::store) fn refusal(row: &impl Columns) -> Result<Option<Refusal>> {
    Ok(Some(match row.int(0)? {
        refusals::NOT_FOUND => Refusal::NotFound,
        refusals::NOT_MEMBER => Refusal::NotMember,
        refusals::BLOCKED => Refusal::Blocked,
        refusals::UNANSWERED => Refusal::Unanswered,
        refusals::MUTED => Refusal::Muted { left_ms: row.count(9)? },
        _ => return Ok(None),
    }))
}

/// Reads the columns of `{sending}`, which begin at column `at`, of somebody who is no member and where there
/// is no conversation.
pub(in crate::store) fn sending(row: &impl Columns, at: usize, rules: &ConsentRules) -> Result<Sending> {
    let takes = row.int_or_null(at + 6)?.map_or(rules.defaults.messages, Openness::from_stored);
    Ok(Sending {
        there: None,
        direct: false,
        member: false,
        sender_lives: row.flag(at)?,
        peer_lives: row.flag(at + 1)?,
        block: Block { by_actor: row.flag(at + 2)?, by_other: row.flag(at + 3)? },
        approach: Approach { known: row.flag(at + 5)?, takes, said: 0, most: rules.stranger_messages },
        muted_until: row.int_or_null(at + 4)?.map(Timestamp::from_unix_ms),
    })
}
