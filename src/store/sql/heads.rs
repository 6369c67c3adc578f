//! The conversations that changed for one user, and the end of the log.
//!
//! A cursor is the oldest position that was undecided in its snapshot (SQLite: one past the newest). A
//! conversation changed when its newest event, or the user's own membership, has a position from the cursor
//! on. The membership changes by a receipt of another device, or in a conversation without events yet.
//! Changes committed before the snapshot are reported once. Changes of transactions that were open then are
//! reported once or twice.
//!
//! The user's feed names the candidates. So the cost depends on the changed conversations, not on all
//! conversations of the user.

use super::{Backend, Connection, Result, Sql, Value, statement, values};
use crate::domain::{ConversationId, ConversationKind, HistoryPolicy, Position, Seq, UserId};
use crate::store::shared::columns::{Columns, impossible};
use crate::store::shared::part::Part;
use crate::store::{Cursor, Head, Heads, StoreError};

/// Parts of statements about the log and about unread messages.
pub(super) const PARTS: &[Part] = &[
    // The newest assigned position, 0 in an empty log. An event takes the next one. A receipt or a membership
    // without an event takes one too. So a cursor before it sees that something changed, and a cursor after
    // it does not; such positions are kept in `position_floor`. So positions have holes, seqs never.
    Part::each(
        "newest_position",
        "",
        "(SELECT max(value, coalesce((SELECT max(position) FROM events), 0)) FROM meta WHERE name = 'position_floor')",
    ),
    // The position of the rows that this statement writes.
    Part::for_each("next_position", "tidings_position()", "(1 + {newest_position})", "tidings_position()"),
    // The end of the log for this statement, and its epoch.
    Part::for_each("end_position", "tidings_end()", "(1 + {newest_position})", "tidings_end()"),
    // In SQLite's dialect, what the positions of a transaction's events follow from: the newest one, or in
    // the model its own.
    Part::for_each("given_position", "", "{newest_position}", "tidings_position()"),
    Part::each("epoch", "tidings_epoch()", "(SELECT value FROM meta WHERE name = 'epoch')"),
    // The number of a member's unread messages whose content is erased. They do not count as unread.
    Part::same(
        "gone_unread",
        "(SELECT count(*) FROM events r \
         WHERE r.conversation = c.id AND r.kind = {message} AND r.deleted AND r.seq > m.read_seq)",
    ),
    // The number of a member's unread messages.
    Part::same("unread", "c.message_count - m.read_count - {gone_unread}"),
    // Whether a direct conversation consists of messages of somebody who is no contact of the member.
    Part::same(
        "from_stranger",
        "(c.low IS NOT NULL AND c.low <> c.high AND c.message_count > 0 AND coalesce(( \
             SELECT FALSE FROM contacts k WHERE k.user_id = m.user_id \
             AND k.contact = CASE WHEN c.low = m.user_id THEN c.high ELSE c.low END LIMIT 1), TRUE))",
    ),
    // The columns that `head` reads, from a conversation and a membership.
    Part::same(
        "head_columns",
        "c.id, c.name, c.last_seq, c.history, c.low, c.high, m.joined_seq, m.read_seq",
    ),
];

/// One statement is one snapshot: its first row is the end of the log, the others are the conversations. A
/// cursor of another log, or of this log before it was restored to an earlier state, compares everything. In
/// that case the conversations that the user has left are not listed.
const HEADS: Sql = statement!(
    "WITH log AS MATERIALIZED (SELECT {epoch} AS epoch, {end_position} AS stop), since AS MATERIALIZED ( \
         SELECT CASE WHEN epoch = $2 AND $3 <= stop THEN $3 ELSE 0 END AS position FROM log \
     ) \
     SELECT CAST(NULL AS uuid), CAST(NULL AS text), CAST(NULL AS bigint), CAST(NULL AS text), CAST(NULL AS uuid), \
         CAST(NULL AS uuid), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), \
         CAST(NULL AS bigint), log.epoch, log.stop, FALSE, FALSE FROM log \
     UNION ALL \
     SELECT {head_columns}, \
         CASE WHEN c.last_position >= s.position OR m.changed_position >= s.position THEN {unread} END, \
         CASE WHEN m.user_id IS NULL THEN d.left_seq WHEN c.deleted_at IS NOT NULL THEN c.last_seq END, NULL, NULL, \
         c.last_position < s.position, {from_stranger} \
     FROM since s CROSS JOIN feeds f CROSS JOIN conversations c \
     LEFT JOIN members m ON m.user_id = $1 AND m.conversation = c.id \
     LEFT JOIN departures d ON d.user_id = $1 AND d.conversation = c.id \
     WHERE f.user_id = $1 AND f.position >= (s.position >> 16) << 16 AND c.id = f.conversation \
       AND CASE WHEN m.user_id IS NULL THEN s.position > 0 AND f.position >= s.position AND d.left_seq IS NOT NULL \
                WHEN c.deleted_at IS NOT NULL THEN s.position > 0 AND c.last_position >= s.position \
                ELSE c.kind = {channel} OR c.last_position >= s.position OR m.changed_position >= s.position END"
);

