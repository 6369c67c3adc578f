//! A session's own actix context: a mailbox and spawned futures, and no buffer, stream or writer besides (ADR 0001).

use actix::dev::{AsyncContextParts, ContextFut, ContextParts, Mailbox};
use actix::fut::ActorFuture;
use actix::{ActorContext, ActorState, Addr, AsyncContext, SpawnHandle};

use super::Session;

/// The context that [`Session`] runs in.
pub struct SessionContext {
    parts: ContextParts<Session>,
}

impl SessionContext {
    /// The future that runs `session`.
    pub fn future(session: Session) -> ContextFut<Session, Self> {
        let mailbox = Mailbox::default();
        let context = Self { parts: ContextParts::new(mailbox.sender_producer()) };
        ContextFut::new(context, session, mailbox)
    }
}

impl ActorContext for SessionContext {
    fn stop(&mut self) {
        self.parts.stop();
    }

    fn terminate(&mut self) {
        self.parts.terminate();
    }

    fn state(&self) -> ActorState {
        self.parts.state()
    }
}

impl AsyncContext<Session> for SessionContext {
    fn spawn<F>(&mut self, future: F) -> SpawnHandle
    where
        F: ActorFuture<Session, Output = ()> + 'static,
    {
        self.parts.spawn(future)
    }

    fn wait<F>(&mut self, future: F)
    where
        F: ActorFuture<Session, Output = ()> + 'static,
    {
        self.parts.wait(future);
    }

    fn waiting(&self) -> bool {
        self.parts.waiting()
    }

    fn cancel_future(&mut self, handle: SpawnHandle) -> bool {
        self.parts.cancel_future(handle)
    }

    fn address(&self) -> Addr<Session> {
        self.parts.address()
    }
}

impl AsyncContextParts<Session> for SessionContext {
    fn parts(&mut self) -> &mut ContextParts<Session> {
        &mut self.parts
    }
}
