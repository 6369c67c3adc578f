//! A stretch of one conversation's events.

use std::sync::Arc;

use super::copies::Seen;
use super::key::Key;
use crate::domain::UserId;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::link::Link;
use crate::store::shared::codec::{EVENT_COLUMNS, decode, event_columns};
use crate::store::shared::columns::Columns;
use crate::store::sql;
use crate::store::{Outcome, RangeEvents, RangeQuery};

/// What an event weighs beside its content; written into the statement too.
const EVENT_BYTES: i64 = 64;

pub(in crate::store::postgres) async fn range(
    store: &PostgresStore,
    user: UserId,
    query: RangeQuery,
) -> Outcome<RangeEvents> {
    super::copies::read_with(store, query.conversation, user, |key| Ask { key, query }).await
}

/// The statement answers nothing when the copy is too old, and one row without an event when there is none to see.
const RANGE: &str = concat!(
    "SELECT ",
    event_columns!(),
    ", greatest(e.edit_seq, e.delete_seq) FROM conversations c LEFT JOIN ( \
         SELECT e.*, sum($6 + coalesce(octet_length(e.body), 0) + coalesce(octet_length(e.extra), 0)) \
             OVER (ORDER BY e.seq) AS bytes, row_number() OVER (ORDER BY e.seq) AS nth \
         FROM events e WHERE e.conversation = $1 AND e.seq BETWEEN $2 AND $4 ORDER BY e.seq LIMIT $3 \
     ) e ON e.bytes <= $7 OR e.nth = 1 \
     WHERE c.id = $1 AND c.last_seq >= $4 AND c.blanked_txid >= $5 ORDER BY e.seq"
);

pub(super) struct Ask {
    key: Key,
    query: RangeQuery,
}

impl super::copies::Ask for Ask {
    type Answer = RangeEvents;

    async fn read(&self, link: &mut Link) -> sql::Result<Option<Seen<RangeEvents>>> {
        let (first, end) = (self.key.first.max(self.query.after.next()), self.key.last);
        let statement = sqlx::query(RANGE)
            .bind(*self.key.conversation.as_uuid())
            .bind(first.as_stored())
            .bind(i64::try_from(self.query.limit.max(1)).unwrap_or(i64::MAX))
            .bind(end.as_stored())
            .bind(self.key.blanked.0 as i64)
            .bind(EVENT_BYTES)
            .bind(i64::try_from(self.query.max_bytes).unwrap_or(i64::MAX));
        let rows = link.all(statement).await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let mut events = Vec::with_capacity(rows.len());
        let (mut last, mut newer) = (first.previous(), false);
        for row in &rows {
            if row.int_or_null(1)?.is_some() {
                let event = decode(row)?;
                last = event.seq;
                newer |= row.int_or_null(EVENT_COLUMNS)?.is_some_and(|changed| changed > end.as_stored());
                events.push(Arc::new(event));
            }
        }
        Ok(Some(Seen { answer: RangeEvents { more: last < end, events }, newer }))
    }
}
