//! Receipts: the seqs up to which devices have received and users have read.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::roster::rosters_of;
use super::{Backend, Connection, Result, Sql, Value, statement, unrefused, values};
use crate::domain::{ConversationId, ConversationKind, Seq, UserId};
use crate::store::shared::columns::Columns;
use crate::store::shared::roster::Roster;
use crate::store::{Mark, Marked, StoreError};

/// Moves receipts forward, at most to the conversation's end, and returns those that moved. The user's other
/// devices resume with the read receipt, so it takes a position in the log; a delivered receipt does not.
const MARK: Sql = statement! {
    postgres: "SELECT user_id, conversation, delivered, read FROM tidings_mark($1, $2, $3, $4)",
    sqlite: "UPDATE members SET \
             delivered_seq = max(delivered_seq, min($3, c.last_seq)), \
             read_seq = max(read_seq, min($4, c.last_seq)), \
             read_count = CASE WHEN min($4, c.last_seq) > read_seq THEN ( \
                 SELECT e.messages_before + (e.kind = {message}) FROM events e \
                 WHERE e.conversation = $2 AND e.seq = min($4, c.last_seq) \
             ) ELSE read_count END, \
             changed_position = CASE WHEN min($4, c.last_seq) > read_seq THEN {next_position} ELSE changed_position END \
             FROM conversations c \
             WHERE members.user_id = $1 AND members.conversation = $2 AND c.id = $2 AND c.deleted_at IS NULL \
               AND (min($3, c.last_seq) > delivered_seq OR min($4, c.last_seq) > read_seq) \
             RETURNING user_id, conversation, delivered_seq, read_seq",
};

/// The highest requested receipts per member, in the order in which all code locks memberships.
type Asked = BTreeMap<(ConversationId, UserId), (Seq, Seq)>;

fn asked(marks: &[Mark]) -> Asked {
    let mut asked = Asked::new();
    for mark in marks {
        let (delivered, read) = asked.entry((mark.conversation, mark.user)).or_default();
        *read = (*read).max(mark.read.unwrap_or_default());
        *delivered = (*delivered).max(mark.delivered.unwrap_or_default()).max(*read);
    }
    asked
}

async fn move_forward<C: Connection>(connection: &mut C, asked: &Asked) -> Result<Vec<Mark>> {
    let values = values![
        Value::uuids(asked.keys().map(|(_, user)| *user.as_uuid())),
        Value::uuids(asked.keys().map(|(conversation, _)| *conversation.as_uuid())),
        Value::ints(asked.values().map(|(delivered, _)| delivered.as_stored())),
        Value::ints(asked.values().map(|(_, read)| read.as_stored())),
    ];
    let known = |seq: Seq| Some(seq).filter(|seq| *seq > Seq::ZERO);
    let mut moved = Vec::new();
    for row in connection.each(&MARK, values).await? {
        moved.push(Mark {
            user: row.user(0)?,
            conversation: row.conversation(1)?,
            delivered: known(row.seq(2)?),
            read: known(row.seq(3)?),
        });
    }
    Ok(moved)
}

pub(in crate::store) async fn mark<B: Backend>(
    backend: &B,
    marks: &[Mark],
) -> std::result::Result<Vec<Marked>, StoreError> {
    if marks.is_empty() {
        return Ok(Vec::new());
    }
    let moved = backend.once(asked(marks), |connection, asked| Box::pin(move_forward(connection, asked)));
    let mut moved = unrefused(moved.await)?;
    let order = |mark: &Mark| {
        marks.iter().position(|one| (one.user, one.conversation) == (mark.user, mark.conversation))
    };
    moved.sort_by_cached_key(order);
    let rosters = backend.rosters();
    let told: Vec<ConversationId> = moved.iter().map(|mark| mark.conversation).collect();
    let read = backend.read((rosters.clone(), told), |connection, (rosters, told)| {
        Box::pin(rosters_of(connection, rosters, told.clone()))
    });
    // The receipts are stored even if this fails: a user who misses one receives it with the next.
    let present = unrefused(read.await).unwrap_or_default();
    for (conversation, roster) in &present {
        rosters.keep(*conversation, roster.clone()).await;
    }
    let told = |mark: Mark| Marked { mark, audience: audience(&mark, present.get(&mark.conversation)) };
    Ok(moved.into_iter().map(told).collect())
}

/// The users who receive a receipt: in a channel only the user's own devices.
fn audience(mark: &Mark, roster: Option<&Roster>) -> Arc<[UserId]> {
    match (mark.conversation.kind(), roster) {
        (ConversationKind::Direct | ConversationKind::Group, Some(roster)) => roster.users.clone(),
        (_, _) => [mark.user].into(),
    }
}
