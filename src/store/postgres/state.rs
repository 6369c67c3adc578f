//! Reading a conversation's row and a member's row.

use super::lane::Transaction;
use super::link::Link;
use crate::domain::{ConversationId, UserId};
use crate::store::shared::room::{Membership, ROOM_COLUMNS, Room, outsider};
use crate::store::sql::{self, Stop};

/// The columns that [`Room::read`] reads, from a table named `c`.
macro_rules! room_columns {
    () => {
        "c.id, c.name, c.history, c.join_policy, c.last_seq, c.message_count, c.member_count, c.last_txid, \
         c.members_version, c.settings_seq, c.created_at, c.low, c.high, c.deleted_at"
    };
}
pub(super) use room_columns;

/// The columns that [`Membership::read`] reads, from a table named `m`.
macro_rules! member_columns {
    () => {
        "m.user_id, m.role, m.joined_seq, m.delivered_seq, m.read_seq, m.read_count, m.role_seq"
    };
}
pub(super) use member_columns;

/// A conversation that is not deleted and the membership of `user` in it.
pub(super) async fn room_of(
    link: &mut Link,
    id: ConversationId,
    user: UserId,
) -> sql::Result<(Option<Room>, Option<Membership>)> {
    let statement = sqlx::query(concat!(
        "SELECT ",
        room_columns!(),
        ", ",
        member_columns!(),
        " FROM conversations c LEFT JOIN members m ON m.conversation = c.id AND m.user_id = $2 \
         WHERE c.id = $1 AND c.deleted_at IS NULL"
    ));
    match link.optional(statement.bind(*id.as_uuid()).bind(*user.as_uuid())).await? {
        None => Ok((None, None)),
        Some(row) => Ok((Room::read(&row, 0)?, Membership::read(&row, ROOM_COLUMNS)?)),
    }
}

/// A conversation and the membership of `user`, or what an outsider is told.
pub(super) async fn membership_of(
    link: &mut Link,
    id: ConversationId,
    user: UserId,
) -> Result<(Room, Membership), Stop> {
    match room_of(link, id, user).await? {
        (Some(room), Some(membership)) => Ok((room, membership)),
        (room, _) => Err(outsider(room.as_ref()).into()),
    }
}

/// Begins a transaction on a connection without one, locks a conversation and reads it as [`room_of`] does, in one round
/// trip. What is read after the lock is true for as long as the transaction lasts.
pub(super) async fn begin_locked(
    transaction: &mut Transaction,
    id: ConversationId,
    user: UserId,
) -> sql::Result<(Option<Room>, Option<Membership>)> {
    let (id, user) = (id.as_uuid(), user.as_uuid());
    let text = format!(
        concat!(
            "BEGIN; SELECT 1 FROM conversations WHERE id = '{}' FOR NO KEY UPDATE; SELECT ",
            room_columns!(),
            ", ",
            member_columns!(),
            " FROM conversations c LEFT JOIN members m ON m.conversation = c.id AND m.user_id = '{}' \
             WHERE c.id = '{}' AND c.deleted_at IS NULL"
        ),
        id, user, id
    );
    let rows = transaction.script(text).await?;
    match rows.iter().find(|row| row.width() > 1) {
        None => Ok((None, None)),
        Some(row) => Ok((Room::read(row, 0)?, Membership::read(row, ROOM_COLUMNS)?)),
    }
}

/// Locks a conversation inside a transaction and reads it as [`room_of`] does.
pub(super) async fn lock(
    link: &mut Link,
    id: ConversationId,
    user: UserId,
) -> sql::Result<(Option<Room>, Option<Membership>)> {
    let statement = sqlx::query("SELECT 1 FROM conversations WHERE id = $1 FOR NO KEY UPDATE");
    link.run(statement.bind(*id.as_uuid())).await?;
    room_of(link, id, user).await
}

/// The membership of `user`.
pub(super) async fn membership(
    link: &mut Link,
    conversation: ConversationId,
    user: UserId,
) -> sql::Result<Option<Membership>> {
    let statement = sqlx::query(concat!(
        "SELECT ",
        member_columns!(),
        " FROM members m WHERE m.user_id = $1 AND m.conversation = $2"
    ));
    let row = link.optional(statement.bind(*user.as_uuid()).bind(*conversation.as_uuid())).await?;
    row.map_or(Ok(None), |row| Membership::read(&row, 0))
}
