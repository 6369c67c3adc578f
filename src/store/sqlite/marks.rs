//! Receipts: how far devices have received and users have read.

use std::collections::HashMap;

use sqlx::sqlite::SqliteConnection;

use super::SqliteStore;
use super::lane::Phase;
use super::position;
use super::roster::rosters_of;
use super::rows::MultiRow;
use super::state::room_columns;
use crate::domain::{ConversationId, ConversationKind, Seq, UserId};
use crate::store::shared::columns::Columns;
use crate::store::shared::room::{ROOM_COLUMNS, Room};
use crate::store::shared::roster::{Roster, Rosters};
use crate::store::sql::{self, Stop};
use crate::store::{Mark, Marked, StoreError};

static FACTS: MultiRow = MultiRow::new(
    "WITH k (user_id, conversation, read) AS (VALUES ",
    3,
    concat!(
        ") SELECT ",
        room_columns!(),
        ", k.user_id, m.delivered_seq, m.read_seq, e.messages_before + (e.kind = 0) FROM k \
         CROSS JOIN members m ON m.user_id = k.user_id AND m.conversation = k.conversation \
         CROSS JOIN conversations c ON c.id = k.conversation AND c.deleted_at IS NULL \
         LEFT JOIN events e ON e.conversation = k.conversation AND e.seq = min(k.read, c.last_seq)"
    ),
);

static MOVE: MultiRow = MultiRow::new(
    "WITH v (user_id, conversation, delivered, read, count, position) AS (VALUES ",
    6,
    ") UPDATE members SET delivered_seq = v.delivered, read_seq = v.read, read_count = coalesce(v.count, read_count), \
     changed_position = coalesce(v.position, changed_position) \
     FROM v WHERE members.user_id = v.user_id AND members.conversation = v.conversation",
);

/// A receipt that moves something.
struct Move {
    user: UserId,
    room: Room,
    delivered: Seq,
    read: Seq,
    /// Messages up to `read`, when that moves.
    count: Option<u64>,
}

pub(super) async fn mark(store: &SqliteStore, marks: &[Mark]) -> Result<Vec<Marked>, StoreError> {
    if marks.is_empty() {
        return Ok(Vec::new());
    }
    let phase = Phase::default();
    let work = async {
        let mut transaction = store.writer.begin().await?;
        let worked = in_transaction(&mut transaction, &store.rosters, marks).await;
        transaction.finish(worked.map_err(Stop::from), &phase).await
    };
    let (marked, rosters) = phase.bound(store.timeout, work).await?.unwrap_or_default();
    for (conversation, roster) in rosters {
        store.rosters.keep(conversation, roster).await;
    }
    Ok(marked)
}

async fn in_transaction(
    connection: &mut SqliteConnection,
    rosters: &Rosters,
    marks: &[Mark],
) -> sql::Result<(Vec<Marked>, Vec<(ConversationId, Roster)>)> {
    let moves = moves(connection, marks).await?;
    if moves.is_empty() {
        return Ok(Default::default());
    }
    // A read position is part of what the user's other devices resume by; a delivered one is not.
    let position = match moves.iter().any(|moved| moved.count.is_some()) {
        true => Some(position::take(connection).await? as i64),
        false => None,
    };
    MOVE.execute(connection, &moves, |query, moved| {
        query
            .bind(*moved.user.as_uuid())
            .bind(*moved.room.id().as_uuid())
            .bind(moved.delivered.as_stored())
            .bind(moved.read.as_stored())
            .bind(moved.count.map(|count| count as i64))
            .bind(position.filter(|_| moved.count.is_some()))
    })
    .await?;
    let mut rooms: Vec<&Room> = moves.iter().map(|moved| &moved.room).collect();
    rooms.sort_unstable_by_key(|room| room.id());
    rooms.dedup_by_key(|room| room.id());
    let read = rosters_of(rosters, connection, &rooms).await?;
    let present: HashMap<ConversationId, Roster> = rooms.iter().map(|room| room.id()).zip(read).collect();
    let marked = moves.iter().map(|moved| marked(moved, &present)).collect();
    let groups = present.into_iter().filter(|(id, _)| id.kind() == ConversationKind::Group).collect();
    Ok((marked, groups))
}

fn marked(moved: &Move, present: &HashMap<ConversationId, Roster>) -> Marked {
    let conversation = moved.room.id();
    let audience = match (conversation.kind(), present.get(&conversation)) {
        (ConversationKind::Direct | ConversationKind::Group, Some(roster)) => roster.users.clone(),
        (_, _) => [moved.user].into(),
    };
    let known = |seq: Seq| Some(seq).filter(|seq| *seq > Seq::ZERO);
    let mark =
        Mark { user: moved.user, conversation, delivered: known(moved.delivered), read: known(moved.read) };
    Marked { mark, audience }
}

/// The furthest positions asked for per member, held against where they stand.
async fn moves(connection: &mut SqliteConnection, marks: &[Mark]) -> sql::Result<Vec<Move>> {
    let mut asked: HashMap<(UserId, ConversationId), (Seq, Seq)> = HashMap::new();
    let mut order = Vec::new();
    for mark in marks {
        let key = (mark.user, mark.conversation);
        let (delivered, read) = asked.entry(key).or_insert_with(|| {
            order.push(key);
            (Seq::ZERO, Seq::ZERO)
        });
        *read = (*read).max(mark.read.unwrap_or_default());
        *delivered = (*delivered).max(mark.delivered.unwrap_or_default()).max(*read);
    }
    let rows = FACTS.fetch(connection, &order, |query, key| {
        let read = asked.get(key).map_or(0, |(_, read)| read.as_stored());
        query.bind(*key.0.as_uuid()).bind(*key.1.as_uuid()).bind(read)
    });
    let mut moves = Vec::new();
    for row in &rows.await? {
        let Some(room) = Room::read(row, 0)? else { continue };
        let user = row.user(ROOM_COLUMNS)?;
        let (delivered, read) = asked.get(&(user, room.id())).copied().unwrap_or_default();
        let end = room.conversation.last_seq;
        let (was_delivered, was_read) = (row.seq(ROOM_COLUMNS + 1)?, row.seq(ROOM_COLUMNS + 2)?);
        let (delivered, read) = (delivered.min(end).max(was_delivered), read.min(end).max(was_read));
        if (delivered, read) == (was_delivered, was_read) {
            continue;
        }
        let count = if read > was_read { Some(row.count(ROOM_COLUMNS + 3)?) } else { None };
        moves.push(Move { user, room, delivered, read, count });
    }
    Ok(moves)
}
