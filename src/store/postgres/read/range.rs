//! A stretch of one conversation's events, from a copy that is new enough.

use super::replica_reads::{Ask, read_with};
use crate::domain::UserId;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::connection::Connection;
use crate::store::sql;
use crate::store::sql::range::{Key, Seen, range as events};
use crate::store::{Outcome, RangeEvents, RangeQuery};

pub(in crate::store::postgres) async fn range(
    store: &PostgresStore,
    user: UserId,
    query: RangeQuery,
) -> Outcome<RangeEvents> {
    read_with(store, query.conversation, user, |key| Range { key, query }).await
}

#[derive(Clone)]
struct Range {
    key: Key,
    query: RangeQuery,
}

impl Ask for Range {
    type Answer = RangeEvents;

    async fn read(&self, connection: &mut Connection) -> sql::Result<Option<Seen<RangeEvents>>> {
        events(connection, &self.key, &self.query).await
    }
}
