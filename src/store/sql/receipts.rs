//! Receipts: the seqs up to which devices have received and users have read.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::roster::rosters_of;
use super::{Backend, Connection, Result, Sql, Value, statement, values};
use crate::domain::{ConversationId, ConversationKind, Seq, UserId};
use crate::store::shared::columns::Columns;
use crate::store::shared::roster::Roster;
use crate::store::{MovedReceipt, Receipt, StoreError};

/// Moves positions forward, at most to the conversation's end, and answers those that moved. A read position
/// is part of what the user's other devices resume by, so it takes a position in the log; a delivered one is
/// not.
const MOVE_RECEIPT: Sql = statement! {
    postgres: "SELECT user_id, conversation, delivered, read FROM tidings_move_receipts($1, $2, $3, $4)",
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

fn asked(receipts: &[Receipt]) -> Asked {
    let mut asked = Asked::new();
    for receipt in receipts {
        let (delivered, read) = asked.entry((receipt.conversation, receipt.user)).or_default();
        *read = (*read).max(receipt.read.unwrap_or_default());
        *delivered = (*delivered).max(receipt.delivered.unwrap_or_default()).max(*read);
    }
    asked
}

async fn move_forward<C: Connection>(connection: &mut C, asked: &Asked) -> Result<Vec<Receipt>> {
    let values = values![
        Value::uuids(asked.keys().map(|(_, user)| *user.as_uuid())),
        Value::uuids(asked.keys().map(|(conversation, _)| *conversation.as_uuid())),
        Value::ints(asked.values().map(|(delivered, _)| delivered.as_stored())),
        Value::ints(asked.values().map(|(_, read)| read.as_stored())),
    ];
    let known = |seq: Seq| Some(seq).filter(|seq| *seq > Seq::ZERO);
    let mut moved = Vec::new();
    for row in connection.each(&MOVE_RECEIPT, values).await? {
        moved.push(Receipt {
            user: row.user(0)?,
            conversation: row.conversation(1)?,
            delivered: known(row.seq(2)?),
            read: known(row.seq(3)?),
        });
    }
    Ok(moved)
}

pub(in crate::store) async fn move_receipts<B: Backend>(
    backend: &B,
    receipts: &[Receipt],
) -> std::result::Result<Vec<MovedReceipt>, StoreError> {
    if receipts.is_empty() {
        return Ok(Vec::new());
    }
    let moved = backend.once(asked(receipts), |connection, asked| Box::pin(move_forward(connection, asked)));
    let mut moved = moved.await?;
    let order = |receipt: &Receipt| {
        receipts.iter().position(|one| (one.user, one.conversation) == (receipt.user, receipt.conversation))
    };
    moved.sort_by_cached_key(order);
    let rosters = backend.rosters();
    let told: Vec<ConversationId> = moved.iter().map(|receipt| receipt.conversation).collect();
    let read = backend.read((rosters.clone(), told), |connection, (rosters, told)| {
        Box::pin(rosters_of(connection, rosters, told.clone()))
    });
    // The receipts are stored, also when this fails: a user who is not told of one learns it with the next.
    let present = read.await.unwrap_or_default();
    rosters.keep(present.iter().map(|(conversation, roster)| (*conversation, roster.clone())));
    let told = |receipt: Receipt| MovedReceipt {
        receipt,
        audience: audience(&receipt, present.get(&receipt.conversation)),
    };
    Ok(moved.into_iter().map(told).collect())
}

/// Who is told of a receipt: in a channel nobody but the user's own devices.
fn audience(receipt: &Receipt, roster: Option<&Roster>) -> Arc<[UserId]> {
    match (receipt.conversation.kind(), roster) {
        (ConversationKind::Direct | ConversationKind::Group, Some(roster)) => roster.users.clone(),
        (_, _) => [receipt.user].into(),
    }
}
