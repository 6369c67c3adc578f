//! The handle to a node: every operation that gateway and API may call.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr};
use tokio::sync::oneshot;

use super::backlogs::Backlogs;
use super::byte_budget::ByteBudget;
use super::cluster_rate::ClusterRate;
use super::connections::Connections;
use super::healer;
use super::observe;
use super::offenders::Offenders;
use super::presence::PresenceBoard;
use super::receipts::{Keep, Receipts, announce};
use super::router::{Repair, Router};
use super::typing::TypingBoard;
use super::writer::{Asker, Job, Writer, WriterOptions};
use crate::audit::AuditLog;
use crate::bus::Signal;
use crate::bus::presence_registry::SharedPresenceRegistry;
use crate::config::{PresenceSettings, ReceiptsSettings};
use crate::domain::{ConversationId, Limits, Receipt, Revocation, UserId, price};
use crate::environment::SharedEnvironment;
use crate::protocol::Failure;
use crate::rate_limit::RateLimit;
use crate::store::{
    Appended, Change, Changed, Created, Invited, Log, NewConversation, NewMessage, SharedStore, StoreError,
};
use crate::telemetry::Meters;
use crate::telemetry::inspect::{Inspection, observed};

/// The bounds of a node's actors.
#[derive(Debug, Clone, Copy)]
pub struct NodeOptions {
    /// The limits on requests.
    pub limits: Limits,
    /// The writer's bounds.
    pub writer: WriterOptions,
    /// Receipts' section of the settings, as it is.
    pub receipts: ReceiptsSettings,
    /// That of presence and typing.
    pub presence: PresenceSettings,
    /// Requests other than sends that a user may make per second; 0: any number.
    pub requests_per_second: u32,
    /// How many such requests may be made at once.
    pub request_burst: u32,
    /// Encoded bytes that may wait for all clients together; 0: any number.
    pub queued_bytes: usize,
}

/// One node, shared by everything that serves clients. Cheap to clone.
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
    cluster_rate: Arc<ClusterRate>,
    offenders: Offenders,
    backlogs: Arc<Backlogs>,
    connections: Arc<Connections>,
    budget: Arc<ByteBudget>,
    inspection: Arc<Inspection>,
    meters: Arc<Meters>,
    options: NodeOptions,
}

