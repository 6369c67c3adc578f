//! Removing a deleted conversation's content: in steps that each hold the writer for a moment only.

use std::time::Duration;

use sqlx::sqlite::SqliteConnection;

use crate::domain::{ConversationId, Seq};
use crate::store::StoreError;
use crate::store::shared::codec::BLANK_REACTION;
use crate::store::shared::columns::Columns;
use crate::store::sql::{self, Stop};
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::lane::Phase;

/// How many events one step goes over.
const STEP: u64 = 500;

/// Purges right after the deletion. A failure leaves the mark `purging`, and the next start goes on.
pub(super) async fn after_commit(store: &SqliteStore, conversation: ConversationId) {
    if let Err(error) = purge(store, conversation).await {
        tracing::warn!(%error, %conversation, "content of a deleted conversation is left for the next start to remove");
    }
}

/// Goes on with what an earlier run left.
pub(in crate::store::sqlite) async fn purge_all(store: &SqliteStore) -> Result<(), StoreError> {
    let phase = Phase::default();
    let work = async {
        let mut transaction = store.reader.begin().await?;
        let rows =
            sqlx::query("SELECT id FROM conversations WHERE purging = 1").fetch_all(&mut *transaction).await;
        let ids = rows
            .map_err(sql::Error::from)
            .and_then(|rows| rows.iter().map(|row| row.conversation(0)).collect::<sql::Result<Vec<_>>>());
        transaction.end(ids.map_err(Stop::from)).await
    };
    for id in phase.bound(store.timeout, work).await?.unwrap_or_default() {
        purge(store, id).await?;
    }
    Ok(())
}

async fn purge(store: &SqliteStore, conversation: ConversationId) -> Result<(), StoreError> {
    let mut from = Some(Seq::ZERO.next());
    while let Some(first) = from {
        let phase = Phase::default();
        let work = async {
            let mut transaction = store.writer.begin().await?;
            let worked = step(&mut transaction, conversation, first).await;
            transaction.finish(worked.map_err(Stop::from), &phase).await
        };
        from = phase.bound(store.timeout, work).await?.unwrap_or_default();
    }
    checkpoint(store).await
}

/// Blanks one stretch; answers where the next begins, `None` after the last.
async fn step(
    connection: &mut SqliteConnection,
    conversation: ConversationId,
    first: Seq,
) -> sql::Result<Option<Seq>> {
    let last = first.plus(STEP - 1);
    for statement in [
        "UPDATE sends SET fingerprint = NULL FROM (SELECT sender, client_id FROM events \
         WHERE conversation = ?1 AND seq BETWEEN ?2 AND ?3 AND kind = 0) v \
         WHERE sends.sender = v.sender AND sends.client_id = v.client_id",
        "DELETE FROM reactions WHERE (user_id, conversation, seq) IN (SELECT sender, conversation, target_seq FROM events \
         WHERE conversation = ?1 AND seq BETWEEN ?2 AND ?3 AND kind = 3)",
        "DELETE FROM reaction_counts WHERE conversation = ?1 AND seq BETWEEN ?2 AND ?3",
        "UPDATE events SET body = NULL, extra = NULL, deleted = (kind = 0) \
         WHERE conversation = ?1 AND seq BETWEEN ?2 AND ?3 AND kind IN (0, 1)",
        "UPDATE events SET extra = ?4 WHERE conversation = ?1 AND seq BETWEEN ?2 AND ?3 AND kind = 3",
        // Names that the conversation had; what it ended with stays.
        "UPDATE events SET extra = json_remove(extra, '$.name') \
         WHERE conversation = ?1 AND seq BETWEEN ?2 AND ?3 AND kind = 6",
    ] {
        sqlx::query(statement)
            .bind(*conversation.as_uuid())
            .bind(first.as_stored())
            .bind(last.as_stored())
            .bind(BLANK_REACTION)
            .execute(&mut *connection)
            .await?;
    }
    let end = sqlx::query("SELECT last_seq FROM conversations WHERE id = ?1")
        .bind(*conversation.as_uuid())
        .fetch_one(&mut *connection)
        .await?
        .seq(0)?;
    if last < end {
        return Ok(Some(last.next()));
    }
    sqlx::query("UPDATE conversations SET purging = 0 WHERE id = ?1")
        .bind(*conversation.as_uuid())
        .execute(connection)
        .await?;
    Ok(None)
}

/// Moves the write-ahead log into the file and empties it, since old pages there still hold what was removed. Tried a
/// few times: a reader at work keeps its snapshot's part of the log alive for a moment.
pub(in crate::store::sqlite) async fn checkpoint(store: &SqliteStore) -> Result<(), StoreError> {
    for _ in 0..10 {
        let phase = Phase::default();
        if phase.bound(store.timeout, store.writer.checkpoint()).await? {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tracing::warn!("readers keep parts of the write-ahead log; it is emptied at a later checkpoint");
    Ok(())
}
