//! Writer: the one way into the log for what people say and change.
//!
//! - *Owns*: the queue of one shard ([`state`]); conversations are spread over shards by their id.
//! - *Receives*: sends and changes that passed all checks of shape and size, from sessions and REST.
//! - *Emits*: after the commit, in this order and in one hand-over per worker: replies, then events ([`Router`]).
//! - *Limits*: `writer.queue_messages` jobs wait, `writer.batch_messages` go into one transaction, one is in flight.
//! - *On restart*: jobs in memory are gone and were never acknowledged; clients repeat them with the same `client_id`.
//! - *On full*: `overloaded` with a wait; nothing was done.

pub mod state;

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, Addr, Arbiter, AsyncContext, Context, Handler, Message, WrapFuture};
use tokio::sync::oneshot;

use self::state::{Job as StateJob, Sharing, WriterState};
use super::inbox::{Item, Reply, SessionKey};
use super::router::interest::WorkerId;
use super::router::{RoutedReply, Router};
use crate::domain::{ConversationId, MessageId, UserId};
use crate::environment::SharedEnvironment;
use crate::protocol::{Failure, RequestId};
use crate::store::{Appended, Change, Changed, NewMessage, SharedStore, StoreError};
use crate::telemetry::Meters;

/// The bounds of a writer shard.
#[derive(Debug, Clone, Copy)]
pub struct WriterOptions {
    /// How many shards there are.
    pub shards: usize,
    /// Sends in one transaction.
    pub batch_messages: usize,
    /// Jobs that may wait per shard.
    pub queue_messages: usize,
    /// How long a transaction may take.
    pub timeout: Duration,
}

/// Who waits for a job's answer.
#[derive(Debug)]
pub enum Asker<T> {
    /// A session, answered through its worker's inbox.
    Session {
        /// Its worker.
        worker: WorkerId,
        /// The session.
        session: SessionKey,
        /// The request to answer.
        id: RequestId,
    },
    /// A REST request, or a test.
    Waiter(oneshot::Sender<Result<T, Failure>>),
}

/// A job for the log.
#[derive(Debug)]
pub enum Job {
    /// Append a message.
    Send {
        /// The message.
        message: NewMessage,
        /// When it was received, for the ack latency.
        received_us: u64,
        /// Who waits.
        asker: Asker<Appended>,
    },
    /// Carry out a change.
    Change {
        /// As whom.
        actor: UserId,
        /// Where.
        conversation: ConversationId,
        /// What.
        change: Change,
        /// Who waits.
        asker: Asker<Changed>,
    },
}

impl StateJob for Job {
    fn sharing(&self) -> Sharing {
        match self {
            Self::Send { .. } => Sharing::Batched,
            Self::Change { .. } => Sharing::Alone,
        }
    }
}

impl Job {
    fn conversation(&self) -> ConversationId {
        match self {
            Self::Send { message, .. } => message.target.conversation(message.sender),
            Self::Change { conversation, .. } => *conversation,
        }
    }
}

/// How long peers wait when a queue is full.
const OVERLOADED_RETRY_AFTER_MS: u64 = 500;

/// What callers hold: all shards of a node.
#[derive(Clone)]
pub struct Writer {
    shards: Arc<[Addr<WriterShard>]>,
}

impl Writer {
    /// Starts the shards, each on `arbiter`.
    pub fn start(
        arbiter: &Arbiter,
        store: &SharedStore,
        router: &Arc<Router>,
        environment: &SharedEnvironment,
        meters: &Arc<Meters>,
        options: WriterOptions,
    ) -> Self {
        let shards = (0..options.shards.max(1)).map(|_| {
            let shard = WriterShard {
                state: WriterState::new(options.batch_messages, options.queue_messages),
                store: Arc::clone(store),
                router: Arc::clone(router),
                environment: Arc::clone(environment),
                meters: Arc::clone(meters),
                options,
            };
            WriterShard::start_in_arbiter(&arbiter.handle(), move |context| {
                context.set_mailbox_capacity(shard.options.queue_messages);
                shard
            })
        });
        Self { shards: shards.collect() }
    }

    /// Hands over a job; its answer comes to its asker.
    ///
    /// # Errors
    /// `Overloaded` when the shard's queue is full: nothing was done, the asker is not answered.
    pub fn submit(&self, job: Job) -> Result<(), Failure> {
        let bytes = job.conversation().as_uuid().as_u128();
        let shard = (bytes >> 64) as usize % self.shards.len();
        self.shards[shard]
            .try_send(Submit(job))
            .map_err(|_| Failure::Overloaded { retry_after_ms: OVERLOADED_RETRY_AFTER_MS })
    }
}

/// One shard's actor.
pub struct WriterShard {
    state: WriterState<Job>,
    store: SharedStore,
    router: Arc<Router>,
    environment: SharedEnvironment,
    meters: Arc<Meters>,
    options: WriterOptions,
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
        if let Err(job) = self.state.submit(job) {
            self.meters.load.sheds.of("writer_queue").increment(1);
            self.refuse(vec![job], &Failure::Overloaded { retry_after_ms: OVERLOADED_RETRY_AFTER_MS });
        }
        self.begin_next(context);
    }
}

