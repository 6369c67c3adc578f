//! Reading who is in a group, behind the cache that every backend shares.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::link::Link;
use super::rows::Pg;
use crate::domain::{ConversationId, ConversationKind, Seq, UserId};
use crate::store::shared::columns::{Columns, impossible};
use crate::store::shared::roster::{Roster, Rosters};
use crate::store::sql;

/// A roster from two columns of equal length, the members and their join events.
pub(super) fn roster(version: i64, row: &Pg, at: usize) -> sql::Result<Option<Roster>> {
    let (Some(users), Some(joined)) = (row.users(at)?, row.seqs(at + 1)?) else { return Ok(None) };
    if users.len() != joined.len() {
        return Err(impossible("members without their join events"));
    }
    let members: Vec<(UserId, Seq)> = users.into_iter().zip(joined).collect();
    Ok(Some(Roster::new(version, &members)))
}

/// The rosters of the direct and group conversations among `ids` as they are now; what the cache holds is not sent again.
pub(super) async fn rosters_of(
    link: &mut Link,
    rosters: &Rosters,
    ids: &[ConversationId],
) -> sql::Result<HashMap<ConversationId, Roster>> {
    let mut known = HashMap::new();
    let (mut asked, mut versions) = (Vec::<Uuid>::new(), Vec::<Option<i64>>::new());
    let mut seen = HashSet::new();
    for &id in ids {
        if id.kind() == ConversationKind::Channel || !seen.insert(id) {
            continue;
        }
        let cached = rosters.cached(id).await;
        asked.push(*id.as_uuid());
        versions.push(cached.as_ref().map(|roster| roster.version));
        known.extend(cached.map(|roster| (id, roster)));
    }
    if asked.is_empty() {
        return Ok(known);
    }
    let statement = sqlx::query("SELECT conversation, version, users, joined FROM tidings_rosters($1, $2)");
    for row in link.all(statement.bind(asked).bind(versions)).await? {
        if let Some(found) = roster(row.int(1)?, &row, 2)? {
            known.insert(row.conversation(0)?, found);
        }
    }
    Ok(known)
}
