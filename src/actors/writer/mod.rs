//! Writer: the only way into the log for messages and changes.
//!
//! - *Owns*: the queue of one shard ([`state`]). Conversations are spread over shards by their id. All shards
//!   pass one [`gate`]: it allows fewer batches in flight while commits are slow, and only one trial batch
//!   while the database is unavailable.
//! - *Receives*: sends and changes from sessions and REST. Their shape and size were checked.
//! - *Emits*: after the commit, in one batch per worker: first the replies, then the events ([`Router`]).
//! - *Limits*: `writer.queue_messages` jobs wait; `writer.batch_messages` go into one transaction; one
//!   transaction is in flight.
//! - *On restart*: jobs in memory are lost. They were never acknowledged; clients repeat them with the same
//!   `client_id`.
//! - *On full*: `overloaded` with a wait; nothing was done. A job that has waited half of its time is
//!   answered the same: from arrival to answer a job takes at most `store.timeout_ms`.

pub mod breaker;
pub mod gate;
mod job;
pub mod limit;
mod moderation;
mod observed;
mod replies;
pub mod state;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use actix::prelude::SendError;
use actix::{Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, WrapFuture};

use self::gate::{Gate, GateClosed};
pub use self::job::{Asker, Job};
use self::replies::{answer, failed_send, refusal};
use self::state::WriterState;
use super::inbox::Reply;
use super::observe;
use super::router::Router;
use crate::audit::AuditLog;
use crate::config::WriterSettings;
use crate::domain::MessageId;
use crate::environment::SharedEnvironment;
use crate::panics;
use crate::protocol::Failure;
use crate::store::{self, AppendError, SharedStore, StoreError};
use crate::telemetry::Meters;
use crate::telemetry::inspect::Inspection;

/// The bounds of a writer shard.
#[derive(Debug, Clone, Copy)]
pub struct WriterOptions {
    /// Shards, batches and queues.
    pub writer: WriterSettings,
    /// How long a job may take, from its arrival to its answer.
    pub timeout: Duration,
    /// Ends the process after this many commits, before anything is published; for tests of the relay.
    pub crash_after_commits: Option<u64>,
}

/// How long clients are asked to wait when a queue is full.
const OVERLOADED_RETRY_AFTER_MS: u64 = 500;

/// The handle to all shards of a node.
#[derive(Clone)]
pub struct Writer {
    shards: Arc<[Addr<WriterShard>]>,
    shared: Arc<ShardContext>,
}

impl Writer {
    /// Starts the shards as actors on the calling thread.
    pub fn start(
        store: &SharedStore,
        router: &Arc<Router>,
        environment: &SharedEnvironment,
        meters: &Arc<Meters>,
        audit: AuditLog,
        options: WriterOptions,
    ) -> Self {
        let shared = Arc::new(ShardContext {
            store: Arc::clone(store),
            router: Arc::clone(router),
            gate: Gate::new(
                options.writer.shards,
                Duration::from_millis(options.writer.target_commit_ms),
                Arc::clone(environment),
                Arc::clone(meters),
            ),
            environment: Arc::clone(environment),
            meters: Arc::clone(meters),
            audit,
            options,
            commits: AtomicU64::new(0),
            unanswered: AtomicUsize::new(0),
        });
        let shards = (0..options.writer.shards.max(1)).map(|_| {
            let shard = WriterShard {
                state: WriterState::new(options.writer.batch_messages, options.writer.queue_messages),
                shared: Arc::clone(&shared),
            };
            WriterShard::create(move |context| {
                context.set_mailbox_capacity(shard.shared.options.writer.queue_messages);
                shard
            })
        });
        Self { shards: shards.collect(), shared }
    }

    /// Whether jobs are refused because the last batches failed in the store.
    pub fn is_refusing(&self) -> bool {
        self.shared.gate.closed_ms().is_some()
    }

    /// Whether every job that was taken has its answer on its way.
    pub fn is_idle(&self) -> bool {
        self.shared.unanswered.load(Ordering::SeqCst) == 0
    }

    /// Adds the gate and each shard to what is shown.
    pub fn show(&self, inspection: &Inspection) {
        let shared = Arc::clone(&self.shared);
        inspection.add_value("writer gate", move || shared.gate.observed());
        for (number, shard) in self.shards.iter().enumerate() {
            observe::show(inspection, format!("writer shard {number}"), shard.clone());
        }
    }

