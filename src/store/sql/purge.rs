//! Removing what was said in a conversation that was deleted: in steps that each hold their rows for a moment only. How far it
//! came is in the conversation's row, so any process goes on at any time.

use super::{Backend, Connection, Result, Sql, statement, unrefused, values};
use crate::store::shared::codec::BLANK_REACTION;
use crate::store::shared::columns::Columns;
use crate::store::{Purged, StoreError};

/// How many events one step goes over.
const STEP: u64 = 500;

const NEXT: Sql =
    statement!("SELECT id, last_seq, purged_seq FROM conversations WHERE purging ORDER BY id LIMIT 1");

/// Keys and reactions go first, while the events still say which they are.
const BLANK: [Sql; 4] = [
    statement! {
        postgres: "UPDATE sends s SET fingerprint = NULL FROM events e \
                   WHERE e.conversation = $1 AND e.seq BETWEEN $2 AND $3 AND e.kind IN ({message}, {edit}) \
                   AND s.sender = e.sender AND s.client_id = e.client_id",
        sqlite: "UPDATE sends SET fingerprint = NULL FROM (SELECT sender, client_id FROM events \
                 WHERE conversation = $1 AND seq BETWEEN $2 AND $3 AND kind IN ({message}, {edit})) v \
                 WHERE sends.sender = v.sender AND sends.client_id = v.client_id",
    },
    statement! {
        postgres: "DELETE FROM reactions r USING events e \
                   WHERE e.conversation = $1 AND e.seq BETWEEN $2 AND $3 AND e.kind = {reaction} \
                   AND r.user_id = e.sender AND r.conversation = e.conversation AND r.seq = e.target_seq",
        sqlite: "DELETE FROM reactions WHERE (user_id, conversation, seq) IN (SELECT sender, conversation, target_seq FROM events \
                 WHERE conversation = $1 AND seq BETWEEN $2 AND $3 AND kind = {reaction})",
    },
    statement!("DELETE FROM reaction_counts WHERE conversation = $1 AND seq BETWEEN $2 AND $3"),
    // Names that the conversation had go too; what it ended with stays.
    statement! {
        postgres: "UPDATE events SET \
                   body = CASE WHEN kind IN ({message}, {edit}) THEN NULL ELSE body END, deleted = deleted OR kind = {message}, \
                   extra = CASE kind WHEN {message} THEN NULL WHEN {edit} THEN NULL WHEN {reaction} THEN $4 ELSE (extra::jsonb - 'name')::text END \
                   WHERE conversation = $1 AND seq BETWEEN $2 AND $3 AND kind IN ({message}, {edit}, {reaction}, {changed})",
        sqlite: "UPDATE events SET \
                 body = CASE WHEN kind IN ({message}, {edit}) THEN NULL ELSE body END, deleted = deleted OR kind = {message}, \
                 extra = CASE kind WHEN {message} THEN NULL WHEN {edit} THEN NULL WHEN {reaction} THEN $4 ELSE json_remove(extra, '$.name') END \
                 WHERE conversation = $1 AND seq BETWEEN $2 AND $3 AND kind IN ({message}, {edit}, {reaction}, {changed})",
    },
];

const DONE: Sql =
    statement!("UPDATE conversations SET purged_seq = $2, purging = purging AND $3 WHERE id = $1");

async fn step<C: Connection>(connection: &mut C) -> Result<Option<Purged>> {
    let Some(row) = connection.optional(&NEXT, &[]).await? else { return Ok(None) };
    let (conversation, end, before) = (row.conversation(0)?, row.seq(1)?, row.seq(2)?);
    let (first, last) = (before.next(), before.plus(STEP).min(end));
    for sql in &BLANK {
        connection.run(sql, values![conversation, first, last, BLANK_REACTION]).await?;
    }
    connection.run(&DONE, values![conversation, last, last < end]).await?;
    Ok(Some(Purged {
        conversation,
        events: last.get().saturating_sub(before.get()),
        left: end.get() - last.get(),
    }))
}

/// One step; `None` when nothing is left to remove.
pub(in crate::store) async fn purge<B: Backend>(
    backend: &B,
) -> std::result::Result<Option<Purged>, StoreError> {
    unrefused(backend.write((), |connection, ()| Box::pin(step(connection))).await)
}

const LEFT: Sql = statement!("SELECT count(*) FROM conversations WHERE purging");

async fn left<C: Connection>(connection: &mut C) -> Result<u64> {
    connection.one(&LEFT, &[]).await?.count(0)
}

/// How many conversations have content left.
pub(in crate::store) async fn purging<B: Backend>(backend: &B) -> std::result::Result<u64, StoreError> {
    unrefused(backend.read((), |connection, ()| Box::pin(left(connection))).await)
}
