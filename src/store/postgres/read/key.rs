//! The key to a read: what the primary says the caller may see, and how new a copy must be to show it.

use crate::domain::{ConversationId, Position, UserId};
use crate::store::postgres::link::Link;
use crate::store::postgres::state::{member_columns, room_columns};
use crate::store::shared::columns::Columns;
use crate::store::shared::room::{MEMBER_COLUMNS, Membership, ROOM_COLUMNS, Room, outsider};
use crate::store::sql::Stop;
use crate::store::sql::range::Key;

/// Reads the key from the primary.
pub(super) async fn key(link: &mut Link, conversation: ConversationId, user: UserId) -> Result<Key, Stop> {
    let statement = sqlx::query(concat!(
        "SELECT ",
        room_columns!(),
        ", ",
        member_columns!(),
        ", c.blanked_txid FROM conversations c LEFT JOIN members m ON m.conversation = c.id AND m.user_id = $2 \
         WHERE c.id = $1 AND c.deleted_at IS NULL"
    ));
    let row = link.optional(statement.bind(*conversation.as_uuid()).bind(*user.as_uuid())).await?;
    let Some(row) = row else { return Err(outsider(None).into()) };
    match (Room::read(&row, 0)?, Membership::read(&row, ROOM_COLUMNS)?) {
        (Some(room), Some(membership)) => Ok(Key {
            conversation,
            user,
            first: membership.member.first_visible(room.conversation.history),
            last: room.conversation.last_seq,
            blanked: Position(row.count(ROOM_COLUMNS + MEMBER_COLUMNS)?),
        }),
        (room, _) => Err(outsider(room.as_ref()).into()),
    }
}
