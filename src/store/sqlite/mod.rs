//! The embedded store: one SQLite file, nothing to install.
//!
//! One connection writes, in the order callers arrive; a few read, each call from one snapshot of the write-ahead log.
//! Every operation is one transaction with an application timeout. After a restart everything acknowledged is there
//! ([`Durability::Full`]); content that a deletion left behind goes on being removed when the store is opened.

mod append;
mod clean;
mod connection;
mod insert;
mod journal;
mod lane;
mod open;
mod options;
mod position;
mod read;
mod roster;
mod rows;
mod scrub;
mod state;

use std::time::Duration;

use async_trait::async_trait;
use sqlx::sqlite::SqliteConnection;

pub use options::{Durability, SqliteOptions};

use super::shared::roster::Rosters;
use super::sql::{self, Purpose, Rule, Stop};
use super::{
    AppendError, Appended, Change, Changed, Cursor, Head, Heads, HistoryPage, HistoryQuery, Log, Mark,
    Marked, NewMessage, Outcome, Purged, RangeEvents, RangeQuery, Running, StoreError, Tail,
};
use crate::domain::{Committed, ConversationId, Limits, Position, Seq, Timestamp, UserId};
use lane::Lane;

/// A database file, open. Shared behind an `Arc`; closing is [`SqliteStore::close`] or dropping the last handle.
#[derive(Debug)]
pub struct SqliteStore {
    writer: Lane,
    reader: Lane,
    readers: usize,
    rosters: Rosters,
    timeout: Duration,
    limits: Limits,
    scrub: scrub::Scrub,
}

impl sql::Transactions for SqliteStore {
    type Transaction = lane::Transaction;

    async fn begin(&self, purpose: Purpose) -> Result<lane::Transaction, StoreError> {
        match purpose {
            Purpose::Write | Purpose::Once => self.writer.begin().await,
            Purpose::Read | Purpose::Tail => self.reader.begin().await,
        }
    }
}

impl sql::Backend for SqliteStore {
    type Connection = SqliteConnection;

    const ONE_WRITER: bool = true;

    fn rosters(&self) -> &Rosters {
        &self.rosters
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    async fn scrub(&self) -> Result<bool, StoreError> {
        scrub::scrub(self).await
    }

    async fn operate<A, T, E>(
        &self,
        purpose: Purpose,
        arguments: A,
        rule: Rule<SqliteConnection, A, T, E>,
    ) -> Outcome<T>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
        E: Into<Stop> + Send + 'static,
    {
        sql::operate_here(self, self.timeout, purpose, arguments, rule).await
    }
}

#[async_trait]
impl Log for SqliteStore {
    async fn append(
        &self,
        batch: &[NewMessage],
        now: Timestamp,
    ) -> Result<Vec<Result<Appended, AppendError>>, StoreError> {
        append::append(self, batch, now).await
    }

    async fn change(
        &self,
        actor: UserId,
        conversation: ConversationId,
        change: &Change,
        now: Timestamp,
    ) -> Outcome<Changed> {
        sql::change::change(self, actor, conversation, change, now).await
    }

    async fn purge(&self) -> Result<Option<Purged>, StoreError> {
        sql::purge::purge(self).await
    }

    async fn purging(&self) -> Result<u64, StoreError> {
        sql::purge::purging(self).await
    }

    async fn mark(&self, marks: &[Mark], _now: Timestamp) -> Result<Vec<Marked>, StoreError> {
        sql::marks::mark(self, marks).await
    }

    async fn range(&self, user: UserId, query: RangeQuery) -> Outcome<RangeEvents> {
        read::range(self, user, query).await
    }

    async fn history(&self, user: UserId, query: HistoryQuery) -> Outcome<HistoryPage> {
        read::history(self, user, query).await
    }

    async fn heads(&self, user: UserId, since: Option<Cursor>) -> Result<Heads, StoreError> {
        sql::heads::heads(self, user, since).await
    }

    async fn heads_of(
        &self,
        user: UserId,
        conversations: &[ConversationId],
    ) -> Result<Vec<Head>, StoreError> {
        sql::heads::heads_of(self, user, conversations).await
    }

    async fn stretch(
        &self,
        conversation: ConversationId,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<Committed>, StoreError> {
        sql::tail::stretch(self, conversation, after, limit).await
    }

    async fn tail(&self, after: Position, limit: usize) -> Result<Tail, StoreError> {
        sql::tail::tail(self, after, limit).await
    }

    async fn ahead(&self, after: Position, limit: usize) -> Result<Tail, StoreError> {
        sql::tail::ahead(self, after, limit).await
    }

    async fn running(&self) -> Result<Running, StoreError> {
        // One writer at a time: nothing is committed past the log's end.
        Ok(Running { numbers: Vec::new(), next: self.end().await?.position })
    }

    async fn end(&self) -> Result<Cursor, StoreError> {
        sql::heads::end(self).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        open::ping(self).await
    }
}