impl Node {
    /// Starts a node's actors on the calling thread, inside its `LocalSet` or arbiter. [`Router::new`]
    /// returns `holes`.
    pub fn start(
        store: SharedStore,
        environment: SharedEnvironment,
        router: Arc<Router>,
        holes: tokio::sync::mpsc::Receiver<Repair>,
        meters: Arc<Meters>,
        audit: AuditLog,
        options: NodeOptions,
    ) -> Self {
        let inspection = Inspection::default();
        let writer = Writer::start(&store, &router, &environment, &meters, audit, options.writer);
        writer.show(&inspection);
        let shown = Arc::clone(&router);
        inspection.add_value("router", move || shown.observed());
        let receipts = Receipts::new(
            Arc::clone(&store),
            Arc::clone(&router),
            Arc::clone(&environment),
            Arc::clone(&meters),
            options.receipts,
        );
        let receipts = receipts.start();
        observe::show(&inspection, "receipts", receipts.clone());
        let presence = PresenceBoard::new(
            Arc::clone(&router),
            Arc::clone(&environment),
            Arc::clone(&meters),
            options.presence,
        );
        let keeper = presence.keeper();
        observe::show(&inspection, "presence", keeper.start());
        let typing = TypingBoard::new(
            Arc::clone(&store),
            Arc::clone(&router),
            Arc::clone(&environment),
            Arc::clone(&meters),
            options.presence,
        );
        let keeper = typing.keeper();
        observe::show(&inspection, "typing", keeper.start());
        let log = Arc::clone(&store) as Arc<dyn Log>;
        let (observer, questions) = observed();
        inspection.add("healer", observer);
        actix_rt::spawn(healer::run(Arc::clone(&router), log, Arc::clone(&meters), holes, questions));
        let backlogs: Arc<Backlogs> = Arc::default();
        let shown = Arc::clone(&backlogs);
        inspection.add_value("backlogs", move || shown.observed());
        let budget = ByteBudget::new(options.queued_bytes, Arc::clone(&meters));
        let shown = Arc::clone(&budget);
        inspection.add_value("queued bytes", move || shown.observed());
        actix_rt::spawn(Arc::clone(&budget).keep());
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
            cluster_rate: Arc::default(),
            offenders: Offenders::default(),
            backlogs,
            connections: Arc::default(),
            budget,
            inspection: Arc::new(inspection),
            meters,
            options,
        };
        Self { inner: Arc::new(inner) }
    }

    /// The store.
    pub fn store(&self) -> &SharedStore {
        &self.inner.store
    }

    /// The clock and the source of randomness.
    pub fn environment(&self) -> &SharedEnvironment {
        &self.inner.environment
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.inner.options.limits
    }

    /// The router.
    pub fn router(&self) -> &Arc<Router> {
        &self.inner.router
    }

    /// The writer, for sessions. It replies through the inbox of the session's worker.
    pub fn writer(&self) -> &Writer {
        &self.inner.writer
    }

    /// Which users are connected.
    pub fn presence(&self) -> &PresenceBoard {
        &self.inner.presence
    }

    /// What shows its state. The code that starts a part adds it.
    pub fn inspection(&self) -> &Arc<Inspection> {
        &self.inner.inspection
    }

    /// How many connections there are.
    pub fn connections(&self) -> &Arc<Connections> {
        &self.inner.connections
    }

    /// The account of what is queued towards clients.
    pub fn budget(&self) -> &Arc<ByteBudget> {
        &self.inner.budget
    }

    /// Addresses whose requests made this node panic repeatedly.
    pub fn offenders(&self) -> &Offenders {
        &self.inner.offenders
    }

    /// Which users are typing.
    pub fn typing(&self) -> &TypingBoard {
        &self.inner.typing
    }

    /// The metrics.
    pub fn meters(&self) -> &Arc<Meters> {
        &self.inner.meters
    }

    /// Awaits a store call that only reads.
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
    /// `Unavailable`; indefinite when the change may have been made.
    pub async fn write<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, Failure> {
        Ok(call.await?)
    }

    /// While the returned work runs, users who are connected to several nodes have one rate limit in the
    /// whole cluster. It reads `registry` every `every`, and never ends. Call once.
    pub fn share_rates(
        &self,
        registry: SharedPresenceRegistry,
        every: Duration,
    ) -> impl Future<Output = ()> + Send + use<> {
        let cluster_rate = Arc::clone(&self.inner.cluster_rate);
        async move { cluster_rate.keep(registry, every).await }
    }

    /// Checks whether `user` may send another message now, and counts it.
    ///
    /// # Errors
    /// `RateLimited` with the wait.
    pub fn admit_send(&self, user: UserId) -> Result<(), Failure> {
        self.inner
            .sends
            .check_times(&user, self.inner.cluster_rate.times(user))
            .inspect_err(|_| self.inner.meters.load.rate_limited.of("send").increment(1))
    }

    /// Checks whether `user` may make another request that is not a send now, and counts it.
    ///
    /// # Errors
    /// `RateLimited` with the wait.
    pub fn admit_request(&self, user: UserId) -> Result<(), Failure> {
        self.admit_work(user, price::REQUEST)
    }

    /// The same for a request with a price of its own ([`crate::domain::price`]).
    ///
    /// # Errors
    /// `RateLimited` with the wait.
    pub fn admit_work(&self, user: UserId, units: u32) -> Result<(), Failure> {
        self.inner
            .requests
            .check_times(&user, units.saturating_mul(self.inner.cluster_rate.times(user)))
            .inspect_err(|_| self.inner.meters.load.rate_limited.of("request").increment(1))
    }

    /// Counts the rest of a price, for a request that was counted as one unit when it arrived.
    ///
    /// # Errors
    /// `RateLimited` with the wait.
    pub fn admit_rest(&self, user: UserId, units: u32) -> Result<(), Failure> {
        let times = self.inner.cluster_rate.times(user);
        let whole = units.saturating_mul(times);
        self.inner
            .requests
            .check_rest(&user, whole, price::REQUEST * times)
            .inspect_err(|_| self.inner.meters.load.rate_limited.of("request").increment(1))
    }

    /// Appends a message through the writer and publishes it. Returns when it is committed.
    ///
    /// # Errors
    /// A definite refusal, `Overloaded`, or `Unavailable`.
    pub async fn send(&self, message: NewMessage) -> Result<Appended, Failure> {
        let received_us = self.inner.environment.monotonic_us();
        let (asker, answer) = oneshot::channel();
        let sender = message.sender;
        self.inner.writer.submit(Job::Send { message, received_us, asker: Asker::Waiter(asker) })?;
        let appended = answer.await.unwrap_or(Err(Failure::Unavailable { definite: false }))?;
        self.inner.typing.said(sender, &appended);
        Ok(appended)
    }

    /// Applies a change through the writer and publishes its events.
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
        let (asker, invited) = (Asker::Waiter(asker), change.user());
        self.inner.writer.submit(Job::Change { actor, conversation, change, received_us, asker })?;
        let changed = answer.await.unwrap_or(Err(Failure::Unavailable { definite: false }))?;
        if let (Some(Invited::Now), Some(user)) = (changed.invited, invited) {
            self.tell_invited(actor, user, conversation);
        }
        Ok(changed)
    }

    /// Creates a conversation and publishes its join events.
    ///
    /// # Errors
    /// A definite refusal or `Unavailable`.
    pub async fn create(&self, new: NewConversation) -> Result<Created, Failure> {
        let (now, by, conversation) = (self.inner.environment.now(), new.creator, new.id);
        let created = self.write(self.inner.store.create(&new, now)).await??;
        self.inner.router.committed(&created.committed, Vec::new());
        for user in &created.invited {
            self.tell_invited(by, *user, conversation);
        }
        Ok(created)
    }

    /// Moves a receipt forward, returns when it is stored, and sends it to the users concerned.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn move_receipt(&self, receipt: Receipt) -> Result<(), Failure> {
        let now = self.inner.environment.now();
        let moved = self.write(self.inner.store.move_receipts(&[receipt], now)).await?;
        moved.into_iter().for_each(|moved| announce(&self.inner.router, moved));
        Ok(())
    }

    /// Moves a receipt forward. It is stored soon; one that is lost is made up for by the next.
    pub fn move_receipt_soon(&self, receipt: Receipt) {
        if self.inner.receipts.try_send(Keep(receipt)).is_err() {
            self.inner.meters.load.sheds.of("receipts").increment(1);
        }
    }

    /// Makes the user's sessions on this node check their tokens again.
    pub fn apply_revocation(&self, revocation: Revocation) {
        self.inner.meters.identity.revocations.increment(1);
        self.inner.router.signal_here(&Signal::Revoked(revocation), Arc::new([revocation.user]));
    }

    /// The same on this node and, through the bus, on all others.
    pub fn announce_revocation(&self, revocation: Revocation) {
        self.inner.meters.identity.revocations.increment(1);
        self.inner.router.signal(Signal::Revoked(revocation), Arc::new([revocation.user]));
    }

    /// Erases an account. The account is gone when this returns, and [`crate::identity::Identity::erase`]
    /// ends its tokens. The content that the user wrote is removed after that, also if this process ends; see
    /// [`crate::store::Jobs`].
    ///
    /// # Errors
    /// `NotFound`; `Unavailable`.
    pub async fn erase(&self, user: UserId) -> Result<Revocation, Failure> {
        let now = self.inner.environment.now();
        let revocation = self.write(self.inner.store.erase(user, now)).await??;
        self.inner.backlogs.hint();
        Ok(revocation)
    }

    /// Work that continues after its operation was answered.
    pub fn backlogs(&self) -> &Arc<Backlogs> {
        &self.inner.backlogs
    }
}
