//! Reading who is in a group, behind the cache that every backend shares.

use sqlx::sqlite::SqliteConnection;

use super::rows::MultiRow;
use crate::domain::{ConversationId, ConversationKind, Seq, UserId};
use crate::store::shared::columns::Columns;
use crate::store::shared::room::Room;
use crate::store::shared::roster::{Roster, Rosters};
use crate::store::sql;

static MEMBERS: MultiRow = MultiRow::new(
    "WITH k (conversation) AS (VALUES ",
    1,
    ") SELECT m.conversation, m.user_id, m.joined_seq FROM k CROSS JOIN members m ON m.conversation = k.conversation \
     ORDER BY m.conversation, m.user_id",
);

/// The rosters of these direct and group conversations, in their order, as the transaction sees them. Channels have
/// an empty one.
pub(super) async fn rosters_of(
    rosters: &Rosters,
    connection: &mut SqliteConnection,
    rooms: &[&Room],
) -> sql::Result<Vec<Roster>> {
    let mut found = Vec::with_capacity(rooms.len());
    let mut missing = Vec::new();
    for (at, room) in rooms.iter().enumerate() {
        let known = match room.kind() {
            ConversationKind::Channel => Some(Roster::new(room.members_version, &[])),
            ConversationKind::Direct | ConversationKind::Group => rosters.known(room).await,
        };
        if known.is_none() {
            missing.push((room.id(), at));
        }
        found.push(known.unwrap_or_else(|| Roster::new(room.members_version, &[])));
    }
    if missing.is_empty() {
        return Ok(found);
    }
    missing.sort_unstable();
    let rows = MEMBERS.fetch(connection, &missing, |query, (id, _)| query.bind(*id.as_uuid())).await?;
    let mut members = std::collections::HashMap::<ConversationId, Vec<(UserId, Seq)>>::new();
    for row in &rows {
        members.entry(row.conversation(0)?).or_default().push((row.user(1)?, row.seq(2)?));
    }
    for (id, at) in missing {
        if let Some(members) = members.get(&id) {
            found[at] = Roster::new(rooms[at].members_version, members);
        }
    }
    Ok(found)
}
