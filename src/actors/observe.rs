//! The message that asks an actor what it shows of itself.

use std::marker::PhantomData;

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Handler, Message};
use serde::Serialize;

use crate::telemetry::inspect::Inspection;

/// Asks an actor for its state `T`.
pub struct Observe<T>(PhantomData<fn() -> T>);

impl<T: 'static> Message for Observe<T> {
    type Result = T;
}

/// Adds an actor to what is shown; it is asked by a message.
pub fn show<A, T>(inspection: &Inspection, name: impl Into<String>, actor: Addr<A>)
where
    A: Actor + Handler<Observe<T>>,
    A::Context: ToEnvelope<A, Observe<T>>,
    T: Serialize + Send + 'static,
{
    inspection.add_actor(name, move || {
        let asked = actor.send(Observe(PhantomData));
        async move { asked.await.ok() }
    });
}
