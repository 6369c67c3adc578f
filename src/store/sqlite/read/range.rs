//! A stretch of one conversation's events.

use std::sync::Arc;

use futures_util::TryStreamExt;
use sqlx::sqlite::SqliteConnection;

use crate::domain::UserId;
use crate::store::shared::codec::{EVENT_COLUMNS, decode, event_columns};
use crate::store::shared::columns::Columns;
use crate::store::sql::Stop;
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::lane::Phase;
use crate::store::sqlite::state::membership_of;
use crate::store::{Outcome, RangeEvents, RangeQuery};

/// What an event weighs beside its content.
const EVENT_BYTES: usize = 64;

pub(in crate::store::sqlite) async fn range(
    store: &SqliteStore,
    user: UserId,
    query: RangeQuery,
) -> Outcome<RangeEvents> {
    let work = async {
        let mut transaction = store.reader.begin().await?;
        let worked = in_snapshot(&mut transaction, user, query).await;
        transaction.end(worked).await
    };
    Phase::default().bound(store.timeout, work).await
}

async fn in_snapshot(
    connection: &mut SqliteConnection,
    user: UserId,
    query: RangeQuery,
) -> Result<RangeEvents, Stop> {
    let (room, membership) = membership_of(connection, query.conversation, user).await?;
    let first = membership.member.first_visible(room.conversation.history).max(query.after.next());
    let limit = query.limit.max(1);
    let mut rows = sqlx::query(concat!(
        "SELECT ",
        event_columns!(),
        ", coalesce(octet_length(e.body), 0) + coalesce(octet_length(e.extra), 0) \
         FROM events e WHERE e.conversation = ?1 AND e.seq >= ?2 ORDER BY e.seq LIMIT ?3"
    ))
    .bind(*query.conversation.as_uuid())
    .bind(first.as_stored())
    .bind(limit as i64)
    .fetch(connection);
    let mut events = Vec::new();
    let mut bytes = 0_usize;
    let mut last = first.previous();
    while let Some(row) = rows.try_next().await? {
        bytes = bytes.saturating_add(EVENT_BYTES + row.count(EVENT_COLUMNS)? as usize);
        if bytes > query.max_bytes && !events.is_empty() {
            break;
        }
        let event = decode(&row)?;
        last = event.seq;
        events.push(Arc::new(event));
    }
    Ok(RangeEvents { more: last < room.conversation.last_seq, events })
}
