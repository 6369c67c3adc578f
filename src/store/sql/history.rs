//! Pages of messages with their reactions, as a member may see them.

use std::sync::Arc;

use super::range::{Key, Question, Seen};
use super::{Connection, Error, Result, Sql, statement, values};
use crate::domain::{ConversationId, Seq};
use crate::store::shared::codec::{EVENT_COLUMNS, decode};
use crate::store::shared::columns::Columns;
use crate::store::shared::part::Part;
use crate::store::{HistoryPage, HistoryQuery, MessageView, ReactionCount};

/// The statement returns no row when the copy is too old, and one row without a message when there is no
/// visible message. The last column is false for a message that no longer fits: it shows only that there is
/// one.
pub(super) const PARTS: &[Part] = &[Part::same(
    "history_page",
    "SELECT {event_columns}, ( \
         SELECT CAST({json_list}({json_array}(n.emoji, n.count, CASE WHEN ( \
             SELECT TRUE FROM reactions o WHERE o.user_id = $7 AND o.conversation = $1 AND o.seq = n.seq \
             AND o.emoji = n.emoji AND o.is_on LIMIT 1 \
         ) THEN 1 ELSE 0 END) ORDER BY n.first_seq) AS text) \
         FROM reaction_counts n WHERE n.conversation = $1 AND n.seq = e.seq \
     ), {greatest}(coalesce(e.edit_seq, 0), coalesce(e.delete_seq, 0)), c.last_seq, e.bytes <= $9 OR e.nth = 1 \
     FROM conversations c LEFT JOIN ( \
         SELECT w.*, sum(w.own) OVER (ORDER BY w.seq %1) AS bytes, row_number() OVER (ORDER BY w.seq %1) AS nth FROM ( \
             SELECT v.*, $8 + coalesce(octet_length(v.body), 0) + coalesce(octet_length(v.extra), 0) AS own FROM events v \
             WHERE v.conversation = $1 AND v.seq BETWEEN $2 AND $3 AND v.kind = {message} ORDER BY v.seq %1 LIMIT $4 \
         ) w \
     ) e ON e.bytes - e.own <= $9 OR e.nth <= 2 WHERE c.id = $1 AND c.last_seq >= $5 AND {blanked} >= $6 ORDER BY e.seq %1",
)];
const FORWARDS: Sql = statement!("{history_page ASC}");
const BACKWARDS: Sql = statement!("{history_page DESC}");
/// The size that a message counts in addition to its content.
const MESSAGE_BYTES: i64 = 64;

impl Question for HistoryQuery {
    type Answer = HistoryPage;

    fn conversation(&self) -> ConversationId {
        self.conversation
    }

    async fn read<C: Connection>(&self, connection: &mut C, key: &Key) -> Result<Option<Seen<HistoryPage>>> {
        let (limit, end) = (self.limit.max(1), key.last);
        let (sql, first, last) = match (self.before, self.after) {
            (None, Some(after)) => (&FORWARDS, key.first.max(after.next()), end),
            (before, _) => (&BACKWARDS, key.first, before.map_or(end, Seq::previous).min(end)),
        };
        // One row more than the page shows whether more messages exist.
        let most = i64::try_from(limit).unwrap_or(i64::MAX - 1) + 1;
        let bytes = i64::try_from(self.max_bytes).unwrap_or(i64::MAX);
        let blanked = key.blanked.0 as i64;
        let values =
            values![key.conversation, first, last, most, end, blanked, key.user, MESSAGE_BYTES, bytes];
        let rows = connection.all(sql, values).await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let (mut messages, mut newer, mut more) = (Vec::with_capacity(rows.len()), false, rows.len() > limit);
        for row in rows.iter().take(limit) {
            if row.int_or_null(1)?.is_some() {
                if !row.flag(EVENT_COLUMNS + 3)? {
                    more = true;
                    break;
                }
                let view = MessageView { event: Arc::new(decode(row)?), reactions: reactions(row)? };
                newer |= row.seq(EVENT_COLUMNS + 1)? > end;
                newer |= !view.reactions.is_empty() && row.seq(EVENT_COLUMNS + 2)? > end;
                messages.push(view);
            }
        }
        if self.after.is_none() || self.before.is_some() {
            messages.reverse();
        }
        Ok(Some(Seen { answer: HistoryPage { messages, more }, newer }))
    }
}

fn reactions(row: &impl Columns) -> Result<Vec<ReactionCount>> {
    let Some(text) = row.text_or_null(EVENT_COLUMNS)? else { return Ok(Vec::new()) };
    let counted: Vec<(String, u64, u8)> = serde_json::from_str(&text).map_err(Error::impossible)?;
    Ok(counted.into_iter().map(|(emoji, count, me)| ReactionCount { emoji, count, me: me > 0 }).collect())
}
