//! The log on every backend: one rule per operation, or the backend itself where the databases differ in
//! nature.

use async_trait::async_trait;

use super::{Backend, change, heads, receipts, tail};
use crate::domain::{Committed, ConversationId, Position, Seq, Timestamp, UserId};
use crate::store::{
    AppendError, Appended, Change, Changed, Cursor, Head, Heads, HistoryPage, HistoryQuery, Log,
    MovedReceipt, NewMessage, Outcome, RangeEvents, RangeQuery, Receipt, Running, StoreError, Tail,
};

#[async_trait]
impl<B: Backend> Log for B {
    async fn append(
        &self,
        batch: &[NewMessage],
        now: Timestamp,
    ) -> Result<Vec<Result<Appended, AppendError>>, StoreError> {
        Backend::append(self, batch, now).await
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

    async fn move_receipts(
        &self,
        receipts: &[Receipt],
        _now: Timestamp,
    ) -> Result<Vec<MovedReceipt>, StoreError> {
        receipts::move_receipts(self, receipts).await
    }

    async fn range(&self, user: UserId, query: RangeQuery) -> Outcome<RangeEvents> {
        self.look_up(user, query).await
    }

    async fn history(&self, user: UserId, query: HistoryQuery) -> Outcome<HistoryPage> {
        self.look_up(user, query).await
    }

    async fn heads(&self, user: UserId, since: Option<Cursor>) -> Result<Heads, StoreError> {
        heads::heads(self, user, since).await
    }

    async fn heads_of(
        &self,
        user: UserId,
        conversations: &[ConversationId],
    ) -> Result<Vec<Head>, StoreError> {
        heads::heads_of(self, user, conversations).await
    }

    async fn stretch(
        &self,
        conversation: ConversationId,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<Committed>, StoreError> {
        tail::stretch(self, conversation, after, limit).await
    }

    async fn tail(&self, after: Position, limit: usize) -> Result<Tail, StoreError> {
        tail::tail(self, after, limit).await
    }

    async fn ahead(&self, after: Position, limit: usize) -> Result<Tail, StoreError> {
        tail::ahead(self, after, limit).await
    }

    async fn running(&self) -> Result<Running, StoreError> {
        Backend::running(self).await
    }

    async fn end(&self) -> Result<Cursor, StoreError> {
        heads::end(self).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Backend::ping(self).await
    }
}
