//! The handle to a node: every operation that gateway and API can ask for.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr};
use actix_rt::ArbiterHandle;
use tokio::sync::oneshot;

use super::backlogs::Backlogs;
use super::connections::Connections;
use super::healer;
use super::offenders::Offenders;
use super::presence::PresenceBoard;
use super::receipts::{Keep, Receipts, ReceiptsOptions, announce};
use super::router::{Repair, Router};
use super::shares::Shares;
use super::typing::TypingBoard;
use super::writer::{Asker, Job, Writer, WriterOptions};
use crate::bus::Signal;
use crate::bus::book::SharedBook;
use crate::domain::{ConversationId, Limits, Mark, Revocation, UserId};
use crate::environment::SharedEnvironment;
use crate::protocol::Failure;
use crate::rate_limit::RateLimit;
use crate::store::{
    Appended, Change, Changed, Created, Log, NewConversation, NewMessage, SharedStore, StoreError,
};
use crate::telemetry::Meters;

/// The bounds of a node's actors.
#[derive(Debug, Clone, Copy)]
pub struct NodeOptions {
    /// What requests may not exceed.
    pub limits: Limits,
    /// The writer's bounds.
    pub writer: WriterOptions,
    /// How often receipts are stored.
    pub receipts_flush: Duration,
    /// Receipts that may wait.
    pub receipts_queue: usize,
    /// How long a user stays present after the last device went.
    pub offline_after_ms: u64,
    /// How long somebody types who says nothing more.
    pub typing_timeout_ms: u64,
    /// Requests other than sends that a user may make per second; 0: any number.
    pub requests_per_second: u32,
    /// Such requests at once.
    pub request_burst: u32,
}

/// One node, shared by everything that serves peers. Cheap to clone.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    store: SharedStore,
    environment: SharedEnvironment,
    router: Arc<Router>,
    writer: Writer,
    receipts: Addr<Receipts>,
    presence: PresenceBoard,
    typing: TypingBoard,
    sends: RateLimit<UserId>,
    requests: RateLimit<UserId>,
    shares: Arc<Shares>,
    offenders: Offenders,
    backlogs: Arc<Backlogs>,
    connections: Arc<Connections>,
    meters: Arc<Meters>,
    options: NodeOptions,
}

impl Node {
    /// Starts a node's actors on `arbiter`. `holes` comes from [`Router::new`].
    pub fn start(
        arbiter: &ArbiterHandle,
        store: SharedStore,
        environment: SharedEnvironment,
        router: Arc<Router>,
        holes: tokio::sync::mpsc::Receiver<Repair>,
        meters: Arc<Meters>,
        options: NodeOptions,
    ) -> Self {
        let writer = Writer::start(arbiter, &store, &router, &environment, &meters, options.writer);
        let receipts_options =
            ReceiptsOptions { flush: options.receipts_flush, queue_marks: options.receipts_queue };
        let receipts = Receipts::new(
            Arc::clone(&store),
            Arc::clone(&router),
            Arc::clone(&environment),
            Arc::clone(&meters),
            receipts_options,
        );
        let receipts = Receipts::start_in_arbiter(arbiter, |_| receipts);
        let presence = PresenceBoard::new(
            Arc::clone(&router),
            Arc::clone(&environment),
            Arc::clone(&meters),
            options.offline_after_ms,
        );
        let keeper = presence.keeper();
        super::presence::Presence::start_in_arbiter(arbiter, |_| keeper);
        let typing = TypingBoard::new(
            Arc::clone(&store),
            Arc::clone(&router),
            Arc::clone(&environment),
            Arc::clone(&meters),
            options.typing_timeout_ms,
        );
        let keeper = typing.keeper();
        super::typing::Typing::start_in_arbiter(arbiter, |_| keeper);
        let log = Arc::clone(&store) as Arc<dyn Log>;
        arbiter.spawn(healer::run(Arc::clone(&router), log, Arc::clone(&meters), holes));
        let limits = options.limits;
        let per_second = |most, burst| RateLimit::per_second(most, burst, Arc::clone(&environment));
        let sends = per_second(limits.sends_per_second, limits.send_burst);
        let requests = per_second(options.requests_per_second, options.request_burst);
        let inner = Inner {
            store,
            environment,
            router,
            writer,
            receipts,
            presence,
            typing,
            sends,
            requests,
            shares: Arc::default(),
            offenders: Offenders::default(),
            backlogs: Arc::default(),
            connections: Arc::default(),
            meters,
            options,
        };
        Self { inner: Arc::new(inner) }
    }

    /// The durable truth.
    pub fn store(&self) -> &SharedStore {
        &self.inner.store
    }

    /// Time and randomness.
    pub fn environment(&self) -> &SharedEnvironment {
        &self.inner.environment
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.inner.options.limits
    }

    /// Who is to get what.
    pub fn router(&self) -> &Arc<Router> {
        &self.inner.router
    }

    /// The way into the log, for sessions, which answer through their worker's inbox.
    pub fn writer(&self) -> &Writer {
        &self.inner.writer
    }

    /// Who is there.
    pub fn presence(&self) -> &PresenceBoard {
        &self.inner.presence
    }

    /// How many connections there are.
    pub fn connections(&self) -> &Arc<Connections> {
        &self.inner.connections
    }

    /// Who made this node panic again and again.
    pub fn offenders(&self) -> &Offenders {
        &self.inner.offenders
    }

    /// Who is typing.
    pub fn typing(&self) -> &TypingBoard {
        &self.inner.typing
    }

    /// What is measured.
    pub fn meters(&self) -> &Arc<Meters> {
        &self.inner.meters
    }

