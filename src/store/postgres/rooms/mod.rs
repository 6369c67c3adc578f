//! Conversations and memberships: making and listing them.

mod create;
mod listing;

pub(super) use create::create;
pub(super) use listing::{acquaintances, conversation, conversations, member, members};

use std::sync::Arc;

use uuid::Uuid;

use super::PostgresStore;
use super::link::Link;
use super::roster::rosters_of;
use super::rows::Pg;
use super::work::{read, unrefused};
use crate::domain::{ConversationId, ConversationKind, UserId};
use crate::store::StoreError;
use crate::store::shared::columns::Columns;
use crate::store::sql;

/// The members for hints such as typing, at the version the conversation has now.
pub(super) async fn audience(store: &PostgresStore, id: ConversationId) -> Result<Arc<[UserId]>, StoreError> {
    if id.kind() == ConversationKind::Channel {
        return Ok(Arc::from([]));
    }
    let found = unrefused(read!(store, reader, |link| rosters_of(link, &store.rosters, &[id])))?;
    let Some(roster) = found.get(&id) else { return Ok(Arc::from([])) };
    store.rosters.keep(id, roster.clone()).await;
    Ok(Arc::clone(&roster.users))
}

/// An account that somebody wants in a conversation with them.
pub(super) struct Invited {
    /// The invited user has blocked the actor.
    pub blocks_actor: bool,
    /// The actor has blocked the invited user.
    pub blocked_by_actor: bool,
}

/// The living accounts among `users` as `actor` finds them.
pub(super) async fn invited(link: &mut Link, actor: UserId, users: &[UserId]) -> sql::Result<Vec<Invited>> {
    let users: Vec<Uuid> = users.iter().map(|user| *user.as_uuid()).collect();
    let statement = sqlx::query(
        "SELECT EXISTS (SELECT 1 FROM blocks WHERE blocker = u.id AND blocked = $1), \
         EXISTS (SELECT 1 FROM blocks WHERE blocker = $1 AND blocked = u.id) \
         FROM users u WHERE u.id = ANY ($2) AND u.erased_at IS NULL",
    );
    let rows = link.all(statement.bind(*actor.as_uuid()).bind(users)).await?;
    let read = |row: &Pg| Ok(Invited { blocks_actor: row.flag(0)?, blocked_by_actor: row.flag(1)? });
    rows.iter().map(read).collect()
}
