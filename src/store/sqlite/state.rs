//! Reading a conversation's row and a member's row inside a transaction.

use sqlx::sqlite::SqliteConnection;

use crate::domain::{ConversationId, UserId};
use crate::store::shared::room::{Membership, ROOM_COLUMNS, Room, outsider};
use crate::store::sql::{self, Stop};

/// The columns that [`Room::read`] reads, from a table named `c`.
macro_rules! room_columns {
    () => {
        "c.id, c.name, c.history, c.join_policy, c.last_seq, c.message_count, c.member_count, c.last_position, \
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
    connection: &mut SqliteConnection,
    id: ConversationId,
    user: UserId,
) -> sql::Result<(Option<Room>, Option<Membership>)> {
    let row = sqlx::query(concat!(
        "SELECT ",
        room_columns!(),
        ", ",
        member_columns!(),
        " FROM conversations c LEFT JOIN members m ON m.conversation = c.id AND m.user_id = ?2 \
         WHERE c.id = ?1 AND c.deleted_at IS NULL"
    ))
    .bind(*id.as_uuid())
    .bind(*user.as_uuid())
    .fetch_optional(connection)
    .await?;
    match row {
        None => Ok((None, None)),
        Some(row) => Ok((Room::read(&row, 0)?, Membership::read(&row, ROOM_COLUMNS)?)),
    }
}

/// A conversation and the membership of `user`, or what an outsider is told.
pub(super) async fn membership_of(
    connection: &mut SqliteConnection,
    id: ConversationId,
    user: UserId,
) -> Result<(Room, Membership), Stop> {
    match room_of(connection, id, user).await? {
        (Some(room), Some(membership)) => Ok((room, membership)),
        (room, _) => Err(outsider(room.as_ref()).into()),
    }
}

/// The membership of `user`.
pub(super) async fn membership(
    connection: &mut SqliteConnection,
    conversation: ConversationId,
    user: UserId,
) -> sql::Result<Option<Membership>> {
    let row = sqlx::query(concat!(
        "SELECT ",
        member_columns!(),
        " FROM members m WHERE m.user_id = ?1 AND m.conversation = ?2"
    ))
    .bind(*user.as_uuid())
    .bind(*conversation.as_uuid())
    .fetch_optional(connection)
    .await?;
    row.map_or(Ok(None), |row| Membership::read(&row, 0))
}
