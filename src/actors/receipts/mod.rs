//! Receipts: stores read and delivered positions, many in one transaction, and sends them to the users
//! concerned.
//!
//! - *Owns*: marks that wait to be stored ([`state`]).
//! - *Receives*: marks from sessions.
//! - *Emits*: one `mark` batch per tick, then one `receipt` signal for each mark that moved a receipt.
//! - *Limits*: `receipts.queue_marks` pairs of user and conversation.
//! - *On restart*: marks in memory are lost; clients send a newer one with the next message they show.
//! - *On full*: the mark is dropped and counted. Positions only move forward, so the next mark makes up for
//!   it.

pub mod state;

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, MessageResult, WrapFuture};
use serde::Serialize;

use self::state::ReceiptsState;
use super::observe::Observe;
use super::router::Router;
use crate::bus::Signal;
use crate::domain::Mark;
use crate::environment::SharedEnvironment;
use crate::panics;
use crate::store::{Marked, SharedStore};
use crate::telemetry::Meters;

/// The actor that stores receipts.
pub struct Receipts {
    state: ReceiptsState,
    storing: bool,
    store: SharedStore,
    router: Arc<Router>,
    environment: SharedEnvironment,
    meters: Arc<Meters>,
    options: ReceiptsOptions,
}

/// The bounds of [`Receipts`].
#[derive(Debug, Clone, Copy)]
pub struct ReceiptsOptions {
    /// How often marks are stored.
    pub flush: Duration,
    /// Users × conversations that may wait.
    pub queue_marks: usize,
}

/// A receipt to store soon.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Keep(pub Mark);

/// What the actor shows of itself.
#[derive(Debug, Clone, Serialize)]
pub struct ReceiptsObserved {
    /// Users × conversations that wait.
    pub waiting_marks: usize,
    /// Whether a batch is being stored.
    pub is_storing: bool,
}

struct Flush;

impl Receipts {
    /// An actor without waiting marks.
    pub fn new(
        store: SharedStore,
        router: Arc<Router>,
        environment: SharedEnvironment,
        meters: Arc<Meters>,
        options: ReceiptsOptions,
    ) -> Self {
        let state = ReceiptsState::new(options.queue_marks);
        Self { state, storing: false, store, router, environment, meters, options }
    }

    fn flush(&mut self, Flush: Flush, context: &mut Context<Self>) {
        panics::point("receipts");
        self.meters.social.marks_queued.set(self.state.waiting() as f64);
        if self.storing || self.state.waiting() == 0 {
            return;
        }
        let (marks, now) = (self.state.take(), self.environment.now());
        let store = Arc::clone(&self.store);
        self.storing = true;
        let stored = async move {
            let stored = store.mark(&marks, now).await;
            (stored, marks)
        };
        context.spawn(stored.into_actor(self).map(|(stored, marks), receipts, _| {
            receipts.storing = false;
            match stored {
                Ok(moved) => {
                    receipts.meters.social.marks_stored.increment(moved.len() as u64);
                    moved.into_iter().for_each(|marked| announce(&receipts.router, marked));
                }
                // Marks only move forward, so storing them again is safe.
                Err(_) => marks.into_iter().for_each(|mark| {
                    receipts.state.offer(mark);
                }),
            }
        }));
    }
}

/// Sends a receipt that moved to the users concerned.
pub fn announce(router: &Router, Marked { mark, audience }: Marked) {
    let Mark { user, conversation, delivered, read } = mark;
    router.signal(Signal::Receipt { conversation, user, delivered, read }, audience);
}

impl Actor for Receipts {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.set_mailbox_capacity(self.options.queue_marks);
        context.run_interval(self.options.flush, |receipts, context| receipts.flush(Flush, context));
    }
}

impl Handler<Keep> for Receipts {
    type Result = ();

    fn handle(&mut self, Keep(mark): Keep, _: &mut Context<Self>) {
        if !self.state.offer(mark) {
            self.meters.load.sheds.of("receipts").increment(1);
        }
    }
}

impl Handler<Observe<ReceiptsObserved>> for Receipts {
    type Result = MessageResult<Observe<ReceiptsObserved>>;

    fn handle(&mut self, _: Observe<ReceiptsObserved>, _: &mut Context<Self>) -> Self::Result {
        MessageResult(ReceiptsObserved { waiting_marks: self.state.waiting(), is_storing: self.storing })
    }
}
