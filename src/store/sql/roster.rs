//! Who is in direct conversations and groups, behind the cache that every backend shares.

use std::collections::{HashMap, HashSet};

use super::{Connection, Result, Sql, Value, values};
use crate::domain::{ConversationId, ConversationKind, Seq, UserId};
use crate::store::shared::columns::Columns;
use crate::store::shared::roster::{Roster, Rosters};

/// One row per member of those whose membership is at another version than the cache knows.
const ROSTERS: Sql = Sql {
    postgres: "SELECT c.id, c.members_version, m.user_id, m.joined_seq FROM unnest($1::uuid[], $2::bigint[]) AS k (id, known) \
               JOIN conversations c ON c.id = k.id LEFT JOIN members m ON m.conversation = c.id \
               WHERE c.members_version IS DISTINCT FROM k.known ORDER BY c.id, m.user_id",
    sqlite: "SELECT c.id, c.members_version, m.user_id, m.joined_seq FROM conversations c \
             LEFT JOIN members m ON m.conversation = c.id \
             WHERE c.id = $1 AND c.members_version IS NOT $2 ORDER BY m.user_id",
};

/// The rosters of the direct and group conversations among `ids` as they are now; what the cache holds is not read again.
pub(in crate::store) async fn rosters_of<C: Connection>(
    connection: &mut C,
    rosters: &Rosters,
    ids: Vec<ConversationId>,
) -> Result<HashMap<ConversationId, Roster>> {
    let mut known = HashMap::new();
    let (mut asked, mut versions) = (Vec::new(), Vec::new());
    let mut seen = HashSet::new();
    for id in ids {
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
    let rows = connection.each(&ROSTERS, values![Value::uuids(asked), Value::ints(versions)]).await?;
    let mut read: HashMap<ConversationId, (i64, Vec<(UserId, Seq)>)> = HashMap::new();
    for row in &rows {
        let (_, members) = read.entry(row.conversation(0)?).or_insert((row.int(1)?, Vec::new()));
        if let Some(user) = row.user_or_null(2)? {
            members.push((user, row.seq(3)?));
        }
    }
    known.extend(read.into_iter().map(|(id, (version, members))| (id, Roster::new(version, &members))));
    Ok(known)
}
