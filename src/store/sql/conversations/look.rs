//! Reads a conversation's row, a member's row, and the members of a conversation.

use crate::domain::{ConversationId, UserId};
use crate::store::shared::columns::{Columns, impossible};
use crate::store::shared::conversation::{CONVERSATION_COLUMNS, ConversationRow, Membership, outsider};
use crate::store::shared::roster::Roster;
use crate::store::sql::{Connection, Result, Sql, Stop, statement, values};

const CONVERSATION: Sql = statement!(
    "SELECT {view_columns} FROM conversations c LEFT JOIN members m ON m.conversation = c.id AND m.user_id = $2 \
     WHERE c.id = $1 AND c.deleted_at IS NULL"
);

/// A conversation that is not deleted, and the membership of `user` in it.
pub(super) async fn conversation_of<C: Connection>(
    connection: &mut C,
    id: ConversationId,
    user: UserId,
) -> Result<(Option<ConversationRow>, Option<Membership>)> {
    match connection.optional(&CONVERSATION, values![id, user]).await? {
        None => Ok((None, None)),
        Some(row) => Ok((ConversationRow::read(&row, 0)?, Membership::read(&row, CONVERSATION_COLUMNS)?)),
    }
}

/// A conversation and the membership of `user`, or the refusal for a user who is not a member.
pub(super) async fn membership_of<C: Connection>(
    connection: &mut C,
    id: ConversationId,
    user: UserId,
) -> std::result::Result<(ConversationRow, Membership), Stop> {
    match conversation_of(connection, id, user).await? {
        (Some(stored), Some(membership)) => Ok((stored, membership)),
        (stored, _) => Err(outsider(stored.as_ref()).into()),
    }
}

const ROSTER: Sql = statement!(
    "SELECT c.members_version, {members_of $1}, {joins_of $1} \
     FROM conversations c WHERE c.id = $1 AND c.members_version IS DISTINCT FROM $2"
);

/// The members of a direct conversation or a group, unless they are those of the known version.
pub(in crate::store) async fn roster_of<C: Connection>(
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
