//! An empty store per test, its users, and short functions for their actions.

mod model;
mod postgres;
mod sqlite;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use async_trait::async_trait;
use tidings::domain::{
    ClientId, Committed, ConsentRules, Content, ConversationId, ConversationKind, Event, EventKind,
    HistoryPolicy, JoinPolicy, Limits, Refusal, Role, Seq, Timestamp, User, UserId,
};
use tidings::store::{
    AppendError, Appended, Change, Changed, Head, HistoryQuery, Holder, JobKind, MessageView,
    NewConversation, NewMessage, NewUser, NewUserOutcome, Purged, RangeQuery, Receipt, SharedStore, Step,
    Target,
};
use uuid::Uuid;

pub use self::model::ModelHarness;
pub use self::postgres::PostgresHarness;
pub use self::sqlite::SqliteHarness;

/// Where stores come from.
#[async_trait]
pub trait Harness: Send + Sync {
    /// Opens the store: empty at first, with what was written before when called again.
    async fn store(&self) -> SharedStore;
    /// Closes what [`Harness::store`] opened last, as a process that ends would.
    async fn close(&self);
    /// Lets the log go on by so many positions, as other conversations would.
    async fn skip_positions(&self, by: u64);
    /// Does every event have a position of its own? Else those of one transaction share theirs.
    fn position_per_event(&self) -> bool;
}

/// Small enough to be reached.
fn limits() -> Limits {
    Limits { group_members: 8, conversations: 300, ..Limits::default() }
}

/// For a store that is opened only once.
struct NoHarness;

#[async_trait]
impl Harness for NoHarness {
    async fn store(&self) -> SharedStore {
        panic!("the store was opened by the test itself")
    }

    async fn skip_positions(&self, _by: u64) {}

    fn position_per_event(&self) -> bool {
        false
    }

    async fn close(&self) {}
}

/// A store with a clock that moves a millisecond per call, and ids that count up.
pub struct World {
    pub store: SharedStore,
    pub harness: Box<dyn Harness>,
    ids: AtomicU64,
    now_ms: AtomicI64,
}

/// An empty world over the backend that a copy of the suite is named for, in which nobody is a stranger.
pub async fn fresh(suite: &str) -> World {
    fresh_by(suite, ConsentRules::open()).await
}

/// The same, with these rules about strangers.
pub async fn fresh_by(suite: &str, consent: ConsentRules) -> World {
    match suite.rsplit("::").next() {
        Some("over_sqlite") => World::over(Box::new(SqliteHarness::new().with(consent))).await,
        Some("over_model") => World::over(Box::new(ModelHarness::new().with(consent))).await,
        Some("over_postgres") => World::over(Box::new(PostgresHarness::new().await.with(consent))).await,
        _ => panic!("no backend is named for the suite {suite}"),
    }
}

impl World {
    pub async fn over(harness: Box<dyn Harness>) -> Self {
        let store = harness.store().await;
        Self::made_of(store, harness)
    }

    /// A world around a store that the test opened itself and ends itself.
    pub fn around(store: SharedStore) -> Self {
        Self::made_of(store, Box::new(NoHarness))
    }

    fn made_of(store: SharedStore, harness: Box<dyn Harness>) -> Self {
        Self { store, harness, ids: AtomicU64::new(1), now_ms: AtomicI64::new(1_800_000_000_000) }
    }

