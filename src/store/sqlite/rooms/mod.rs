//! Conversations and memberships: making and listing them.

mod create;
pub(super) mod insert;
mod listing;

pub(super) use create::create;
pub(super) use listing::{acquaintances, conversation, conversations, member, members};

use std::sync::Arc;

use super::SqliteStore;
use super::lane::Phase;
use super::roster::rosters_of;
use super::state::room_of;
use crate::domain::{ConversationId, ConversationKind, UserId};
use crate::store::StoreError;
use crate::store::shared::columns::Columns;
use crate::store::sql::{self, Stop};

/// The members for hints such as typing, at the version the conversation has now.
pub(super) async fn audience(store: &SqliteStore, id: ConversationId) -> Result<Arc<[UserId]>, StoreError> {
    if id.kind() == ConversationKind::Channel {
        return Ok(Arc::from([]));
    }
    let work = async {
        let mut transaction = store.reader.begin().await?;
        let connection = &mut *transaction;
        let worked = async {
            let nobody = UserId::from_uuid(uuid::Uuid::nil());
            let (Some(room), _) = room_of(connection, id, nobody).await? else { return Ok(None) };
            Ok(rosters_of(&store.rosters, connection, &[&room]).await?.into_iter().next())
        }
        .await;
        transaction.end(worked.map_err(|error: sql::Error| Stop::from(error))).await
    };
    let roster = Phase::default().bound(store.timeout, work).await?.unwrap_or_default();
    let Some(roster) = roster else { return Ok(Arc::from([])) };
    store.rosters.keep(id, roster.clone()).await;
    Ok(roster.users)
}

/// An account that somebody wants in a conversation with them.
pub(super) struct Invited {
    /// The invited user has blocked the actor.
    pub blocks_actor: bool,
    /// The actor has blocked the invited user.
    pub blocked_by_actor: bool,
}

static INVITED: super::rows::MultiRow = super::rows::MultiRow::new(
    "WITH k (user_id, actor) AS (VALUES ",
    2,
    ") SELECT EXISTS (SELECT 1 FROM blocks WHERE blocker = k.user_id AND blocked = k.actor), \
     EXISTS (SELECT 1 FROM blocks WHERE blocker = k.actor AND blocked = k.user_id) \
     FROM k CROSS JOIN users u ON u.id = k.user_id WHERE u.erased_at IS NULL",
);

/// The living accounts among `users` as `actor` finds them.
pub(super) async fn invited(
    connection: &mut sqlx::SqliteConnection,
    actor: UserId,
    users: &[UserId],
) -> sql::Result<Vec<Invited>> {
    let rows =
        INVITED.fetch(connection, users, |query, user| query.bind(*user.as_uuid()).bind(*actor.as_uuid()));
    let read = |row: &sqlx::sqlite::SqliteRow| {
        Ok(Invited { blocks_actor: row.flag(0)?, blocked_by_actor: row.flag(1)? })
    };
    rows.await?.iter().map(read).collect()
}