pub(in crate::store) async fn heads<B: Backend>(
    backend: &B,
    user: UserId,
    since: Option<Cursor>,
) -> std::result::Result<Heads, StoreError> {
    let read =
        backend.read((user, since), |connection, (user, since)| Box::pin(moved(connection, *user, *since)));
    read.await
}

async fn moved<C: Connection>(connection: &mut C, user: UserId, since: Option<Cursor>) -> Result<Heads> {
    let epoch = since.map_or(0, |cursor| cursor.epoch.cast_signed());
    let position = since.map_or(0, |cursor| i64::try_from(cursor.position.0).unwrap_or(i64::MAX));
    let rows = connection.all(&HEADS, values![user, epoch, position]).await?;
    let mut cursor = None;
    let (mut heads, mut quiet, mut left, mut channels) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for row in &rows {
        if row.uuid_or_null(0)?.is_none() {
            cursor = Some(read_cursor(row, 10)?);
            continue;
        }
        let conversation = row.conversation(0)?;
        if let Some(left_seq) = row.int_or_null(9)? {
            left.push((conversation, Seq::from_stored(left_seq)));
            continue;
        }
        if conversation.kind() == ConversationKind::Channel {
            channels.push((conversation, row.seq(2)?));
        }
        if let Some(unread) = row.int_or_null(8)? {
            heads.push(head(row, user, unread, row.flag(13)?)?);
            if row.flag(12)? {
                quiet.push(conversation);
            }
        }
    }
    heads.sort_unstable_by_key(|head| head.conversation);
    quiet.sort_unstable();
    left.sort_unstable();
    channels.sort_unstable();
    let cursor = cursor.ok_or_else(|| impossible("a log without an end"))?;
    Ok(Heads { cursor, heads, quiet, left, channels })
}

fn read_cursor(row: &impl Columns, at: usize) -> Result<Cursor> {
    Ok(Cursor { epoch: row.int(at)?.cast_unsigned(), position: Position(row.count(at + 1)?) })
}

fn head(row: &impl Columns, user: UserId, unread: i64, stranger: bool) -> Result<Head> {
    let history = HistoryPolicy::parse(&row.text(3)?)
        .ok_or_else(|| impossible("a policy that this release does not know"))?;
    let pair = row.user_or_null(4)?.zip(row.user_or_null(5)?);
    Ok(Head {
        conversation: row.conversation(0)?,
        name: row.text_or_null(1)?,
        peer: pair.map(|(low, high)| if low == user { high } else { low }),
        last_seq: row.seq(2)?,
        first_seq: history.first_visible(row.seq(6)?),
        read_seq: row.seq(7)?,
        unread: u64::try_from(unread).unwrap_or(0),
        stranger,
    })
}

const NAMED: Sql = statement!(
    "SELECT {head_columns}, {unread}, {from_stranger} FROM members m CROSS JOIN conversations c \
     WHERE m.user_id = $1 AND m.conversation {one_of $2} AND c.id = m.conversation AND c.deleted_at IS NULL"
);

/// The heads of the given conversations that the user is a member of.
pub(in crate::store) async fn heads_of<B: Backend>(
    backend: &B,
    user: UserId,
    conversations: &[ConversationId],
) -> std::result::Result<Vec<Head>, StoreError> {
    if conversations.is_empty() {
        return Ok(Vec::new());
    }
    let asked = (user, conversations.to_vec());
    let read = backend.read(asked, |connection, (user, asked)| Box::pin(named(connection, *user, asked)));
    read.await
}

async fn named<C: Connection>(
    connection: &mut C,
    user: UserId,
    conversations: &[ConversationId],
) -> Result<Vec<Head>> {
    let ids = Value::uuids(conversations.iter().map(|id| *id.as_uuid()));
    let rows = connection.each(&NAMED, values![user, ids]).await?;
    rows.iter().map(|row| head(row, user, row.int(8)?, row.flag(9)?)).collect()
}

const END: Sql = statement!("SELECT {epoch} AS epoch, {end_position} AS stop");

pub(in crate::store) async fn end<B: Backend>(backend: &B) -> std::result::Result<Cursor, StoreError> {
    backend.read((), |connection, ()| Box::pin(last(connection))).await
}

async fn last<C: Connection>(connection: &mut C) -> Result<Cursor> {
    read_cursor(&connection.one(&END, &[]).await?, 0)
}
