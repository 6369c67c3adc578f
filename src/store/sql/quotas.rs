//! What users take part in, counted where it changes: the groups and channels that they are in, and the
//! people whom they add in a day. Two changes at the same moment may both take the last place.

use super::{Connection, Decision, Sql, statement, values};
use crate::domain::{Timestamp, UserId, quotas};
use crate::store::shared::columns::Columns;
use crate::store::shared::part::Part;

pub(super) const PARTS: &[Part] = &[
    // How many groups and channels a user is in, at most `%2`. No event records the joins of direct ones.
    Part::same(
        "groups_of",
        "(SELECT count(*) FROM (SELECT 1 FROM members x WHERE x.user_id = %1 AND x.joined_seq > 0 LIMIT %2) x)",
    ),
    // How many people a user has added on a day.
    Part::same(
        "people_added",
        "coalesce((SELECT x.people FROM invited x WHERE x.user_id = %1 AND x.day = %2), 0)",
    ),
    // A user adds so many more people on a day. Clocks of two nodes may not agree which day it is.
    Part::same(
        "add_people",
        "INSERT INTO invited (user_id, day, people) VALUES (%1, %2, %3) ON CONFLICT (user_id) DO UPDATE SET \
         people = CASE WHEN invited.day >= excluded.day THEN invited.people ELSE 0 END + excluded.people, \
         day = {greatest}(invited.day, excluded.day)",
    ),
];

const ADD: Sql = statement!("{add_people $1 $2 $3} RETURNING people");

/// Counts `people` more whom `user` adds today.
pub(super) async fn add_people<C: Connection>(
    connection: &mut C,
    user: UserId,
    people: usize,
    most: u32,
    now: Timestamp,
) -> Decision<()> {
    if people == 0 {
        return Ok(());
    }
    let row = connection.one(&ADD, values![user, quotas::day_of(now), people as i64]).await?;
    quotas::may_have_added(row.count(0)?, most)?;
    Ok(())
}
