//! What moved for one user.
//!
//! A cursor is one past the newest position of its snapshot. A conversation moved when its newest event, or the user's
//! own membership (a receipt of another device, a conversation without events yet), bears a position from the cursor on.

use sqlx::sqlite::SqliteConnection;

use crate::domain::{ConversationKind, HistoryPolicy, Member, Position, Role, Seq, UserId};
use crate::store::shared::columns::{Columns, impossible};
use crate::store::sql::{self, Stop};
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::lane::Phase;
use crate::store::sqlite::position::last_position;
use crate::store::{Cursor, Head, Heads, StoreError};

/// One statement is one snapshot: its first row tells where the log ends, the others the conversations.
const HEADS: &str = concat!(
    "SELECT ",
    last_position!(),
    ", NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL UNION ALL \
     SELECT NULL, c.id, c.name, c.last_seq, c.history, c.low, c.high, m.joined_seq, m.read_seq, \
            c.message_count - m.read_count, c.last_position >= ?2 OR m.changed_position >= ?2, c.last_position < ?2 \
     FROM members m CROSS JOIN conversations c ON c.id = m.conversation \
     WHERE m.user_id = ?1 AND c.deleted_at IS NULL AND (c.last_position >= ?2 OR m.changed_position >= ?2 OR c.kind = 2)"
);

pub(in crate::store::sqlite) async fn heads(
    store: &SqliteStore,
    user: UserId,
    since: Option<Cursor>,
) -> Result<Heads, StoreError> {
    let since = since.filter(|cursor| cursor.epoch == store.epoch).map_or(0, |cursor| cursor.position.0);
    let work = async {
        let mut transaction = store.reader.begin().await?;
        let worked = in_snapshot(&mut transaction, store.epoch, user, since).await;
        transaction.end(worked.map_err(Stop::from)).await
    };
    let heads = Phase::default().bound(store.timeout, work).await?;
    heads.map_err(|refusal| StoreError::Inconsistent(refusal.to_string()))
}

async fn in_snapshot(
    connection: &mut SqliteConnection,
    epoch: u64,
    user: UserId,
    since: u64,
) -> sql::Result<Heads> {
    let mut heads = read(connection, epoch, user, since).await?;
    if since > heads.cursor.position.0 {
        // The cursor knows more than the log: the file was put back to an earlier state. Everything is to be compared.
        heads = read(connection, epoch, user, 0).await?;
    }
    Ok(heads)
}

async fn read(connection: &mut SqliteConnection, epoch: u64, user: UserId, since: u64) -> sql::Result<Heads> {
    let rows = sqlx::query(HEADS)
        .bind(*user.as_uuid())
        .bind(i64::try_from(since).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await?;
    let mut position = Position(1);
    let (mut heads, mut quiet, mut channels) = (Vec::new(), Vec::new(), Vec::new());
    for row in &rows {
        if let Some(last) = row.int_or_null(0)? {
            position = Position(u64::try_from(last).unwrap_or(0) + 1);
            continue;
        }
        let (conversation, last_seq) = (row.conversation(1)?, row.seq(3)?);
        if conversation.kind() == ConversationKind::Channel {
            channels.push((conversation, last_seq));
        }
        if !row.flag(10)? {
            continue;
        }
        if row.flag(11)? {
            quiet.push(conversation);
        }
        let history = HistoryPolicy::parse(&row.text(4)?)
            .ok_or_else(|| impossible("a policy that this release does not know"))?;
        let member = Member {
            user,
            role: Role::Member,
            joined_seq: row.seq(7)?,
            delivered_seq: Seq::ZERO,
            read_seq: row.seq(8)?,
        };
        let pair = row.user_or_null(5)?.zip(row.user_or_null(6)?);
        heads.push(Head {
            conversation,
            name: row.text_or_null(2)?,
            peer: pair.map(|(low, high)| if low == user { high } else { low }),
            last_seq,
            first_seq: member.first_visible(history),
            read_seq: member.read_seq,
            unread: row.count(9)?,
        });
    }
    heads.sort_unstable_by_key(|head| head.conversation);
    quiet.sort_unstable();
    channels.sort_unstable();
    Ok(Heads { cursor: Cursor { epoch, position }, heads, quiet, channels })
}