    /// Hands over a job. Its answer goes to its asker.
    ///
    /// # Errors
    /// Nothing was done, and the asker gets no answer: the queue is full (`Overloaded`), or the process stops
    /// (`Unavailable`).
    pub fn submit(&self, job: Job) -> Result<(), Failure> {
        let bytes = job.conversation().as_uuid().as_u128();
        let shard = (bytes >> 64) as usize % self.shards.len();
        self.shared.unanswered.fetch_add(1, Ordering::SeqCst);
        self.shards[shard].try_send(Submit(job)).map_err(|error| {
            self.shared.answered(1);
            match error {
                SendError::Full(_) => {
                    rare!(WriterMailboxFull);
                    OVERLOADED
                }
                SendError::Closed(_) => Failure::Unavailable { definite: true },
            }
        })
    }
}

/// The actor of one shard.
pub struct WriterShard {
    state: WriterState<Job>,
    shared: Arc<ShardContext>,
}

/// The parts that all shards use.
struct ShardContext {
    store: SharedStore,
    router: Arc<Router>,
    gate: Gate,
    environment: SharedEnvironment,
    meters: Arc<Meters>,
    audit: AuditLog,
    options: WriterOptions,
    commits: AtomicU64,
    /// Jobs that were taken and whose answer is not on its way yet.
    unanswered: AtomicUsize,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Submit(Job);

impl Actor for WriterShard {
    type Context = Context<Self>;
}

impl Handler<Submit> for WriterShard {
    type Result = ();

    fn handle(&mut self, Submit(job): Submit, context: &mut Context<Self>) {
        if self.shared.gate.closed_ms().is_some() {
            rare!(JobRefusedByTheBreaker);
            self.shared.refuse(vec![job], "breaker", &Failure::Unavailable { definite: true });
            return self.shared.answered(1);
        }
        if let Err(job) = self.state.submit(job) {
            rare!(WriterQueueFull);
            self.shared.refuse(vec![job], "writer_queue", &OVERLOADED);
            self.shared.answered(1);
        }
        self.begin_next(context);
    }
}

const OVERLOADED: Failure = Failure::Overloaded { retry_after_ms: OVERLOADED_RETRY_AFTER_MS };

impl WriterShard {
    fn begin_next(&mut self, context: &mut Context<Self>) {
        self.shared.meters.writer.queue.set(self.state.waiting() as f64);
        let Some(work) = self.state.next_work() else { return };
        let (shared, jobs) = (Arc::clone(&self.shared), work.len());
        let carried_out = async move {
            shared.carry_out(work).await;
            shared.answered(jobs);
        };
        context.spawn(carried_out.into_actor(self).map(|(), shard, context| {
            shard.state.done();
            shard.begin_next(context);
        }));
    }
}

impl ShardContext {
    fn answered(&self, jobs: usize) {
        self.unanswered.fetch_sub(jobs, Ordering::SeqCst);
    }

    fn refuse(&self, jobs: Vec<Job>, reason: &'static str, failure: &Failure) {
        if jobs.is_empty() {
            return;
        }
        self.meters.load.sheds.of(reason).increment(jobs.len() as u64);
        let replies = jobs.into_iter().filter_map(|job| refusal(job, failure.clone())).collect();
        self.router.committed(&[], replies);
    }

    async fn carry_out(&self, work: Vec<Job>) {
        panics::point("writer");
        let whole_us = u64::try_from(self.options.timeout.as_micros()).unwrap_or(u64::MAX);
        let now_us = self.environment.monotonic_us();
        let age_us = |job: &Job| now_us.saturating_sub(job.received_us());
        let (late, work): (Vec<Job>, Vec<Job>) = work.into_iter().partition(|job| age_us(job) > whole_us / 2);
        rare!(JobWaitedTooLong, !late.is_empty());
        self.refuse(late, "writer_wait", &OVERLOADED);
        let Some(oldest_us) = work.iter().map(Job::received_us).min() else { return };
        let pass = match self.gate.pass(self.options.timeout / 4).await {
            Ok(pass) => pass,
            Err(GateClosed::Away { .. }) => {
                rare!(BreakerOpenForABatch);
                return self.refuse(work, "breaker", &Failure::Unavailable { definite: true });
            }
            Err(GateClosed::Busy) => {
                rare!(GateBusyForTooLong);
                return self.refuse(work, "writer_wait", &OVERLOADED);
            }
        };
        let spent_us = self.environment.monotonic_us().saturating_sub(oldest_us);
        let left = Duration::from_micros(whole_us.saturating_sub(spent_us));
        let (worked, timed_out) = match work.first() {
            Some(Job::Change { .. }) => self.carry_out_change(work, left).await,
            _ => self.carry_out_sends(work, left).await,
        };
        pass.ended(worked, timed_out);
    }

