//! A log that counts its calls and fails on request of the test.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use tidings::domain::{Committed, ConversationId, Position, Receipt, Seq, Timestamp, UserId};
use tidings::store::{
    AppendError, Appended, Change, Changed, Cursor, Head, Heads, HistoryPage, HistoryQuery, Log,
    MovedReceipt, NewMessage, Outcome, RangeEvents, RangeQuery, Running, SharedStore, StoreError, Tail,
};

pub struct Counted {
    log: SharedStore,
    calls: AtomicU64,
    /// While set, no stretch can be read.
    pub damaged: AtomicBool,
}

impl Counted {
    pub fn over(log: SharedStore) -> Arc<Self> {
        Arc::new(Self { log, calls: AtomicU64::new(0), damaged: AtomicBool::new(false) })
    }

    /// Calls so far, each a transaction, without those that nodes make all the time to follow the log.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    fn counted(&self) -> &SharedStore {
        self.calls.fetch_add(1, Ordering::SeqCst);
        &self.log
    }
}

#[async_trait]
impl Log for Counted {
    async fn append(
        &self,
        batch: &[NewMessage],
        now: Timestamp,
    ) -> Result<Vec<Result<Appended, AppendError>>, StoreError> {
        self.counted().append(batch, now).await
    }

    async fn change(
        &self,
        actor: UserId,
        conversation: ConversationId,
        change: &Change,
        now: Timestamp,
    ) -> Outcome<Changed> {
        self.counted().change(actor, conversation, change, now).await
    }

    async fn move_receipts(
        &self,
        receipts: &[Receipt],
        now: Timestamp,
    ) -> Result<Vec<MovedReceipt>, StoreError> {
        self.counted().move_receipts(receipts, now).await
    }

    async fn range(&self, user: UserId, query: RangeQuery) -> Outcome<RangeEvents> {
        self.counted().range(user, query).await
    }

    async fn history(&self, user: UserId, query: HistoryQuery) -> Outcome<HistoryPage> {
        self.counted().history(user, query).await
    }

    async fn heads(&self, user: UserId, since: Option<Cursor>) -> Result<Heads, StoreError> {
        self.counted().heads(user, since).await
    }

    async fn heads_of(
        &self,
        user: UserId,
        conversations: &[ConversationId],
    ) -> Result<Vec<Head>, StoreError> {
        self.counted().heads_of(user, conversations).await
    }

    async fn stretch(
        &self,
        conversation: ConversationId,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<Committed>, StoreError> {
        let log = self.counted();
        if self.damaged.load(Ordering::SeqCst) {
            return Err(StoreError::Inconsistent("damaged".to_owned()));
        }
        log.stretch(conversation, after, limit).await
    }

    async fn tail(&self, after: Position, limit: usize) -> Result<Tail, StoreError> {
        self.log.tail(after, limit).await
    }

    async fn ahead(&self, after: Position, limit: usize) -> Result<Tail, StoreError> {
        self.log.ahead(after, limit).await
    }

    async fn running(&self) -> Result<Running, StoreError> {
        self.log.running().await
    }

    async fn end(&self) -> Result<Cursor, StoreError> {
        self.log.end().await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.counted().ping().await
    }
}