impl WriterShard {
    fn begin_next(&mut self, context: &mut Context<Self>) {
        self.meters.writer.queue.set(self.state.waiting() as f64);
        let Some(work) = self.state.next_work() else { return };
        let (store, environment) = (Arc::clone(&self.store), Arc::clone(&self.environment));
        let (router, meters) = (Arc::clone(&self.router), Arc::clone(&self.meters));
        let timeout = self.options.timeout;
        let carried_out =
            async move { carry_out(work, &*store, &environment, &router, &meters, timeout).await };
        context.spawn(carried_out.into_actor(self).map(|(), shard, context| {
            shard.state.done();
            shard.begin_next(context);
        }));
    }

    fn refuse(&self, jobs: Vec<Job>, failure: &Failure) {
        let replies = jobs.into_iter().filter_map(|job| refusal(job, failure.clone())).collect();
        self.router.committed(Vec::new(), replies);
    }
}

async fn carry_out(
    mut work: Vec<Job>,
    store: &dyn crate::store::Store,
    environment: &SharedEnvironment,
    router: &Router,
    meters: &Meters,
    timeout: Duration,
) {
    let now = environment.now();
    if let Some(Job::Change { .. }) = work.first() {
        if let Some(Job::Change { actor, conversation, change, asker }) = work.pop() {
            let done = tokio::time::timeout(timeout, store.change(actor, conversation, &change, now)).await;
            let result = flatten(done).and_then(|outcome| outcome.map_err(Failure::from));
            let (committed, result) = match result {
                Ok(changed) => (changed.committed.clone(), Ok(changed)),
                Err(failure) => (Vec::new(), Err(failure)),
            };
            let reply =
                answer(asker, result, |done| Reply::Changed(done.map(|changed| (conversation, changed))));
            router.committed(committed, reply.into_iter().collect());
        }
        return;
    }
    let mut messages = Vec::with_capacity(work.len());
    let mut askers = Vec::with_capacity(work.len());
    for job in work {
        if let Job::Send { message, received_us, asker } = job {
            messages.push(message);
            askers.push((asker, received_us));
        }
    }
    meters.writer.batch.record(messages.len() as f64);
    let began_us = environment.monotonic_us();
    let done = flatten(tokio::time::timeout(timeout, store.append(&messages, now)).await);
    let ended_us = environment.monotonic_us();
    meters.store.latency.of("append").record_since_us(began_us, ended_us);
    let mut committed = Vec::new();
    let mut replies = Vec::with_capacity(askers.len());
    match done {
        Ok(results) => {
            for (((asker, received_us), message), result) in askers.into_iter().zip(&messages).zip(results) {
                let message_id = MessageId::derive(message.sender, message.client_id);
                let result = result.map_err(Failure::from);
                if let Ok(appended) = &result {
                    let kind = if appended.committed.is_some() {
                        &meters.sends.acks
                    } else {
                        &meters.sends.duplicates
                    };
                    kind.increment(1);
                    meters.sends.ack_latency.record_since_us(received_us, ended_us);
                    committed.extend(appended.committed.clone());
                }
                replies.extend(answer(asker, result, |done| {
                    Reply::Sent(done.map(|appended| (message_id, appended)))
                }));
            }
        }
        Err(failure) => {
            for (asker, _) in askers {
                replies.extend(answer(asker, Err(failure.clone()), failed_send));
            }
        }
    }
    router.committed(committed, replies);
}

/// A dependency's answer within its deadline; what a deadline leaves unknown is indefinite.
fn flatten<T>(answer: Result<Result<T, StoreError>, tokio::time::error::Elapsed>) -> Result<T, Failure> {
    match answer {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the log refused a transaction");
            Err(Failure::Unavailable {
                definite: matches!(error, StoreError::Unavailable { definite: true, .. }),
            })
        }
        Err(_) => {
            tracing::warn!("the log did not answer in time");
            Err(Failure::Unavailable { definite: false })
        }
    }
}

fn answer<T>(
    asker: Asker<T>,
    result: Result<T, Failure>,
    reply: impl FnOnce(Result<T, Failure>) -> Reply,
) -> Option<RoutedReply> {
    match asker {
        Asker::Session { worker, session, id } => {
            Some(RoutedReply { worker, item: Item::Reply { session, id, reply: reply(result) } })
        }
        Asker::Waiter(waiter) => {
            // The waiter may have gone; what was committed stays committed and a retry finds it.
            let _ = waiter.send(result);
            None
        }
    }
}

fn refusal(job: Job, failure: Failure) -> Option<RoutedReply> {
    match job {
        Job::Send { asker, .. } => answer(asker, Err(failure), failed_send),
        Job::Change { conversation, asker, .. } => {
            answer(asker, Err(failure), |done| Reply::Changed(done.map(|changed| (conversation, changed))))
        }
    }
}

fn failed_send(done: Result<Appended, Failure>) -> Reply {
    Reply::Sent(Err(done.err().unwrap_or(Failure::Unavailable { definite: false })))
}
