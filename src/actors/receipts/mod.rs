//! Receipts: stores read and delivered positions, many in one transaction, and sends them to the users
//! concerned.
//!
//! - *Owns*: receipts that wait to be stored ([`state`]).
//! - *Receives*: receipts from sessions.
//! - *Emits*: one call of the store per tick, then one `receipt` signal for each that moved.
//! - *Limits*: `receipts.queue_receipts` pairs of user and conversation.
//! - *On restart*: receipts in memory are lost; clients send a newer one with the next message they show.
//! - *On full*: the receipt is dropped and counted. Positions only move forward, so the next one makes up for
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
use crate::config::ReceiptsSettings;
use crate::domain::Receipt;
use crate::environment::SharedEnvironment;
use crate::panics;
use crate::store::{MovedReceipt, SharedStore};
use crate::telemetry::Meters;

/// The actor that stores receipts.
pub struct Receipts {
    state: ReceiptsState,
    storing: bool,
    store: SharedStore,
    router: Arc<Router>,
    environment: SharedEnvironment,
    meters: Arc<Meters>,
    settings: ReceiptsSettings,
}

/// A receipt to store soon.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Keep(pub Receipt);

/// The state of the actor, for inspection.
#[derive(Debug, Clone, Serialize)]
pub struct ReceiptsObserved {
    /// Users × conversations that wait.
    pub waiting_receipts: usize,
    /// Whether a batch is being stored.
    pub is_storing: bool,
}

struct Flush;

impl Receipts {
    /// An actor without waiting receipts.
    pub fn new(
        store: SharedStore,
        router: Arc<Router>,
        environment: SharedEnvironment,
        meters: Arc<Meters>,
        settings: ReceiptsSettings,
    ) -> Self {
        let state = ReceiptsState::new(settings.queue_receipts);
        Self { state, storing: false, store, router, environment, meters, settings }
    }

    fn flush(&mut self, Flush: Flush, context: &mut Context<Self>) {
        panics::point("receipts");
        self.meters.social.receipts_queued.set(self.state.waiting() as f64);
        if self.storing || self.state.waiting() == 0 {
            rare!(ReceiptsWaitForTheStore, self.state.waiting() > 0);
            return;
        }
        let (receipts, now) = (self.state.take(), self.environment.now());
        let store = Arc::clone(&self.store);
        self.storing = true;
        let stored = async move {
            let stored = store.move_receipts(&receipts, now).await;
            (stored, receipts)
        };
        context.spawn(stored.into_actor(self).map(|(stored, receipts), actor, _| {
            actor.storing = false;
            match stored {
                Ok(moved) => {
                    rare!(ReceiptBehindTheStoredOne, moved.len() < receipts.len());
                    actor.meters.social.receipts_stored.increment(moved.len() as u64);
                    moved.into_iter().for_each(|moved| announce(&actor.router, moved));
                }
                // Receipts only move forward, so storing them again is safe.
                Err(_) => receipts.into_iter().for_each(|receipt| {
                    rare!(ReceiptKeptForAnotherTry);
                    actor.state.offer(receipt);
                }),
            }
        }));
    }
}

/// Sends a receipt that moved to the users concerned.
pub fn announce(router: &Router, MovedReceipt { receipt, audience }: MovedReceipt) {
    let Receipt { user, conversation, delivered, read } = receipt;
    router.signal(Signal::Receipt { conversation, user, delivered, read }, audience);
}

impl Actor for Receipts {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.set_mailbox_capacity(self.settings.queue_receipts);
        context.run_interval(Duration::from_millis(self.settings.flush_ms), |receipts, context| {
            receipts.flush(Flush, context);
        });
    }
}

impl Handler<Keep> for Receipts {
    type Result = ();

    fn handle(&mut self, Keep(receipt): Keep, _: &mut Context<Self>) {
        if !self.state.offer(receipt) {
            self.meters.load.sheds.of("receipts").increment(1);
        }
    }
}

impl Handler<Observe<ReceiptsObserved>> for Receipts {
    type Result = MessageResult<Observe<ReceiptsObserved>>;

    fn handle(&mut self, _: Observe<ReceiptsObserved>, _: &mut Context<Self>) -> Self::Result {
        MessageResult(ReceiptsObserved { waiting_receipts: self.state.waiting(), is_storing: self.storing })
    }
}
