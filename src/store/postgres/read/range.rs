//! A stretch of one conversation's events, from a copy that is new enough.

use super::copies::{Ask, read_with};
use crate::domain::UserId;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::link::Link;
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

    async fn read(&self, link: &mut Link) -> sql::Result<Option<Seen<RangeEvents>>> {
        events(link, &self.key, &self.query).await
    }
}
