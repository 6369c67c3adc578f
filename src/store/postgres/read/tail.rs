//! The log in commit order, for its consumers; and one conversation's part of it, for healing holes.

use std::sync::Arc;

use crate::domain::{Committed, ConversationId, Position, Seq};
use crate::store::postgres::PostgresStore;
use crate::store::postgres::link::Link;
use crate::store::postgres::roster::rosters_of;
use crate::store::postgres::rows::Pg;
use crate::store::postgres::work::{read, unrefused};
use crate::store::shared::codec::{EVENT_COLUMNS, decode, event_columns};
use crate::store::shared::columns::{Columns, impossible};
use crate::store::shared::roster::audience;
use crate::store::sql;
use crate::store::{Running, StoreError, Tail};

/// Whole transactions, though they go past the limit: their events share one position, so a consumer cannot stop between
/// them. The first row tells where the reading stops.
macro_rules! page {
    ($stop:literal) => {
        concat!(
            "WITH log AS MATERIALIZED (SELECT ",
            $stop,
            " AS stop), page AS ( \
                 SELECT e.* FROM events e WHERE e.txid >= $1 AND e.txid < (SELECT stop FROM log) \
                 ORDER BY e.txid FETCH FIRST $2 ROWS WITH TIES \
             ) SELECT ",
            event_columns!(),
            ", e.txid, p.txid, log.stop FROM log LEFT JOIN page e ON true \
               LEFT JOIN events p ON p.conversation = e.conversation AND p.seq = e.seq - 1 \
             ORDER BY e.txid, e.conversation, e.seq"
        )
    };
}

/// Up to where everything is decided.
const TAIL: &str = page!("tidings_end()");

/// All there is.
const AHEAD: &str = page!("9223372036854775807");

const RUNNING: &str = "\
SELECT m.value + pg_snapshot_xmax(s.now)::text::bigint, \
    ARRAY(SELECT m.value + x.number::text::bigint FROM pg_snapshot_xip(s.now) AS x (number)) \
FROM meta m, (SELECT pg_current_snapshot() AS now) s WHERE m.name = 'position_base'";

const STRETCH: &str = concat!(
    "SELECT ",
    event_columns!(),
    ", e.txid, p.txid FROM events e LEFT JOIN events p ON p.conversation = $1 AND p.seq = e.seq - 1 \
     WHERE e.conversation = $1 AND e.seq > $2 ORDER BY e.seq LIMIT $3"
);

pub(in crate::store::postgres) async fn tail(
    store: &PostgresStore,
    after: Position,
    limit: usize,
) -> Result<Tail, StoreError> {
    let limit = limit.max(1);
    let (committed, stop) = unrefused(read!(store, tailer, |link| page(link, store, TAIL, after, limit)))?;
    let next = match committed.last() {
        Some(last) if committed.len() >= limit => Position(last.position.0 + 1),
        Some(_) | None => stop,
    };
    Ok(Tail { committed, next: next.max(after) })
}

/// From the primary, like [`running`]: of a replica the one would not tell what the other leaves out.
pub(in crate::store::postgres) async fn ahead(
    store: &PostgresStore,
    after: Position,
    limit: usize,
) -> Result<Tail, StoreError> {
    let limit = limit.max(1);
    let (committed, _) = unrefused(read!(store, reader, |link| page(link, store, AHEAD, after, limit)))?;
    let next = committed.last().map_or(after, |last| Position(last.position.0 + 1));
    Ok(Tail { committed, next })
}

pub(in crate::store::postgres) async fn running(store: &PostgresStore) -> Result<Running, StoreError> {
    unrefused(read!(store, reader, |link| undecided(link)))
}

async fn undecided(link: &mut Link) -> sql::Result<Running> {
    let row = link.one(sqlx::query(RUNNING)).await?;
    let numbers = row.ints(1)?.unwrap_or_default();
    let numbers = numbers.into_iter().map(|number| Position(number.cast_unsigned())).collect();
    Ok(Running { numbers, next: Position(row.count(0)?) })
}

async fn page(
    link: &mut Link,
    store: &PostgresStore,
    statement: &'static str,
    after: Position,
    limit: usize,
) -> sql::Result<(Vec<Committed>, Position)> {
    let statement = sqlx::query(statement).bind(i64::try_from(after.0).unwrap_or(i64::MAX));
    let rows = link.all(statement.bind(i64::try_from(limit).unwrap_or(i64::MAX))).await?;
    let first = rows.first().ok_or_else(|| impossible("a log without an end"))?;
    let stop = Position(first.count(EVENT_COLUMNS + 2)?);
    if first.uuid_or_null(0)?.is_none() {
        return Ok((Vec::new(), stop));
    }
    Ok((ready_to_publish(link, store, &rows).await?, stop))
}

/// Events of one conversation after a seq, ready to publish.
pub(in crate::store::postgres) async fn stretch(
    store: &PostgresStore,
    conversation: ConversationId,
    after: Seq,
    limit: usize,
) -> Result<Vec<Committed>, StoreError> {
    unrefused(read!(store, reader, |link| after_seq(link, store, conversation, after, limit.max(1))))
}

async fn after_seq(
    link: &mut Link,
    store: &PostgresStore,
    conversation: ConversationId,
    after: Seq,
    limit: usize,
) -> sql::Result<Vec<Committed>> {
    let statement = sqlx::query(STRETCH).bind(*conversation.as_uuid()).bind(after.as_stored());
    let rows = link.all(statement.bind(i64::try_from(limit).unwrap_or(i64::MAX))).await?;
    ready_to_publish(link, store, &rows).await
}

/// Turns rows of events, with their position and their predecessor's, into what is published. Members are those of now: a
/// later member is left out by the seq of their join, and whoever left since is not told any more.
async fn ready_to_publish(
    link: &mut Link,
    store: &PostgresStore,
    rows: &[Pg],
) -> sql::Result<Vec<Committed>> {
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let previous = row.int_or_null(EVENT_COLUMNS + 1)?.map_or(0, |position| position as u64);
        found.push((decode(row)?, Position(row.count(EVENT_COLUMNS)?), Position(previous)));
    }
    let ids: Vec<ConversationId> = found.iter().map(|(event, ..)| event.conversation).collect();
    let rosters = rosters_of(link, &store.rosters, &ids).await?;
    for (id, roster) in &rosters {
        store.rosters.keep(*id, roster.clone()).await;
    }
    Ok(found
        .into_iter()
        .map(|(event, position, previous)| {
            let present = rosters
                .get(&event.conversation)
                .map_or_else(|| Arc::from([]), |roster| roster.present_at(event.seq));
            let audience = audience(event.conversation.kind(), &event.kind, &present);
            Committed { event: Arc::new(event), position, previous, audience }
        })
        .collect())
}
