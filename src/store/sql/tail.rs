//! The log in commit order, for consumers; and a part of one conversation, to heal holes.

use std::sync::Arc;

use super::roster::memberships_since;
use super::{Backend, Connection, Result, Sql, statement, values};
use crate::domain::{Committed, ConversationId, Position, Seq};
use crate::store::shared::codec::{EVENT_COLUMNS, decode};
use crate::store::shared::columns::{Columns, impossible};
use crate::store::shared::roster::{Rosters, audience};
use crate::store::{StoreError, Tail};

/// Returns whole transactions, even beyond the limit: their events share one position in Postgres, so a
/// consumer cannot stop between them. The first row says up to which position all transactions have ended. A
/// standby can be read too; its rows do not contain the epoch.
macro_rules! tail {
    ($stop:literal) => {
        concat!(
            "WITH log AS MATERIALIZED (SELECT ",
            $stop,
            " AS stop), page AS ( \
                 SELECT e.* FROM events e WHERE e.position >= $1 AND e.position < (SELECT stop FROM log) \
                 {whole_transactions $1 $2} \
             ) SELECT {event_columns}, e.position, p.position, log.stop FROM log LEFT JOIN page e ON TRUE \
             LEFT JOIN events p ON p.conversation = e.conversation AND p.seq = e.seq - 1 \
             ORDER BY e.position, e.conversation, e.seq"
        )
    };
}
const TAIL: Sql = statement!(tail!("{end_position}"));

/// All committed events, even if earlier transactions have not ended. In SQLite no later event exists.
const AHEAD: Sql = statement!(
    postgres: tail!("9223372036854775807"),
    sqlite: tail!("{end_position}"),
    model: tail!("9223372036854775807"),
);

const STRETCH: Sql = statement!(
    "SELECT {event_columns}, e.position, p.position \
     FROM events e LEFT JOIN events p ON p.conversation = $1 AND p.seq = e.seq - 1 \
     WHERE e.conversation = $1 AND e.seq > $2 ORDER BY e.seq LIMIT $3"
);

/// Committed events from a position on.
pub(in crate::store) async fn tail<B: Backend>(
    backend: &B,
    after: Position,
    limit: usize,
) -> std::result::Result<Tail, StoreError> {
    let read = backend
        .tail((backend.rosters().clone(), after, limit.max(1)), |connection, (rosters, after, limit)| {
            Box::pin(page(connection, rosters, &TAIL, *after, *limit))
        });
    let (committed, stop) = read.await?;
    let next = match committed.last() {
        Some(last) if committed.len() >= limit.max(1) => Position(last.position.0 + 1),
        Some(_) | None => stop,
    };
    Ok(Tail { committed, next: next.max(after) })
}

/// Committed events from a position on, including those after the log's end. They are read from the primary,
/// which knows the open transactions; a replica would not show which events are missing.
pub(in crate::store) async fn ahead<B: Backend>(
    backend: &B,
    after: Position,
    limit: usize,
) -> std::result::Result<Tail, StoreError> {
    let asked = (backend.rosters().clone(), after, limit.max(1));
    let read = backend.read(asked, |connection, (rosters, after, limit)| {
        Box::pin(page(connection, rosters, &AHEAD, *after, *limit))
    });
    let (committed, _) = read.await?;
    let next = committed.last().map_or(after, |last| Position(last.position.0 + 1));
    Ok(Tail { committed, next })
}

async fn page<C: Connection>(
    connection: &mut C,
    rosters: &Rosters,
    sql: &Sql,
    after: Position,
    limit: usize,
) -> Result<(Vec<Committed>, Position)> {
    let from = i64::try_from(after.0).unwrap_or(i64::MAX);
    let rows = connection.all(sql, values![from, limit as i64]).await?;
    let first = rows.first().ok_or_else(|| impossible("a log without an end"))?;
    let stop = Position(first.count(EVENT_COLUMNS + 2)?);
    let committed = match first.uuid_or_null(0)? {
        Some(_) => ready_to_publish(connection, rosters, &rows).await?,
        None => Vec::new(),
    };
    Ok((committed, stop))
}

/// Events of one conversation after a seq.
pub(in crate::store) async fn stretch<B: Backend>(
    backend: &B,
    conversation: ConversationId,
    after: Seq,
    limit: usize,
) -> std::result::Result<Vec<Committed>, StoreError> {
    let asked = (backend.rosters().clone(), conversation, after, limit.max(1));
    let read = backend.read(asked, |connection, (rosters, conversation, after, limit)| {
        Box::pin(after_seq(connection, rosters, *conversation, *after, *limit))
    });
    read.await
}

async fn after_seq<C: Connection>(
    connection: &mut C,
    rosters: &Rosters,
    conversation: ConversationId,
    after: Seq,
    limit: usize,
) -> Result<Vec<Committed>> {
    let rows = connection.all(&STRETCH, values![conversation, after, limit as i64]).await?;
    ready_to_publish(connection, rosters, &rows).await
}

/// Converts rows of events, with their position and the position of the event before, into published events.
/// The audience of each is its members when it was committed.
async fn ready_to_publish<C: Connection>(
    connection: &mut C,
    rosters: &Rosters,
    rows: &[C::Row],
) -> Result<Vec<Committed>> {
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let previous = row.int_or_null(EVENT_COLUMNS + 1)?.map_or(0, |position| position as u64);
        found.push((decode(row)?, Position(row.count(EVENT_COLUMNS)?), Position(previous)));
    }
    let places = found.iter().map(|(event, ..)| (event.conversation, event.seq));
    let mut members = memberships_since(connection, rosters, places).await?;
    Ok(found
        .into_iter()
        .map(|(event, position, previous)| {
            let present = members
                .get_mut(&event.conversation)
                .map_or_else(|| Arc::from([]), |members| members.present_at(event.seq));
            let audience = audience(event.conversation.kind(), &event.kind, &present);
            Committed { event: Arc::new(event), position, previous, audience }
        })
        .collect())
}
