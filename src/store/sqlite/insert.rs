//! Rows of new conversations and members.

use sqlx::sqlite::SqliteConnection;

use crate::domain::{ConversationId, Role, Seq, UserId};
use crate::store::shared::room::Room;
use crate::store::sql;
use crate::store::sqlite::rows::MultiRow;

/// A membership to write. Its holder has read everything up to the join.
#[derive(Debug)]
pub(in crate::store::sqlite) struct NewMember {
    pub user: UserId,
    pub conversation: ConversationId,
    pub role: Role,
    pub joined_seq: Seq,
    /// How many messages lie before the join.
    pub read_count: u64,
    pub changed_position: u64,
}

static ROOMS: MultiRow = MultiRow::new(
    "INSERT INTO conversations (id, kind, name, history, join_policy, member_count, created_at, low, high, \
     last_seq, message_count, last_position, members_version, settings_seq) \
     SELECT column1, column2, column3, column4, column5, column6, column7, column8, column9, 0, 0, 0, 1, 0 FROM (VALUES ",
    9,
    ") WHERE column1 IS NOT NULL",
);

static MEMBERS: MultiRow = MultiRow::new(
    "INSERT INTO members (user_id, conversation, role, joined_seq, role_seq, delivered_seq, read_seq, read_count, \
     changed_position) \
     SELECT column1, column2, column3, column4, column4, column4, column4, column5, column6 FROM (VALUES ",
    6,
    ") WHERE column1 IS NOT NULL",
);

/// Inserts conversations without events, at version 1 of their membership.
pub(in crate::store::sqlite) async fn insert_rooms(
    connection: &mut SqliteConnection,
    rooms: &[Room],
) -> sql::Result<()> {
    ROOMS
        .execute(connection, rooms, |query, room| {
            query
                .bind(*room.id().as_uuid())
                .bind(i64::from(room.kind().as_bits()))
                .bind(room.conversation.name.as_deref())
                .bind(room.conversation.history.as_str())
                .bind(room.conversation.join.as_str())
                .bind(room.conversation.member_count as i64)
                .bind(room.conversation.created_at.as_unix_ms())
                .bind(room.pair.map(|(low, _)| *low.as_uuid()))
                .bind(room.pair.map(|(_, high)| *high.as_uuid()))
        })
        .await
}

/// Inserts memberships.
pub(in crate::store::sqlite) async fn insert_members(
    connection: &mut SqliteConnection,
    members: &[NewMember],
) -> sql::Result<()> {
    MEMBERS
        .execute(connection, members, |query, new| {
            query
                .bind(*new.user.as_uuid())
                .bind(*new.conversation.as_uuid())
                .bind(new.role.as_stored())
                .bind(new.joined_seq.as_stored())
                .bind(new.read_count as i64)
                .bind(new.changed_position as i64)
        })
        .await
}
