//! Who is banned from a conversation.

use uuid::Uuid;

use super::look::membership_of;
use crate::domain::{ConversationId, EventKind, Timestamp, UserId, permissions};
use crate::store::shared::codec::{EVENT_COLUMNS, decode};
use crate::store::shared::columns::{Columns, impossible};
use crate::store::sql::accounts::read_user;
use crate::store::sql::page::page;
use crate::store::sql::{Connection, Result, Sql, Stop, statement, values};
use crate::store::{BanView, Page};

/// SQLite joins in the order of the text: bans first, by the index of the conversation.
const BANS: Sql = statement!(
    "SELECT {event_columns}, {user_columns} FROM bans b CROSS JOIN events e CROSS JOIN users u \
     WHERE e.conversation = b.conversation AND e.seq = b.ban_seq AND u.id = b.user_id \
     AND b.conversation = $1 AND b.user_id > $2 AND b.ends_at > $3 ORDER BY b.user_id LIMIT $4"
);

pub(super) async fn bans<C: Connection>(
    connection: &mut C,
    user: UserId,
    conversation: ConversationId,
    after: Option<UserId>,
    limit: usize,
    now: Timestamp,
) -> std::result::Result<Page<BanView, UserId>, Stop> {
    let after = after.map_or_else(Uuid::nil, |user| *user.as_uuid());
    let rows = connection.all(&BANS, values![conversation, after, now, limit as i64 + 1]).await?;
    // The role is read after the rows, so that nobody sees bans of a time after their own demotion.
    let (stored, own) = membership_of(connection, conversation, user).await?;
    permissions::may_see_bans(&stored.conversation, own.member.role)?;
    Ok(page(&rows, limit, |row| ban(row).map(Some), |view| view.user.id)?)
}

fn ban(row: &impl Columns) -> Result<BanView> {
    let event = decode(row)?;
    let EventKind::ConversationChanged(changes) = event.kind else {
        return Err(impossible("a ban by an event that says something else"));
    };
    let (_, until) = changes.banned.ok_or_else(|| impossible("a ban by an event that names nobody"))?;
    let user = read_user(row, EVENT_COLUMNS)?;
    Ok(BanView { user, by: event.sender, at: event.sent_at, until, reason: changes.reason })
}
