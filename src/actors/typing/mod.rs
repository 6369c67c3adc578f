//! Typing: tells the others in a conversation that somebody is typing, and that they stopped.
//!
//! - *Owns*: who is typing where on this node ([`state`]).
//! - *Receives*: what clients say; connections that end; members that leave; messages, which end the typing that made them.
//! - *Emits*: a signal when it begins or goes on, and one when it ends other than by a message.
//! - *Limits*: [`MOST_USERS`] typing at once on a node, each in 16 conversations; `presence.typing_timeout_ms`.
//! - *On restart*: empty; clients stop showing what nobody repeats.
//! - *On full*: a beginning is not told, since nothing would end it.

pub mod state;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use actix::{Actor, AsyncContext, Context};

use self::state::{Connection, TypingState};
use super::router::Router;
use crate::bus::Signal;
use crate::domain::{ConversationId, ConversationKind, UserId};
use crate::environment::SharedEnvironment;
use crate::panics::{lock, shared};
use crate::store::SharedStore;
use crate::telemetry::Meters;

/// Users who may be typing at once on one node.
const MOST_USERS: usize = 100_000;
const EXPIRE_EVERY: Duration = Duration::from_millis(250);

/// What sessions hold. A lock rather than a mailbox: an end must not be lost when a mailbox is full, and no call waits.
#[derive(Clone)]
pub struct TypingBoard {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<TypingState>,
    store: SharedStore,
    router: Arc<Router>,
    environment: SharedEnvironment,
    meters: Arc<Meters>,
}

/// Looks for those who have stopped without a word.
pub struct Typing {
    board: TypingBoard,
}

impl TypingBoard {
    /// Nobody is typing; who says nothing more has stopped after `timeout_ms`.
    pub fn new(
        store: SharedStore,
        router: Arc<Router>,
        environment: SharedEnvironment,
        meters: Arc<Meters>,
        timeout_ms: u64,
    ) -> Self {
        let state = Mutex::new(TypingState::new(timeout_ms, MOST_USERS));
        Self { inner: Arc::new(Inner { state, store, router, environment, meters }) }
    }

    /// The actor that ends what nobody repeats; start one.
    pub fn keeper(&self) -> Typing {
        Typing { board: self.clone() }
    }

    /// A client says that `user` is typing; the others in the conversation are told when `user` is a member.
    pub fn begin(&self, user: UserId, conversation: ConversationId, connection: Connection) {
        let _shared = shared();
        let now_ms = self.inner.environment.monotonic_ms();
        let Some(number) = self.lock().begin(user, conversation, connection, now_ms) else {
            return self.inner.meters.load.sheds.of("typing").increment(1);
        };
        let board = self.clone();
        actix_rt::spawn(async move {
            let Some(audience) = board.audience(conversation, Some(user)).await else { return };
            let mut state = board.lock();
            if state.tell(user, conversation, number) {
                board.signal(user, conversation, true, audience);
            }
        });
    }

    /// A client says that `user` has stopped.
    pub fn stop(&self, user: UserId, conversation: ConversationId) {
        let _shared = shared();
        let told = self.lock().stop(user, conversation);
        // What this node did not hear begin, another may have told of; but only a member may end it.
        let member = if told { None } else { Some(user) };
        let board = self.clone();
        actix_rt::spawn(async move { board.tell_end(user, conversation, member).await });
    }

    /// `user` said something: whoever sees the message sees that the typing ended.
    pub fn said(&self, user: UserId, conversation: ConversationId) {
        let _shared = shared();
        self.lock().stop(user, conversation);
    }

    /// `user` is no member any more.
    pub fn left(&self, user: UserId, conversation: ConversationId) {
        let _shared = shared();
        if self.lock().stop(user, conversation) {
            self.tell_ends(vec![(user, conversation)]);
        }
    }

    /// A connection of `user` ended.
    pub fn gone(&self, user: UserId, connection: Connection) {
        let _shared = shared();
        let ended = self.lock().gone(user, connection);
        self.tell_ends(ended.into_iter().map(|conversation| (user, conversation)).collect());
    }

    /// Ends what nobody has repeated in time; [`Typing`] does it four times a second.
    pub fn expire(&self) {
        let ended = self.lock().expire(self.inner.environment.monotonic_ms());
        self.tell_ends(ended);
    }

    fn tell_ends(&self, ended: Vec<(UserId, ConversationId)>) {
        if ended.is_empty() {
            return;
        }
        let board = self.clone();
        actix_rt::spawn(async move {
            for (user, conversation) in ended {
                board.tell_end(user, conversation, None).await;
            }
        });
    }

    async fn tell_end(&self, user: UserId, conversation: ConversationId, member: Option<UserId>) {
        let Some(audience) = self.audience(conversation, member).await else { return };
        let state = self.lock();
        if !state.is_typing(user, conversation) {
            self.signal(user, conversation, false, audience);
        }
    }

    /// Who is to be told; `None`: nobody, or `member` is none, or it cannot be read now.
    async fn audience(&self, conversation: ConversationId, member: Option<UserId>) -> Option<Arc<[UserId]>> {
        let store = &self.inner.store;
        match (conversation.kind(), member) {
            (ConversationKind::Channel, None) => Some(Arc::new([])),
            (ConversationKind::Channel, Some(user)) => {
                let found = store.member(conversation, user).await;
                matches!(found, Ok(Some(_))).then(|| Arc::from([]))
            }
            (ConversationKind::Direct | ConversationKind::Group, _) => {
                let members = store.audience(conversation).await.ok()?;
                let is_in = member.is_none_or(|user| members.contains(&user));
                (is_in && !members.is_empty()).then_some(members)
            }
        }
    }

    /// Under the lock of the state, so that a beginning and an end are told in their order.
    fn signal(&self, user: UserId, conversation: ConversationId, on: bool, audience: Arc<[UserId]>) {
        self.inner.meters.social.typing.increment(1);
        self.inner.router.signal(Signal::Typing { conversation, user, on }, audience);
    }

    fn lock(&self) -> MutexGuard<'_, TypingState> {
        lock(&self.inner.state)
    }
}

impl Actor for Typing {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.run_interval(EXPIRE_EVERY, |typing, _| typing.board.expire());
    }
}
