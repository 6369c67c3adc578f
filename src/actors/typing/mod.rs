//! Typing: sends the members of a conversation a signal when a user begins or stops typing.
//!
//! - *Owns*: which users type in which conversations on this node ([`state`]).
//! - *Receives*: `typing` frames; connections that end; members who leave; messages, which end the sender's
//!   typing.
//! - *Emits*: a signal when typing begins or continues, and one when it ends other than by a message.
//! - *Limits*: [`MOST_USERS`] users at once on a node, each in 16 conversations;
//!   `presence.typing_timeout_ms`.
//! - *On restart*: empty. Clients stop showing what is not repeated.
//! - *On full*: no signal is sent, because nothing would end the typing. While the store fails,
//!   [`MOST_WAITING_ENDS`] ends wait for it.

pub mod state;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, MessageResult};
use futures_util::StreamExt;
use serde::Serialize;
use tokio::sync::Semaphore;

use self::state::{TypingConnection, TypingState};
use super::observe::Observe;
use super::router::Router;
use crate::bus::Signal;
use crate::config::PresenceSettings;
use crate::domain::{ConversationId, ConversationKind, UserId, permissions};
use crate::environment::{Backoff, SharedEnvironment};
use crate::panics::{lock, shared};
use crate::store::{Appended, SharedStore, StoreError};
use crate::telemetry::Meters;

/// Users who may be typing at once on one node.
const MOST_USERS: usize = 100_000;
const EXPIRE_EVERY: Duration = Duration::from_millis(250);
/// Pauses between reads of the members for the end of typing, while the store fails.
const FIRST_PAUSE_MS: u64 = 250;
const LONGEST_PAUSE_MS: u64 = 2_000;
/// Ends that wait for the store at once. One more is not told: clients stop showing it by themselves.
const MOST_WAITING_ENDS: usize = 1_024;
/// Of the ends that are told together, so many are told at once.
const ENDS_AT_ONCE: usize = 16;

/// The handle that sessions use. It has a lock instead of a mailbox, because a full mailbox would lose the
/// end of typing. No call waits.
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
    /// Places for ends that wait for the store.
    waiting_ends: Semaphore,
    /// For so long a client shows typing whose end it does not hear (docs/PROTOCOL.md, 1.1).
    shown_ms: u64,
}

/// The state of typing, for inspection.
#[derive(Debug, Clone, Serialize)]
pub struct TypingObserved {
    /// Users who are typing here.
    pub users: usize,
    /// Ends that wait for the store.
    pub waiting_ends: usize,
}

/// The actor that ends typing which is not repeated.
pub struct TypingExpiry {
    board: TypingBoard,
}

impl TypingBoard {
    /// An empty board. Typing that is not repeated within `typing_timeout_ms` ends.
    pub fn new(
        store: SharedStore,
        router: Arc<Router>,
        environment: SharedEnvironment,
        meters: Arc<Meters>,
        settings: PresenceSettings,
    ) -> Self {
        let state = Mutex::new(TypingState::new(settings.typing_timeout_ms, MOST_USERS));
        let waiting_ends = Semaphore::new(MOST_WAITING_ENDS);
        let shown_ms = settings.typing_timeout_ms.saturating_mul(2);
        let inner = Inner { state, store, router, environment, meters, waiting_ends, shown_ms };
        Self { inner: Arc::new(inner) }
    }

    /// The actor that ends typing which is not repeated. Start exactly one.
    pub fn keeper(&self) -> TypingExpiry {
        TypingExpiry { board: self.clone() }
    }

    /// A client says that `user` is typing. If `user` is a member, the other members are sent a signal.
    pub fn begin(&self, user: UserId, conversation: ConversationId, connection: TypingConnection) {
        let _shared = shared();
        let now_ms = self.inner.environment.monotonic_ms();
        let Some(number) = self.lock().begin(user, conversation, connection, now_ms) else {
            return self.inner.meters.load.sheds.of("typing").increment(1);
        };
        let board = self.clone();
        actix_rt::spawn(async move {
            let Ok(Some(audience)) = board.audience(conversation, Some(user)).await else {
                rare!(TypingWithoutTheRight);
                return;
            };
            let mut state = board.lock();
            if state.begin_sending(user, conversation, number) {
                board.signal(user, conversation, true, audience);
            } else {
                rare!(TypingEndsBeforeItIsSaid);
            }
        });
    }

    /// A client says that `user` has stopped.
    pub fn stop(&self, user: UserId, conversation: ConversationId) {
        let _shared = shared();
        let was_sent = self.lock().stop(user, conversation);
        // Another node may have announced the beginning, but only a member may end it.
        let member = if was_sent { None } else { Some(user) };
        let board = self.clone();
        actix_rt::spawn(async move { board.tell_end(user, conversation, member).await });
    }

