//! A range of one conversation's events that a member may see.

use std::sync::Arc;

use super::{Connection, Result, Sql, statement, values};
use crate::domain::{ConversationId, Position, Seq, UserId};
use crate::store::shared::codec::{EVENT_COLUMNS, decode};
use crate::store::shared::columns::Columns;
use crate::store::{RangeEvents, RangeQuery};

/// The part of a conversation that a member may see now.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Key {
    pub conversation: ConversationId,
    pub user: UserId,
    /// The first event the member may see.
    pub first: Seq,
    /// The newest event; a replica without it is too old.
    pub last: Seq,
    /// The position at which content was last erased; a replica from before still contains it. An embedded
    /// log has no replicas.
    pub blanked: Position,
}

/// An answer, and whether it contains anything newer than the key.
pub(in crate::store) struct Seen<A> {
    pub answer: A,
    pub newer: bool,
}

/// A query about one conversation. Any copy of the log can answer it that is new enough for the caller's key.
pub(in crate::store) trait Question: Copy + Send + Sync + 'static {
    type Answer: Send + 'static;

    /// The conversation.
    fn conversation(&self) -> ConversationId;

    /// The answer from one snapshot; `None` when this copy is too old for it.
    fn read<C: Connection>(
        &self,
        connection: &mut C,
        key: &Key,
    ) -> impl Future<Output = Result<Option<Seen<Self::Answer>>>> + Send;
}

/// The size that an event counts in addition to its content.
const EVENT_BYTES: i64 = 64;

/// The statement returns no row when the copy is too old, and one row without an event when there is no
/// visible event.
const RANGE: Sql = statement!(
    "SELECT {event_columns}, {greatest}(coalesce(e.edit_seq, 0), coalesce(e.delete_seq, 0)) FROM conversations c LEFT JOIN ( \
         SELECT w.*, sum($6 + coalesce(octet_length(w.body), 0) + coalesce(octet_length(w.extra), 0)) \
             OVER (ORDER BY w.seq) AS bytes, row_number() OVER (ORDER BY w.seq) AS nth FROM ( \
             SELECT v.* FROM events v WHERE v.conversation = $1 AND v.seq BETWEEN $2 AND $4 ORDER BY v.seq LIMIT $3 \
         ) w \
     ) e ON e.bytes <= $7 OR e.nth = 1 \
     WHERE c.id = $1 AND c.last_seq >= $4 AND {blanked} >= $5 ORDER BY e.seq"
);

/// The events that a key allows, at most to the newest one that it names: a membership can end between the
/// reads of the key and of the events.
impl Question for RangeQuery {
    type Answer = RangeEvents;

    fn conversation(&self) -> ConversationId {
        self.conversation
    }

    async fn read<C: Connection>(&self, connection: &mut C, key: &Key) -> Result<Option<Seen<RangeEvents>>> {
        let (first, end) = (key.first.max(self.after.next()), key.last);
        let limit = i64::try_from(self.limit.max(1)).unwrap_or(i64::MAX);
        let bytes = i64::try_from(self.max_bytes).unwrap_or(i64::MAX);
        let values = values![key.conversation, first, limit, end, key.blanked.0 as i64, EVENT_BYTES, bytes];
        let rows = connection.all(&RANGE, values).await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let mut events = Vec::with_capacity(rows.len());
        let (mut last, mut newer) = (first.previous(), false);
        for row in &rows {
            if row.int_or_null(1)?.is_some() {
                let event = decode(row)?;
                last = event.seq;
                newer |= row.seq(EVENT_COLUMNS)? > end;
                events.push(Arc::new(event));
            }
        }
        Ok(Some(Seen { answer: RangeEvents { more: last < end, events }, newer }))
    }
}