    /// Ends the process, so to speak, and starts it again.
    pub async fn restart(&mut self) {
        self.harness.close().await;
        self.store = self.harness.store().await;
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.now_ms.fetch_add(1, Ordering::Relaxed))
    }

    /// A process that asks for leases.
    pub fn holder(&self, name: &str) -> Holder {
        Holder { id: self.uuid(), name: name.to_owned() }
    }

    pub fn uuid(&self) -> Uuid {
        // Spread like random ids, yet the same in every run.
        let n = u128::from(self.ids.fetch_add(1, Ordering::Relaxed));
        Uuid::from_u128(n.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835))
    }

    pub fn client_id(&self) -> ClientId {
        ClientId::from_uuid(self.uuid())
    }

    pub async fn user(&self, name: &str) -> UserId {
        let id = UserId::from_uuid(self.uuid());
        let user =
            User { id, username: None, display_name: name.to_owned(), guest: true, created_at: self.now() };
        let new = NewUser { user, password_hash: None, device_hash: None };
        assert_eq!(self.store.create_user(&new).await.unwrap(), NewUserOutcome::Created);
        id
    }

    pub async fn users<const N: usize>(&self) -> [UserId; N] {
        let mut users = Vec::new();
        for n in 0..N {
            users.push(self.user(&format!("user {n}")).await);
        }
        users.try_into().unwrap()
    }

    /// Erases an account to the end; answers what that committed.
    pub async fn erase(&self, user: UserId) -> Vec<Committed> {
        self.store.erase(user, self.now()).await.unwrap().unwrap();
        self.finish_jobs().await
    }

    /// Does what operations have left to be done.
    pub async fn finish_jobs(&self) -> Vec<Committed> {
        let (mut committed, mut later_ms) = (Vec::new(), 0);
        for kind in [JobKind::Erasure, JobKind::Content] {
            while self.store.backlog(kind).await.unwrap().jobs > 0 {
                let worked = self.store.work(kind, self.now().plus_ms(later_ms)).await.unwrap();
                committed.extend(worked.committed);
                if matches!(worked.step, Step::Idle | Step::Later) {
                    later_ms += 200;
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
            }
        }
        committed
    }

    pub fn id(&self, kind: ConversationKind) -> ConversationId {
        ConversationId::from_random(kind, self.uuid())
    }

    pub async fn create(&self, new: &NewConversation) -> ConversationId {
        let created = self.store.create(new, self.now()).await.unwrap().unwrap();
        assert!(!created.existed);
        new.id
    }

    /// An invite-only group of `members`, the first being its owner.
    pub async fn group(&self, members: &[UserId]) -> ConversationId {
        self.create(&self.new_conversation(ConversationKind::Group, members)).await
    }

    /// An open channel of `members`, the first being its owner.
    pub async fn channel(&self, members: &[UserId]) -> ConversationId {
        self.create(&self.new_conversation(ConversationKind::Channel, members)).await
    }

    pub fn new_conversation(&self, kind: ConversationKind, members: &[UserId]) -> NewConversation {
        let join = if kind == ConversationKind::Channel { JoinPolicy::Open } else { JoinPolicy::Invite };
        NewConversation {
            id: self.id(kind),
            creator: members[0],
            members: members[1..].to_vec(),
            name: Some("room".to_owned()),
            topic: None,
            history: HistoryPolicy::FromJoin,
            join,
        }
    }

    pub fn message(&self, sender: UserId, target: Target, body: &str) -> NewMessage {
        NewMessage { sender, target, client_id: self.client_id(), content: text(body) }
    }

    pub async fn append(&self, batch: &[NewMessage]) -> Vec<Result<Appended, Refusal>> {
        let answers = self.store.append(batch, self.now()).await.unwrap();
        answers
            .into_iter()
            .map(|answer| match answer {
                Ok(appended) => Ok(appended),
                Err(AppendError::Refused(refusal)) => Err(refusal),
                Err(AppendError::Failed(error)) => panic!("{error}"),
            })
            .collect()
    }

    pub async fn try_send(&self, sender: UserId, target: Target, body: &str) -> Result<Appended, Refusal> {
        let mut answers = self.append(&[self.message(sender, target, body)]).await;
        assert_eq!(answers.len(), 1);
        answers.remove(0)
    }

    pub async fn say(&self, sender: UserId, conversation: ConversationId, body: &str) -> Seq {
        self.try_send(sender, Target::Conversation(conversation), body).await.unwrap().seq
    }

    pub async fn try_change(
        &self,
        actor: UserId,
        conversation: ConversationId,
        change: Change,
    ) -> Result<Changed, Refusal> {
        self.store.change(actor, conversation, &change, self.now()).await.unwrap()
    }

    pub async fn change(&self, actor: UserId, conversation: ConversationId, change: Change) -> Changed {
        self.try_change(actor, conversation, change).await.unwrap()
    }

    /// Removes what deleted conversations left, as the job for it does; answers how many events it went over.
    pub async fn purge(&self) -> u64 {
        let mut events = 0;
        while let Some(purged) = self.purge_step().await {
            events += purged.events;
        }
        events
    }

    /// One step of that; `None` when nothing is left.
    pub async fn purge_step(&self) -> Option<Purged> {
        self.store.work(JobKind::Purge, self.now()).await.unwrap().purged
    }

    pub async fn join(&self, user: UserId, conversation: ConversationId) -> Changed {
        self.change(user, conversation, Change::Join { user, role: Role::Member }).await
    }

    pub async fn leave(&self, user: UserId, conversation: ConversationId) -> Changed {
        self.change(user, conversation, Change::Leave { user }).await
    }

    pub async fn read_up_to(&self, user: UserId, conversation: ConversationId, seq: Seq) {
        let receipt = Receipt { user, conversation, delivered: None, read: Some(seq) };
        self.store.move_receipts(&[receipt], self.now()).await.unwrap();
    }

    pub async fn try_events(
        &self,
        user: UserId,
        conversation: ConversationId,
    ) -> Result<Vec<Arc<Event>>, Refusal> {
        let query = RangeQuery { conversation, after: Seq::ZERO, limit: 10_000, max_bytes: usize::MAX };
        Ok(self.store.range(user, query).await.unwrap()?.events)
    }

    pub async fn events(&self, user: UserId, conversation: ConversationId) -> Vec<Arc<Event>> {
        self.try_events(user, conversation).await.unwrap()
    }

    pub async fn seqs(&self, user: UserId, conversation: ConversationId) -> Vec<u64> {
        self.events(user, conversation).await.iter().map(|event| event.seq.get()).collect()
    }

    pub async fn page(&self, user: UserId, conversation: ConversationId) -> Vec<MessageView> {
        let query =
            HistoryQuery { conversation, before: None, after: None, limit: 1_000, max_bytes: usize::MAX };
        self.store.history(user, query).await.unwrap().unwrap().messages
    }

    pub async fn bodies(&self, user: UserId, conversation: ConversationId) -> Vec<String> {
        self.page(user, conversation).await.iter().filter_map(|view| body(&view.event)).collect()
    }

    pub async fn heads(&self, user: UserId) -> HashMap<ConversationId, Head> {
        let heads = self.store.heads(user, None).await.unwrap();
        heads.heads.into_iter().map(|head| (head.conversation, head)).collect()
    }

    pub async fn unread(&self, user: UserId, conversation: ConversationId) -> u64 {
        self.heads(user).await[&conversation].unread
    }
}

pub fn text(body: &str) -> Content {
    Content { body: Some(body.to_owned()), ..Content::default() }
}

/// The body of a message or an edit.
pub fn body(event: &Event) -> Option<String> {
    match &event.kind {
        EventKind::Message(message) => message.content.body.clone(),
        EventKind::Edit { body, .. } => body.clone(),
        _ => None,
    }
}

pub fn seq(number: u64) -> Seq {
    Seq::new(number).unwrap()
}

/// With each audience in order of user id, to compare.
pub fn sorted(mut committed: Vec<Committed>) -> Vec<Committed> {
    for one in &mut committed {
        let mut users = one.audience.users.to_vec();
        users.sort_unstable();
        one.audience.users = users.into();
    }
    committed
}