    /// `user` sent a message, which ends the typing: clients that show the message stop showing it. A
    /// repeated send makes no event that would tell them, so it ends nothing.
    pub fn said(&self, user: UserId, appended: &Appended) {
        let _shared = shared();
        if appended.committed.is_some() {
            self.lock().stop(user, appended.conversation);
        }
    }

    /// `user` is not a member any more.
    pub fn left(&self, user: UserId, conversation: ConversationId) {
        let _shared = shared();
        if self.lock().stop(user, conversation) {
            rare!(MemberLeavesWhileTyping);
            self.tell_ends(vec![(user, conversation)]);
        }
    }

    /// A connection of `user` ended.
    pub fn connection_ended(&self, user: UserId, connection: TypingConnection) {
        let _shared = shared();
        let ended = self.lock().connection_ended(user, connection);
        rare!(ConnectionEndsWhileTyping, !ended.is_empty());
        self.tell_ends(ended.into_iter().map(|conversation| (user, conversation)).collect());
    }

    /// Ends typing that was not repeated in time. [`TypingExpiry`] calls it four times a second.
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
            let ends = futures_util::stream::iter(ended);
            ends.for_each_concurrent(ENDS_AT_ONCE, |(user, conversation)| {
                board.tell_end(user, conversation, None)
            })
            .await;
        });
    }

    async fn tell_end(&self, user: UserId, conversation: ConversationId, member: Option<UserId>) {
        let audience = match self.audience(conversation, member).await {
            Ok(audience) => audience,
            Err(_) => self.audience_later(conversation, member).await,
        };
        let Some(audience) = audience else { return };
        let state = self.lock();
        if !state.is_typing(user, conversation) {
            self.signal(user, conversation, false, audience);
        } else {
            rare!(TypingAgainBeforeTheEndIsSaid);
        }
    }

    /// The users to send the end to, when the store answers again: nothing else would end what they are
    /// shown. `None` once they show it no longer, or when too many ends wait already.
    async fn audience_later(
        &self,
        conversation: ConversationId,
        member: Option<UserId>,
    ) -> Option<Arc<[UserId]>> {
        rare!(TypingEndsWithoutTheStore);
        let inner = &self.inner;
        let Ok(_place) = inner.waiting_ends.try_acquire() else {
            inner.meters.load.sheds.of("typing").increment(1);
            return None;
        };
        let until_ms = inner.environment.monotonic_ms().saturating_add(inner.shown_ms);
        let mut pauses = Backoff::new(FIRST_PAUSE_MS, LONGEST_PAUSE_MS);
        while inner.environment.monotonic_ms() < until_ms {
            tokio::time::sleep(Duration::from_millis(pauses.next_ms())).await;
            if let Ok(audience) = self.audience(conversation, member).await {
                return audience;
            }
        }
        None
    }

    /// The users to send a signal to; `None` if there are none, or if `member` is not a member or is muted.
    async fn audience(
        &self,
        conversation: ConversationId,
        member: Option<UserId>,
    ) -> Result<Option<Arc<[UserId]>>, StoreError> {
        let kind = conversation.kind();
        if let Some(user) = member.filter(|_| kind != ConversationKind::Direct)
            && !self.may_speak(conversation, user).await?
        {
            return Ok(None);
        }
        if kind == ConversationKind::Channel {
            return Ok(Some(Arc::new([])));
        }
        let members = self.inner.store.audience(conversation).await?;
        let is_in = member.is_none_or(|user| members.contains(&user));
        Ok((is_in && !members.is_empty()).then_some(members))
    }

    /// Whether `user` is a member, and not muted.
    async fn may_speak(&self, conversation: ConversationId, user: UserId) -> Result<bool, StoreError> {
        let member = self.inner.store.member(conversation, user).await?;
        let now = self.inner.environment.now();
        Ok(member.is_some_and(|member| permissions::may_speak(member.muted_until, now).is_ok()))
    }

    /// Called under the lock of the state, so that beginning and end are sent in order.
    fn signal(&self, user: UserId, conversation: ConversationId, on: bool, audience: Arc<[UserId]>) {
        self.inner.meters.social.typing.increment(1);
        self.inner.router.signal(Signal::Typing { conversation, user, on }, audience);
    }

    fn lock(&self) -> MutexGuard<'_, TypingState> {
        lock(&self.inner.state)
    }
}

impl Actor for TypingExpiry {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.run_interval(EXPIRE_EVERY, |typing, _| typing.board.expire());
    }
}

impl Handler<Observe<TypingObserved>> for TypingExpiry {
    type Result = MessageResult<Observe<TypingObserved>>;

    fn handle(&mut self, _: Observe<TypingObserved>, _: &mut Context<Self>) -> Self::Result {
        let waiting_ends = MOST_WAITING_ENDS - self.board.inner.waiting_ends.available_permits();
        MessageResult(TypingObserved { users: self.board.lock().len(), waiting_ends })
    }
}
