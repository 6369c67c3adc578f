//! Removing a deleted conversation's content: in steps that each hold its rows for a moment only.

use crate::domain::{ConversationId, Seq};
use crate::store::StoreError;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::link::Link;
use crate::store::postgres::work::{read, unrefused, write};
use crate::store::shared::codec::BLANK_REACTION;
use crate::store::shared::columns::Columns;
use crate::store::sql;

/// How many events one step goes over.
const STEP: u64 = 500;

/// How many unfinished purges are gone on with at once.
const MOST: i64 = 100;

/// Purges right after the deletion. A failure leaves the mark `purging`, and the next start goes on.
pub(super) async fn after_commit(store: &PostgresStore, conversation: ConversationId) {
    if let Err(error) = purge(store, conversation).await {
        tracing::warn!(%error, %conversation, "content of a deleted conversation is left for the next start to remove");
    }
}

/// Goes on with what an earlier run left. Several processes may do so at once: each step may be repeated.
pub(in crate::store::postgres) async fn purge_all(store: &PostgresStore) -> Result<(), StoreError> {
    for id in unrefused(read!(store, reader, |link| unfinished(link)))? {
        purge(store, id).await?;
    }
    Ok(())
}

async fn unfinished(link: &mut Link) -> sql::Result<Vec<ConversationId>> {
    let statement = sqlx::query("SELECT id FROM conversations WHERE purging ORDER BY id LIMIT $1");
    let rows = link.all(statement.bind(MOST)).await?;
    rows.iter().map(|row| row.conversation(0)).collect()
}

async fn purge(store: &PostgresStore, conversation: ConversationId) -> Result<(), StoreError> {
    let mut from = Some(Seq::ZERO.next());
    while let Some(first) = from {
        from = unrefused(write!(store, |link| step(link, conversation, first)))?;
    }
    Ok(())
}

const BLANK: &str = "\
WITH keys AS ( \
    UPDATE sends s SET fingerprint = NULL FROM events e \
    WHERE e.conversation = $1 AND e.seq BETWEEN $2 AND $3 AND e.kind = 0 AND s.sender = e.sender AND s.client_id = e.client_id \
), said AS ( \
    DELETE FROM reactions r USING events e \
    WHERE e.conversation = $1 AND e.seq BETWEEN $2 AND $3 AND e.kind = 3 \
      AND r.user_id = e.sender AND r.conversation = e.conversation AND r.seq = e.target_seq \
), counts AS ( \
    DELETE FROM reaction_counts WHERE conversation = $1 AND seq BETWEEN $2 AND $3 \
) \
UPDATE events SET \
    body = CASE WHEN kind IN (0, 1) THEN NULL ELSE body END, \
    deleted = deleted OR kind = 0, \
    extra = CASE WHEN kind IN (0, 1) THEN NULL WHEN kind = 3 THEN $4 \
        WHEN kind = 6 THEN (extra::jsonb - 'name')::text ELSE extra END \
WHERE conversation = $1 AND seq BETWEEN $2 AND $3 AND kind IN (0, 1, 3, 6)";

/// Blanks one stretch; answers where the next begins, `None` after the last. Names that the conversation had go too; what
/// it ended with stays.
async fn step(link: &mut Link, conversation: ConversationId, first: Seq) -> sql::Result<Option<Seq>> {
    let last = first.plus(STEP - 1);
    let id = *conversation.as_uuid();
    let blank = sqlx::query(BLANK).bind(id).bind(first.as_stored()).bind(last.as_stored());
    link.run(blank.bind(BLANK_REACTION)).await?;
    let end = sqlx::query("SELECT last_seq FROM conversations WHERE id = $1").bind(id);
    if last < link.one(end).await?.seq(0)? {
        return Ok(Some(last.next()));
    }
    link.run(sqlx::query("UPDATE conversations SET purging = false WHERE id = $1").bind(id)).await?;
    Ok(None)
}
