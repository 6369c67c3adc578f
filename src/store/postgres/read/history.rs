//! Pages of messages with their reactions.

use std::sync::Arc;

use crate::domain::{Seq, UserId};
use crate::store::postgres::PostgresStore;
use crate::store::postgres::connection::Connection;
use crate::store::postgres::rows::Pg;
use crate::store::shared::codec::{EVENT_COLUMNS, decode};
use crate::store::shared::columns::{Columns, impossible};
use crate::store::sql::range::{Key, Seen};
use crate::store::sql::{self, Connection as _, Sql, statement, values};
use crate::store::{HistoryPage, HistoryQuery, MessageView, Outcome, ReactionCount};

pub(in crate::store::postgres) async fn history(
    store: &PostgresStore,
    user: UserId,
    query: HistoryQuery,
) -> Outcome<HistoryPage> {
    super::replica_reads::read_with(store, query.conversation, user, |key| Ask { key, query }).await
}

/// The statement answers nothing when the copy is too old, and one row without a message when there is none to see.
macro_rules! page {
    ($order:literal) => {
        concat!(
            "SELECT {event_columns}, r.emoji, r.counts, r.own, greatest(e.edit_seq, e.delete_seq), c.last_seq FROM conversations c LEFT JOIN ( \
                 SELECT e.* FROM events e WHERE e.conversation = $1 AND e.seq BETWEEN $2 AND $3 AND e.kind = {message} \
                 ORDER BY e.seq ",
            $order,
            " LIMIT $4 \
             ) e ON true LEFT JOIN LATERAL ( \
                 SELECT array_agg(n.emoji ORDER BY n.first_seq) AS emoji, array_agg(n.count ORDER BY n.first_seq) AS counts, \
                     array_agg((SELECT true FROM reactions o WHERE o.user_id = $7 AND o.conversation = $1 \
                         AND o.seq = n.seq AND o.emoji = n.emoji AND o.is_on LIMIT 1) IS NOT NULL ORDER BY n.first_seq) AS own \
                 FROM reaction_counts n WHERE n.conversation = $1 AND n.seq = e.seq \
             ) r ON true \
             WHERE c.id = $1 AND c.last_seq >= $5 AND c.blanked_position >= $6 ORDER BY e.seq ",
            $order
        )
    };
}

const FORWARDS: Sql = statement!(postgres: page!("ASC"));
const BACKWARDS: Sql = statement!(postgres: page!("DESC"));

#[derive(Clone)]
pub(super) struct Ask {
    key: Key,
    query: HistoryQuery,
}

impl super::replica_reads::Ask for Ask {
    type Answer = HistoryPage;

    async fn read(&self, connection: &mut Connection) -> sql::Result<Option<Seen<HistoryPage>>> {
        let limit = self.query.limit.max(1);
        let end = self.key.last;
        let (sql, first, last) = match (self.query.before, self.query.after) {
            (None, Some(after)) => (&FORWARDS, self.key.first.max(after.next()), end),
            (before, _) => (&BACKWARDS, self.key.first, before.map_or(end, Seq::previous).min(end)),
        };
        // One row more than the page holds tells whether more lie beyond.
        let most = i64::try_from(limit).unwrap_or(i64::MAX - 1) + 1;
        let key = &self.key;
        let values = values![key.conversation, first, last, most, end, key.blanked.0 as i64, key.user];
        let rows = connection.all(sql, values).await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let (mut messages, mut newer) = (Vec::with_capacity(rows.len()), false);
        for row in rows.iter().take(limit) {
            if row.int_or_null(1)?.is_some() {
                let view = MessageView { event: Arc::new(decode(row)?), reactions: reactions(row)? };
                let changed = row.int_or_null(EVENT_COLUMNS + 3)?.is_some_and(|seq| seq > end.as_stored());
                newer |= changed || (!view.reactions.is_empty() && row.seq(EVENT_COLUMNS + 4)? > end);
                messages.push(view);
            }
        }
        if self.query.after.is_none() || self.query.before.is_some() {
            messages.reverse();
        }
        Ok(Some(Seen { answer: HistoryPage { messages, more: rows.len() > limit }, newer }))
    }
}

fn reactions(row: &Pg) -> sql::Result<Vec<ReactionCount>> {
    let Some(emoji) = row.texts(EVENT_COLUMNS)? else { return Ok(Vec::new()) };
    let counts = row.ints(EVENT_COLUMNS + 1)?.unwrap_or_default();
    let own = row.flags(EVENT_COLUMNS + 2)?.unwrap_or_default();
    if (emoji.len(), emoji.len()) != (counts.len(), own.len()) {
        return Err(impossible("reactions without their counts"));
    }
    let counted = emoji.into_iter().zip(counts).zip(own);
    Ok(counted
        .map(|((emoji, count), me)| ReactionCount { emoji, count: u64::try_from(count).unwrap_or(0), me })
        .collect())
}
