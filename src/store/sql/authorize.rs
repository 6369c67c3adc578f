//! The rights of the caller in a conversation, and how new a copy of the log must be to serve the read.

use super::range::{Key, Question};
use super::{Connection, Error, Sql, Stop, statement, values};
use crate::domain::{ConversationId, HistoryPolicy, JoinPolicy, Position, Refusal, Seq, UserId};
use crate::store::shared::columns::Columns;

const KEY: Sql = statement!(
    "SELECT c.history, c.join_policy, c.last_seq, m.joined_seq, {blanked} \
     FROM conversations c LEFT JOIN members m ON m.conversation = c.id AND m.user_id = $2 \
     WHERE c.id = $1 AND c.deleted_at IS NULL"
);

/// The key for a conversation, or the refusal for a user who is not a member.
pub(in crate::store) async fn key<C: Connection>(
    connection: &mut C,
    conversation: ConversationId,
    user: UserId,
) -> Result<Key, Stop> {
    let row = connection.optional(&KEY, values![conversation, user]).await?.ok_or(Refusal::NotFound)?;
    let Some(joined) = row.int_or_null(3)? else {
        let open = JoinPolicy::parse(&row.text(1)?) == Some(JoinPolicy::Open);
        return Err(if open { Refusal::NotMember } else { Refusal::NotFound }.into());
    };
    let history = HistoryPolicy::parse(&row.text(0)?)
        .ok_or_else(|| Error::impossible("a policy that this release does not know"))?;
    let (first, last) = (history.first_visible(Seq::from_stored(joined)), row.seq(2)?);
    Ok(Key { conversation, user, first, last, blanked: Position(row.count(4)?) })
}

/// The result of a query by a user who may see the conversation, from the same snapshot as the check.
pub(in crate::store) async fn answer<C: Connection, Q: Question>(
    connection: &mut C,
    user: UserId,
    question: Q,
) -> Result<Q::Answer, Stop> {
    let key = key(connection, question.conversation(), user).await?;
    let seen = question.read(connection, &key).await?;
    Ok(seen.ok_or_else(|| Error::impossible("a conversation that is gone from its own snapshot"))?.answer)
}
