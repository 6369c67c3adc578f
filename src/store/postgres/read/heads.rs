//! What moved for one user, and where the log ends.
//!
//! A cursor is the oldest position that was undecided in its snapshot. A conversation moved when its newest event, or the
//! user's own membership (a receipt of another device, a conversation without events yet), bears a position from the
//! cursor on. What was decided by then is seen once; what was under way and what was visible already at the cursor's own
//! position or after it may be told again, and never not at all.

use crate::domain::{ConversationKind, HistoryPolicy, Member, Position, Role, Seq, UserId};
use crate::store::postgres::PostgresStore;
use crate::store::postgres::link::Link;
use crate::store::postgres::rows::Pg;
use crate::store::postgres::work::{read, unrefused};
use crate::store::shared::columns::{Columns, impossible};
use crate::store::sql;
use crate::store::{Cursor, Head, Heads, StoreError};

/// One statement is one snapshot: its first row tells where the log ends, the others the conversations. A cursor of another
/// log, or of this one from before it was put back to an earlier state, compares everything.
const HEADS: &str = "\
WITH log AS MATERIALIZED (SELECT tidings_epoch() AS epoch, tidings_end() AS stop), \
since AS MATERIALIZED ( \
    SELECT CASE WHEN epoch = $2 AND $3 <= stop THEN $3 ELSE 0 END AS position FROM log \
) \
SELECT log.epoch, log.stop, NULL::uuid, NULL::text, 0::bigint, NULL::text, NULL::uuid, NULL::uuid, 0::bigint, 0::bigint, \
       0::bigint, false, false FROM log \
UNION ALL \
SELECT NULL, NULL, c.id, c.name, c.last_seq, c.history, c.low, c.high, m.joined_seq, m.read_seq, \
       c.message_count - m.read_count, c.last_txid >= s.position OR m.changed_txid >= s.position, \
       c.last_txid < s.position \
FROM since s CROSS JOIN members m JOIN conversations c ON c.id = m.conversation \
WHERE m.user_id = $1 AND c.deleted_at IS NULL \
  AND (c.last_txid >= s.position OR m.changed_txid >= s.position OR c.kind = 2)";

pub(in crate::store::postgres) async fn heads(
    store: &PostgresStore,
    user: UserId,
    since: Option<Cursor>,
) -> Result<Heads, StoreError> {
    unrefused(read!(store, reader, |link| in_snapshot(link, user, since)))
}

pub(in crate::store::postgres) async fn end(store: &PostgresStore) -> Result<Cursor, StoreError> {
    unrefused(read!(store, reader, |link| last(link)))
}

async fn last(link: &mut Link) -> sql::Result<Cursor> {
    cursor(&link.one(sqlx::query("SELECT tidings_epoch(), tidings_end()")).await?)
}

fn cursor(row: &Pg) -> sql::Result<Cursor> {
    Ok(Cursor { epoch: row.int(0)?.cast_unsigned(), position: Position(row.count(1)?) })
}

async fn in_snapshot(link: &mut Link, user: UserId, since: Option<Cursor>) -> sql::Result<Heads> {
    let epoch = since.map_or(0, |cursor| cursor.epoch.cast_signed());
    let position = since.map_or(0, |cursor| i64::try_from(cursor.position.0).unwrap_or(i64::MAX));
    let rows = link.all(sqlx::query(HEADS).bind(*user.as_uuid()).bind(epoch).bind(position)).await?;
    let mut end = None;
    let (mut heads, mut quiet, mut channels) = (Vec::new(), Vec::new(), Vec::new());
    for row in &rows {
        if row.uuid_or_null(2)?.is_none() {
            end = Some(cursor(row)?);
            continue;
        }
        let (conversation, last_seq) = (row.conversation(2)?, row.seq(4)?);
        if conversation.kind() == ConversationKind::Channel {
            channels.push((conversation, last_seq));
        }
        if !row.flag(11)? {
            continue;
        }
        if row.flag(12)? {
            quiet.push(conversation);
        }
        let history = HistoryPolicy::parse(&row.text(5)?)
            .ok_or_else(|| impossible("a policy that this release does not know"))?;
        let member = Member {
            user,
            role: Role::Member,
            joined_seq: row.seq(8)?,
            delivered_seq: Seq::ZERO,
            read_seq: row.seq(9)?,
        };
        let pair = row.user_or_null(6)?.zip(row.user_or_null(7)?);
        heads.push(Head {
            conversation,
            name: row.text_or_null(3)?,
            peer: pair.map(|(low, high)| if low == user { high } else { low }),
            last_seq,
            first_seq: member.first_visible(history),
            read_seq: member.read_seq,
            unread: row.count(10)?,
        });
    }
    heads.sort_unstable_by_key(|head| head.conversation);
    quiet.sort_unstable();
    channels.sort_unstable();
    let cursor = end.ok_or_else(|| impossible("a log without an end"))?;
    Ok(Heads { cursor, heads, quiet, channels })
}