    /// Awaits a store call that changes nothing.
    ///
    /// # Errors
    /// `Unavailable`, definitely.
    pub async fn read<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, Failure> {
        Ok(call.await?)
    }

    /// Awaits a store call that changes something.
    ///
    /// # Errors
    /// `Unavailable`, indefinite when it may have been done.
    pub async fn write<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, Failure> {
        Ok(call.await?)
    }

    /// From now on users who are on several nodes share their rates among them; `book` is read every `every`. Call once, inside
    /// a tokio runtime.
    pub fn share_rates(&self, book: SharedBook, every: Duration) {
        let shares = Arc::clone(&self.inner.shares);
        tokio::spawn(async move { shares.keep(book, every).await });
    }

    /// May `user` send another message now? Counts it.
    ///
    /// # Errors
    /// `RateLimited` with the wait.
    pub fn admit_send(&self, user: UserId) -> Result<(), Failure> {
        self.inner
            .sends
            .check_times(&user, self.inner.shares.times(user))
            .inspect_err(|_| self.inner.meters.load.rate_limited.of("send").increment(1))
    }

    /// May `user` make another request other than a send now? Counts it.
    ///
    /// # Errors
    /// `RateLimited` with the wait.
    pub fn admit_request(&self, user: UserId) -> Result<(), Failure> {
        self.inner
            .requests
            .check_times(&user, self.inner.shares.times(user))
            .inspect_err(|_| self.inner.meters.load.rate_limited.of("request").increment(1))
    }

    /// Appends a message through the writer and publishes it; answers when it is committed.
    ///
    /// # Errors
    /// A definite refusal, `Overloaded`, or `Unavailable`.
    pub async fn send(&self, message: NewMessage) -> Result<Appended, Failure> {
        let received_us = self.inner.environment.monotonic_us();
        let (asker, answer) = oneshot::channel();
        let sender = message.sender;
        self.inner.writer.submit(Job::Send { message, received_us, asker: Asker::Waiter(asker) })?;
        let appended = answer.await.unwrap_or(Err(Failure::Unavailable { definite: false }))?;
        self.inner.typing.said(sender, appended.conversation);
        Ok(appended)
    }

    /// Carries out a change through the writer and publishes its events.
    ///
    /// # Errors
    /// A definite refusal, `Overloaded`, or `Unavailable`.
    pub async fn change(
        &self,
        actor: UserId,
        conversation: ConversationId,
        change: Change,
    ) -> Result<Changed, Failure> {
        let (asker, answer) = oneshot::channel();
        let received_us = self.inner.environment.monotonic_us();
        let asker = Asker::Waiter(asker);
        self.inner.writer.submit(Job::Change { actor, conversation, change, received_us, asker })?;
        answer.await.unwrap_or(Err(Failure::Unavailable { definite: false }))
    }

    /// Makes a conversation and publishes its join events.
    ///
    /// # Errors
    /// A definite refusal or `Unavailable`.
    pub async fn create(&self, new: NewConversation) -> Result<Created, Failure> {
        let now = self.inner.environment.now();
        let created = self.write(self.inner.store.create(&new, now)).await??;
        self.inner.router.committed(&created.committed, Vec::new());
        Ok(created)
    }

    /// Moves a receipt forward, answers when it is kept, and tells those concerned.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn mark(&self, mark: Mark) -> Result<(), Failure> {
        let now = self.inner.environment.now();
        let moved = self.write(self.inner.store.mark(&[mark], now)).await?;
        moved.into_iter().for_each(|marked| announce(&self.inner.router, marked));
        Ok(())
    }

    /// Moves a receipt forward in time; a lost one is made up for by the next.
    pub fn mark_soon(&self, mark: Mark) {
        if self.inner.receipts.try_send(Keep(mark)).is_err() {
            self.inner.meters.load.sheds.of("receipts").increment(1);
        }
    }

    /// Sets or lifts a block; from then on no signal of one of the two reaches the other, on any node.
    ///
    /// # Errors
    /// A definite refusal or `Unavailable`.
    pub async fn block(&self, by: UserId, user: UserId, on: bool) -> Result<(), Failure> {
        self.write(self.inner.store.set_block(by, user, on)).await??;
        self.inner.router.signal(Signal::Blocked { by, user, on }, Arc::new([by, user]));
        Ok(())
    }

    /// Makes the user's sessions on this node ask how their tokens stand.
    pub fn apply_revocation(&self, revocation: Revocation) {
        self.inner.meters.identity.revocations.increment(1);
        self.inner.router.signal_here(&Signal::Revoked(revocation), Arc::new([revocation.user]));
    }

    /// The same on this node and, by the bus, on all others.
    pub fn announce_revocation(&self, revocation: Revocation) {
        self.inner.meters.identity.revocations.increment(1);
        self.inner.router.signal(Signal::Revoked(revocation), Arc::new([revocation.user]));
    }

    /// Erases an account: it is gone when this answers, and [`crate::identity::Identity::erase`] ends its tokens. What it said goes
    /// after that, whatever becomes of this process; see [`crate::store::Jobs`].
    ///
    /// # Errors
    /// `NotFound`; `Unavailable`.
    pub async fn erase(&self, user: UserId) -> Result<Revocation, Failure> {
        let now = self.inner.environment.now();
        let revocation = self.write(self.inner.store.erase(user, now)).await??;
        self.inner.backlogs.hint();
        Ok(revocation)
    }

    /// What goes on after its operation was answered; for readiness pages, and to wake whoever does it.
    pub fn backlogs(&self) -> &Arc<Backlogs> {
        &self.inner.backlogs
    }
}
