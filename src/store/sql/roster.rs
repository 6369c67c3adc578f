//! The members of direct conversations and groups, behind the cache that every backend shares.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Connection, Result, Sql, Value, statement, values};
use crate::domain::{ConversationId, ConversationKind, Event, Seq, UserId};
use crate::store::shared::codec::decode;
use crate::store::shared::columns::Columns;
use crate::store::shared::roster::{Memberships, Roster, Rosters};

/// One row per member of the conversations whose membership version differs from the cached one.
const ROSTERS: Sql = statement! {
    postgres: "SELECT c.id, c.members_version, m.user_id, m.joined_seq FROM unnest($1::uuid[], $2::bigint[]) AS k (id, known) \
               JOIN conversations c ON c.id = k.id LEFT JOIN members m ON m.conversation = c.id \
               WHERE c.members_version IS DISTINCT FROM k.known ORDER BY c.id, m.user_id",
    sqlite: "SELECT c.id, c.members_version, m.user_id, m.joined_seq FROM conversations c \
             LEFT JOIN members m ON m.conversation = c.id \
             WHERE c.id = $1 AND c.members_version IS NOT $2 ORDER BY m.user_id",
};

/// The joins and leaves after a seq, oldest first: at most 1,024 of each conversation. Beyond that the
/// current state of a user counts.
const CHANGES: Sql = statement!(
    postgres: "SELECT e.* FROM unnest($1::uuid[], $2::bigint[]) AS k (id, after) CROSS JOIN LATERAL ( \
                   SELECT {event_columns} FROM events e WHERE e.conversation = k.id AND e.seq > k.after \
                   AND e.kind IN ({joined}, {left}) ORDER BY e.seq LIMIT 1024 \
               ) e",
    sqlite: "SELECT {event_columns} FROM events e INDEXED BY events_of_members WHERE e.conversation = $1 AND e.seq > $2 \
             AND e.kind IN ({joined}, {left}) ORDER BY e.seq LIMIT 1024",
);

/// The members of the direct and group conversations among `places`, at those seqs and later.
pub(in crate::store) async fn memberships_since<C: Connection>(
    connection: &mut C,
    rosters: &Rosters,
    places: impl Iterator<Item = (ConversationId, Seq)>,
) -> Result<HashMap<ConversationId, Memberships>> {
    let mut since: BTreeMap<ConversationId, Seq> = BTreeMap::new();
    for (id, seq) in places.filter(|(id, _)| id.kind() != ConversationKind::Channel) {
        let first = since.entry(id).or_insert(seq);
        *first = seq.min(*first);
    }
    if since.is_empty() {
        return Ok(HashMap::new());
    }
    let read = rosters_of(connection, rosters, since.keys().copied().collect()).await?;
    // Read after the rosters, so that a user who leaves between the two reads is in one of them.
    let asked = values![
        Value::uuids(since.keys().map(|id| *id.as_uuid())),
        Value::ints(since.values().map(|seq| seq.as_stored()))
    ];
    let mut changes: HashMap<ConversationId, Vec<Event>> = HashMap::new();
    for row in &connection.each(&CHANGES, asked).await? {
        let event = decode(row)?;
        changes.entry(event.conversation).or_default().push(event);
    }
    rosters.keep(read.iter().map(|(id, roster)| (*id, roster.clone())));
    let since = |(id, roster)| (id, Memberships::new(roster, changes.remove(&id).unwrap_or_default()));
    Ok(read.into_iter().map(since).collect())
}

/// The current rosters of the direct and group conversations among `ids`; cached ones are not read again.
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
        let cached = rosters.cached(id);
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
