//! A conversation's settings, and its end.

use sqlx::sqlite::SqliteConnection;

use super::{Made, Request, storable};
use crate::domain::{Changes, ConversationId, EventKind, Refusal, UserId, permissions};
use crate::store::Change;
use crate::store::shared::columns::Columns;
use crate::store::sql::Stop;

pub(super) async fn configure(request: Request<'_>, asked: &Changes) -> Result<Made, Stop> {
    let actor = request.actor;
    let now = &request.room.conversation;
    permissions::may_change_settings(now, request.member()?.member.role)?;
    storable("name", asked.name.as_deref().unwrap_or_default())?;
    let changes = Changes {
        name: asked.name.clone().filter(|name| now.name.as_ref() != Some(name)),
        history: asked.history.filter(|policy| now.history != *policy),
        join: asked.join.filter(|policy| now.join != *policy),
        ..Changes::default()
    };
    if changes == Changes::default() {
        return Ok(Made::before(request.room.settings_seq));
    }
    let mut journal = request.journal().await?;
    let settings = &mut journal.room.conversation;
    settings.name = changes.name.clone().or_else(|| settings.name.take());
    settings.history = changes.history.unwrap_or(settings.history);
    settings.join = changes.join.unwrap_or(settings.join);
    let seq = journal.record(actor, EventKind::ConversationChanged(changes)).await?;
    journal.room.settings_seq = seq;
    Ok(Made { seq, recorded: journal.close().await? })
}

/// Ends the conversation: from the commit on nobody sees it; its content goes in bounded steps after that. The rows of
/// its members stay, so that consumers of the log know whom to tell.
pub(super) async fn delete(request: Request<'_>) -> Result<Made, Stop> {
    let actor = request.actor;
    permissions::may_delete_conversation(&request.room.conversation, request.member()?.member.role)?;
    let now = request.now;
    let mut journal = request.journal().await?;
    let changes = Changes { deleted: true, ..Changes::default() };
    let seq = journal.record(actor, EventKind::ConversationChanged(changes)).await?;
    journal.room.conversation.name = None;
    sqlx::query("UPDATE conversations SET deleted_at = ?2, purging = 1 WHERE id = ?1")
        .bind(*journal.room.id().as_uuid())
        .bind(now.as_unix_ms())
        .execute(&mut *journal.connection)
        .await?;
    Ok(Made { seq, recorded: journal.close().await? })
}

/// There is no such conversation; whoever deleted it hears so again.
pub(super) async fn gone(
    connection: &mut SqliteConnection,
    actor: UserId,
    conversation: ConversationId,
    change: &Change,
) -> Result<Made, Stop> {
    if !matches!(change, Change::DeleteConversation) {
        return Err(Refusal::NotFound.into());
    }
    let row = sqlx::query(
        "SELECT e.seq FROM conversations c JOIN events e ON e.conversation = c.id AND e.seq = c.last_seq \
         WHERE c.id = ?1 AND c.deleted_at IS NOT NULL AND e.sender = ?2",
    )
    .bind(*conversation.as_uuid())
    .bind(*actor.as_uuid())
    .fetch_optional(connection)
    .await?;
    match row {
        Some(row) => Ok(Made::before(row.seq(0)?)),
        None => Err(Refusal::NotFound.into()),
    }
}