    async fn carry_out_change(&self, mut work: Vec<Job>, left: Duration) -> (bool, bool) {
        let Some(Job::Change { actor, conversation, change, asker, .. }) = work.pop() else {
            return (true, false);
        };
        let (now, now_us) = (self.environment.now(), self.environment.monotonic_us());
        let done = store::within(left, self.store.change(actor, conversation, &change, now)).await;
        let health = self.health(&done, now_us, left);
        self.crash_point(health.0);
        let result = done.map_err(Failure::from).and_then(|outcome| outcome.map_err(Failure::from));
        let (committed, result) = match result {
            Ok(changed) => {
                rare!(ChangeMadeBefore, changed.committed.is_empty());
                if let Some(entry) = moderation::entry(actor, conversation, &change, &changed, now) {
                    self.audit.note(entry);
                }
                (changed.committed.clone(), Ok(changed))
            }
            Err(failure) => {
                rare!(ChangeWithUnknownResult, matches!(failure, Failure::Unavailable { definite: false }));
                (Vec::new(), Err(failure))
            }
        };
        let reply = answer(asker, result, |done| Reply::Changed(done.map(|changed| (conversation, changed))));
        self.router.committed(&committed, reply.into_iter().collect());
        health
    }

    async fn carry_out_sends(&self, work: Vec<Job>, left: Duration) -> (bool, bool) {
        let mut messages = Vec::with_capacity(work.len());
        let mut askers = Vec::with_capacity(work.len());
        for job in work {
            if let Job::Send { message, received_us, asker } = job {
                messages.push(message);
                askers.push((asker, received_us));
            }
        }
        self.meters.writer.batch.record(messages.len() as f64);
        let (now, began_us) = (self.environment.now(), self.environment.monotonic_us());
        let done = store::within(left, self.store.append(&messages, now)).await;
        let (worked, timed_out) = self.health(&done, began_us, left);
        self.crash_point(worked);
        let ended_us = self.environment.monotonic_us();
        let mut committed = Vec::new();
        let mut replies = Vec::with_capacity(askers.len());
        let mut partly_failed = false;
        match done.map_err(Failure::from) {
            Ok(results) => {
                partly_failed = results
                    .iter()
                    .any(|result| matches!(result, Err(AppendError::Failed(StoreError::Unavailable { .. }))));
                if partly_failed {
                    rare!(BatchPartlyStored);
                    tracing::warn!("a part of a batch was not stored");
                }
                for (((asker, received_us), message), result) in
                    askers.into_iter().zip(&messages).zip(results)
                {
                    let message_id = MessageId::derive(message.sender, message.client_id);
                    let result = result.map_err(|error| match error {
                        AppendError::Refused(refusal) => {
                            rare!(SendMeetsABlock, refusal == crate::domain::Refusal::Blocked);
                            rare!(
                                SendByAMutedMember,
                                matches!(refusal, crate::domain::Refusal::Muted { .. })
                            );
                            rare!(SendByANonMember, refusal == crate::domain::Refusal::NotMember);
                            Failure::from(refusal)
                        }
                        AppendError::Failed(error) => Failure::from(error),
                    });
                    if let Ok(appended) = &result {
                        let new = appended.committed.is_some();
                        rare!(SendRepeated, !new);
                        let kind = if new { &self.meters.sends.acks } else { &self.meters.sends.duplicates };
                        kind.increment(1);
                        self.meters.sends.ack_latency.record_since_us(received_us, ended_us);
                        committed.extend(appended.committed.clone());
                    }
                    replies.extend(answer(asker, result, |done| {
                        Reply::Sent(done.map(|appended| (message_id, appended)))
                    }));
                }
            }
            Err(failure) => {
                rare!(SendWithUnknownResult, matches!(failure, Failure::Unavailable { definite: false }));
                for (asker, _) in askers {
                    replies.extend(answer(asker, Err(failure.clone()), failed_send));
                }
            }
        }
        self.router.committed(&committed, replies);
        (worked && !partly_failed, timed_out)
    }

    /// What a call says about the database. It began at `began_us` and had `left` to answer. The result:
    /// whether the database works (a damaged row does not mean the contrary), and whether it did not answer
    /// in time.
    fn health<T>(&self, answer: &Result<T, StoreError>, began_us: u64, left: Duration) -> (bool, bool) {
        let worked = matches!(answer, Ok(_) | Err(StoreError::Inconsistent(_)));
        let took_us = self.environment.monotonic_us().saturating_sub(began_us);
        (worked, !worked && u128::from(took_us) >= left.as_micros())
    }

    /// Between commit and publication. If the process ends here, only the relay publishes the event.
    fn crash_point(&self, committed: bool) {
        if let Some(after) = self.options.crash_after_commits
            && committed
            && self.commits.fetch_add(1, Ordering::Relaxed) + 1 >= after
        {
            tracing::error!("ending between commit and publication, as asked");
            std::process::abort();
        }
    }
}
