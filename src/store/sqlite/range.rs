//! A stretch of one conversation's events, from the snapshot that tells who may see it.

use super::SqliteStore;
use super::connection::Connection;
use crate::domain::UserId;
use crate::store::shared::columns::impossible;
use crate::store::sql::authorize::key;
use crate::store::sql::range::range as events;
use crate::store::sql::{Backend, Stop};
use crate::store::{Outcome, RangeEvents, RangeQuery};

pub(super) async fn range(store: &SqliteStore, user: UserId, query: RangeQuery) -> Outcome<RangeEvents> {
    let read = store
        .read((user, query), |connection, (user, query)| Box::pin(in_snapshot(connection, *user, *query)));
    read.await
}

async fn in_snapshot(
    connection: &mut Connection,
    user: UserId,
    query: RangeQuery,
) -> Result<RangeEvents, Stop> {
    let key = key(connection, query.conversation, user).await?;
    let seen = events(connection, &key, &query).await?;
    Ok(seen.ok_or_else(|| impossible("a conversation that is gone from its own snapshot"))?.answer)
}
