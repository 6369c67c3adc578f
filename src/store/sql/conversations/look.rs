//! A conversation's row, a member's row, and who is in a conversation.

use crate::domain::{ConversationId, UserId};
use crate::store::shared::columns::{Columns, impossible};
use crate::store::shared::room::{Membership, ROOM_COLUMNS, Room, outsider};
use crate::store::shared::roster::Roster;
use crate::store::sql::{Connection, Result, Sql, Stop, values};

/// The columns that [`Room::read`] reads, from a table named `c`, then those that [`Membership::read`] reads, from one named `m`.
/// The databases name the position differently.
macro_rules! columns {
    ($position:literal) => {
        concat!(
            "c.id, c.name, c.history, c.join_policy, c.last_seq, c.message_count, c.member_count, c.",
            $position,
            ", c.members_version, c.settings_seq, c.created_at, c.low, c.high, c.deleted_at, ",
            "m.user_id, m.role, m.joined_seq, m.delivered_seq, m.read_seq, m.read_count + ",
            $crate::store::sql::heads::gone_unread!(),
            ", m.role_seq"
        )
    };
}
pub(super) use columns;

macro_rules! of {
    ($position:literal) => {
        concat!(
            "SELECT ",
            columns!($position),
            " FROM conversations c LEFT JOIN members m ON m.conversation = c.id AND m.user_id = $2 \
             WHERE c.id = $1 AND c.deleted_at IS NULL"
        )
    };
}
const CONVERSATION: Sql = Sql { postgres: of!("last_txid"), sqlite: of!("last_position") };

/// A conversation that is not deleted and the membership of `user` in it.
pub(super) async fn conversation_of<C: Connection>(
    connection: &mut C,
    id: ConversationId,
    user: UserId,
) -> Result<(Option<Room>, Option<Membership>)> {
    match connection.optional(&CONVERSATION, values![id, user]).await? {
        None => Ok((None, None)),
        Some(row) => Ok((Room::read(&row, 0)?, Membership::read(&row, ROOM_COLUMNS)?)),
    }
}

/// A conversation and the membership of `user`, or what an outsider is told.
pub(super) async fn membership_of<C: Connection>(
    connection: &mut C,
    id: ConversationId,
    user: UserId,
) -> std::result::Result<(Room, Membership), Stop> {
    match conversation_of(connection, id, user).await? {
        (Some(room), Some(membership)) => Ok((room, membership)),
        (room, _) => Err(outsider(room.as_ref()).into()),
    }
}

const ROSTER: Sql = Sql {
    postgres: "SELECT c.members_version, \
               (SELECT array_agg(x.user_id ORDER BY x.user_id) FROM members x WHERE x.conversation = $1), \
               (SELECT array_agg(x.joined_seq ORDER BY x.user_id) FROM members x WHERE x.conversation = $1) \
               FROM conversations c WHERE c.id = $1 AND c.members_version IS DISTINCT FROM $2",
    sqlite: "SELECT c.members_version, \
             (SELECT json_group_array(hex(x.user_id) ORDER BY x.user_id) FROM members x WHERE x.conversation = $1), \
             (SELECT json_group_array(x.joined_seq ORDER BY x.user_id) FROM members x WHERE x.conversation = $1) \
             FROM conversations c WHERE c.id = $1 AND c.members_version IS DISTINCT FROM $2",
};

/// The members of a direct conversation or a group, unless they are those of the known version.
pub(super) async fn roster_of<C: Connection>(
    connection: &mut C,
    id: ConversationId,
    known: Option<i64>,
) -> Result<Option<Roster>> {
    let Some(row) = connection.optional(&ROSTER, values![id, known]).await? else { return Ok(None) };
    Ok(Some(roster(&row, row.int(0)?, 1)?.unwrap_or_else(|| Roster::new(0, &[]))))
}

/// A roster from two columns of equal length, the members and their join events.
pub(in crate::store) fn roster(row: &impl Columns, version: i64, at: usize) -> Result<Option<Roster>> {
    let (Some(users), Some(joined)) = (row.users(at)?, row.seqs(at + 1)?) else { return Ok(None) };
    if users.len() != joined.len() {
        return Err(impossible("members without their join events"));
    }
    let members: Vec<_> = users.into_iter().zip(joined).collect();
    Ok(Some(Roster::new(version, &members)))
}
