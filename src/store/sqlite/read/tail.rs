//! The log in commit order, for its consumers.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::sqlite::{SqliteConnection, SqliteRow};

use crate::domain::{Committed, ConversationId, Event, Position, Seq};
use crate::store::shared::codec::{EVENT_COLUMNS, decode, event_columns};
use crate::store::shared::columns::Columns;
use crate::store::shared::room::Room;
use crate::store::shared::roster::{Roster, Rosters, audience};
use crate::store::sql::{self, Stop};
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::lane::Phase;
use crate::store::sqlite::position;
use crate::store::sqlite::roster::rosters_of;
use crate::store::sqlite::rows::MultiRow;
use crate::store::sqlite::state::room_columns;
use crate::store::{Cursor, Outcome, Running, StoreError, Tail};

/// A read that cannot be refused.
fn unrefused<T>(outcome: Outcome<T>) -> Result<T, StoreError> {
    outcome?.map_err(|refusal| StoreError::Inconsistent(refusal.to_string()))
}

pub(in crate::store::sqlite) async fn end(store: &SqliteStore) -> Result<Cursor, StoreError> {
    let work = async {
        let mut transaction = store.reader.begin().await?;
        let last = position::last(&mut transaction).await;
        transaction.end(last.map_err(Stop::from)).await
    };
    let last = unrefused(Phase::default().bound(store.timeout, work).await)?;
    Ok(Cursor { epoch: store.epoch, position: Position(last + 1) })
}

pub(in crate::store::sqlite) async fn tail(
    store: &SqliteStore,
    after: Position,
    limit: usize,
) -> Result<Tail, StoreError> {
    let work = async {
        let mut transaction = store.reader.begin().await?;
        let worked = in_snapshot(&mut transaction, &store.rosters, after, limit.max(1)).await;
        transaction.end(worked.map_err(Stop::from)).await
    };
    unrefused(Phase::default().bound(store.timeout, work).await)
}

/// One writer at a time: nothing is committed past the log's end.
pub(in crate::store::sqlite) async fn ahead(
    store: &SqliteStore,
    after: Position,
    limit: usize,
) -> Result<Tail, StoreError> {
    tail(store, after, limit).await
}

pub(in crate::store::sqlite) async fn running(store: &SqliteStore) -> Result<Running, StoreError> {
    Ok(Running { numbers: Vec::new(), next: end(store).await?.position })
}

static ROOMS: MultiRow = MultiRow::new(
    "WITH k (id) AS (VALUES ",
    1,
    concat!(") SELECT ", room_columns!(), " FROM k CROSS JOIN conversations c ON c.id = k.id"),
);

async fn in_snapshot(
    connection: &mut SqliteConnection,
    rosters: &Rosters,
    after: Position,
    limit: usize,
) -> sql::Result<Tail> {
    let last = position::last(connection).await?;
    let rows = sqlx::query(concat!(
        "SELECT ",
        event_columns!(),
        ", e.position, p.position FROM events e LEFT JOIN events p ON p.conversation = e.conversation AND p.seq = e.seq - 1 \
         WHERE e.position >= ?1 ORDER BY e.position LIMIT ?2"
    ))
    .bind(i64::try_from(after.0).unwrap_or(i64::MAX))
    .bind(limit as i64)
    .fetch_all(&mut *connection)
    .await?;
    let committed = ready_to_publish(connection, rosters, &rows).await?;
    let next =
        if committed.len() == limit { committed.last().map_or(last, |one| one.position.0) } else { last };
    Ok(Tail { committed, next: Position(next.max(after.0.saturating_sub(1)) + 1) })
}

/// Turns rows of events, with their position and their predecessor's, into what is published.
async fn ready_to_publish(
    connection: &mut SqliteConnection,
    rosters: &Rosters,
    rows: &[SqliteRow],
) -> sql::Result<Vec<Committed>> {
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let previous = row.int_or_null(EVENT_COLUMNS + 1)?.map_or(0, |position| position as u64);
        found.push((decode(row)?, Position(row.count(EVENT_COLUMNS)?), Position(previous)));
    }
    let present = present(connection, rosters, &found).await?;
    Ok(found
        .into_iter()
        .map(|(event, position, previous)| {
            let present = present
                .get(&event.conversation)
                .map_or_else(|| Arc::from([]), |roster| roster.present_at(event.seq));
            let audience = audience(event.conversation.kind(), &event.kind, &present);
            Committed { event: Arc::new(event), position, previous, audience }
        })
        .collect())
}

/// Events of one conversation after a seq, ready to publish.
pub(in crate::store::sqlite) async fn stretch(
    store: &SqliteStore,
    conversation: ConversationId,
    after: Seq,
    limit: usize,
) -> Result<Vec<Committed>, StoreError> {
    let work = async {
        let mut transaction = store.reader.begin().await?;
        let worked =
            stretch_in_snapshot(&mut transaction, &store.rosters, conversation, after, limit.max(1)).await;
        transaction.end(worked.map_err(Stop::from)).await
    };
    unrefused(Phase::default().bound(store.timeout, work).await)
}

async fn stretch_in_snapshot(
    connection: &mut SqliteConnection,
    rosters: &Rosters,
    conversation: ConversationId,
    after: Seq,
    limit: usize,
) -> sql::Result<Vec<Committed>> {
    let rows = sqlx::query(concat!(
        "SELECT ",
        event_columns!(),
        ", e.position, p.position FROM events e LEFT JOIN events p ON p.conversation = e.conversation AND p.seq = e.seq - 1 \
         WHERE e.conversation = ?1 AND e.seq > ?2 ORDER BY e.seq LIMIT ?3"
    ))
    .bind(*conversation.as_uuid())
    .bind(after.as_stored())
    .bind(limit as i64)
    .fetch_all(&mut *connection)
    .await?;
    ready_to_publish(connection, rosters, &rows).await
}

async fn present(
    connection: &mut SqliteConnection,
    rosters: &Rosters,
    found: &[(Event, Position, Position)],
) -> sql::Result<HashMap<ConversationId, Roster>> {
    let mut ids: Vec<ConversationId> = found.iter().map(|(event, ..)| event.conversation).collect();
    ids.sort_unstable();
    ids.dedup();
    let rows = ROOMS.fetch(connection, &ids, |query, id| query.bind(*id.as_uuid())).await?;
    let rooms =
        rows.iter().filter_map(|row| Room::read(row, 0).transpose()).collect::<sql::Result<Vec<Room>>>()?;
    let read = rosters_of(rosters, connection, &rooms.iter().collect::<Vec<_>>()).await?;
    let mut present = HashMap::with_capacity(rooms.len());
    for (room, roster) in rooms.iter().zip(read) {
        rosters.keep(room.id(), roster.clone()).await;
        present.insert(room.id(), roster);
    }
    Ok(present)
}
