//! The embedded store: one SQLite file, nothing to install.
//!
//! One connection writes, in the order callers arrive; a few read, each call from one snapshot of the write-ahead log.
//! Every operation is one transaction with an application timeout. After a restart everything acknowledged is there
//! ([`Durability::Full`]); content that a deletion left behind goes on being removed when the store is opened.

mod append;
mod change;
mod connection;
mod erase;
mod journal;
mod lane;
mod marks;
mod open;
mod options;
mod position;
mod read;
mod rooms;
mod roster;
mod rows;
mod state;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::sqlite::SqliteConnection;

pub use options::{Durability, SqliteOptions};

use super::shared::roster::Rosters;
use super::sql::{self, Purpose, Rule, Stop};
use super::{
    AppendError, Appended, Change, Changed, ConversationView, Created, Cursor, Heads, HistoryPage,
    HistoryQuery, Log, Mark, Marked, MemberView, NewConversation, NewMessage, Outcome, Page, RangeEvents,
    RangeQuery, Rooms, StoreError, Tail,
};
use crate::domain::{Committed, ConversationId, Limits, Member, Position, Seq, Timestamp, UserId};
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
    epoch: u64,
}

impl SqliteStore {
    /// Waits for operations at work, refuses further ones and closes the file.
    pub async fn close(&self) {
        self.reader.close(self.readers).await;
        self.writer.close(1).await;
    }
}

impl sql::Transactions for SqliteStore {
    type Transaction = lane::Transaction;

    async fn begin(&self, purpose: Purpose) -> Result<lane::Transaction, StoreError> {
        match purpose {
            Purpose::Write | Purpose::Once => self.writer.begin().await,
            Purpose::Read => self.reader.begin().await,
        }
    }
}

impl sql::Backend for SqliteStore {
    type Connection = SqliteConnection;

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
        change::change(self, actor, conversation, change, now).await
    }

    async fn mark(&self, marks: &[Mark], _now: Timestamp) -> Result<Vec<Marked>, StoreError> {
        marks::mark(self, marks).await
    }

    async fn range(&self, user: UserId, query: RangeQuery) -> Outcome<RangeEvents> {
        read::range(self, user, query).await
    }

    async fn history(&self, user: UserId, query: HistoryQuery) -> Outcome<HistoryPage> {
        read::history(self, user, query).await
    }

    async fn heads(&self, user: UserId, since: Option<Cursor>) -> Result<Heads, StoreError> {
        read::heads(self, user, since).await
    }

    async fn stretch(
        &self,
        conversation: ConversationId,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<Committed>, StoreError> {
        read::stretch(self, conversation, after, limit).await
    }

    async fn tail(&self, after: Position, limit: usize) -> Result<Tail, StoreError> {
        read::tail(self, after, limit).await
    }

    async fn end(&self) -> Result<Cursor, StoreError> {
        read::end(self).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        open::ping(self).await
    }
}

#[async_trait]
impl Rooms for SqliteStore {
    async fn create(&self, new: &NewConversation, now: Timestamp) -> Outcome<Created> {
        rooms::create(self, new, now).await
    }

    async fn conversation(
        &self,
        user: UserId,
        id: ConversationId,
    ) -> Result<Option<ConversationView>, StoreError> {
        rooms::conversation(self, user, id).await
    }

    async fn conversations(
        &self,
        user: UserId,
        after: Option<ConversationId>,
        limit: usize,
    ) -> Result<Page<ConversationView, ConversationId>, StoreError> {
        rooms::conversations(self, user, after, limit).await
    }

    async fn members(
        &self,
        user: UserId,
        conversation: ConversationId,
        after: Option<UserId>,
        limit: usize,
    ) -> Outcome<Page<MemberView, UserId>> {
        rooms::members(self, user, conversation, after, limit).await
    }

    async fn member(&self, conversation: ConversationId, user: UserId) -> Result<Option<Member>, StoreError> {
        rooms::member(self, conversation, user).await
    }

    async fn audience(&self, conversation: ConversationId) -> Result<Arc<[UserId]>, StoreError> {
        rooms::audience(self, conversation).await
    }

    async fn acquaintances(&self, user: UserId, others: &[UserId]) -> Result<Vec<UserId>, StoreError> {
        rooms::acquaintances(self, user, others).await
    }
}
