//! The actor around a connection: reads while its rules allow, and says when the connection is over.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix::fut::ActorFuture;
use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext};

use super::context::SessionContext;
use crate::gateway::hub::Hub;
use crate::gateway::session::connection::Connection;
use crate::panics;

/// One connection's actor.
pub struct Session {
    connection: Rc<Connection>,
    hub: Rc<Hub>,
}

impl Session {
    /// Starts the actor of a connection on this thread.
    pub fn start_on(connection: Rc<Connection>, hub: Rc<Hub>) {
        let session = Self { connection: Rc::clone(&connection), hub: Rc::clone(&hub) };
        actix_rt::spawn(SessionTask { context: SessionContext::future(session), connection, hub });
    }
}

impl Actor for Session {
    type Context = SessionContext;

    fn started(&mut self, context: &mut SessionContext) {
        context.spawn(ReadLoop.map(|(), _, context: &mut SessionContext| context.stop()));
    }

    fn stopped(&mut self, _: &mut SessionContext) {
        self.hub.forget(&self.connection);
    }
}

/// Reads that one poll may make before other tasks have their turn.
const READS_PER_POLL: usize = 16;

/// Reads frames until the connection is over.
struct ReadLoop;

impl ActorFuture<Session> for ReadLoop {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        session: &mut Session,
        _: &mut SessionContext,
        task: &mut Context<'_>,
    ) -> Poll<()> {
        let (connection, hub) = (&session.connection, &session.hub);
        for _ in 0..READS_PER_POLL {
            if connection.is_over() {
                return Poll::Ready(());
            }
            if !connection.may_read(hub.bounds()) {
                connection.read_is_paused();
                return Poll::Pending;
            }
            hub.handle_carried(connection);
            if !connection.may_read(hub.bounds()) {
                connection.read_is_paused();
                return Poll::Pending;
            }
            match connection.stream().poll_read_ready(task) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) => {}
            }
            match hub.read(connection) {
                Ok(0) => return Poll::Ready(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Poll::Ready(()),
            }
        }
        task.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Drives the actor, then writes what it and others queued: one vectored write for all of it.
struct SessionTask {
    context: actix::dev::ContextFut<Session, SessionContext>,
    connection: Rc<Connection>,
    hub: Rc<Hub>,
}

impl Future for SessionTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<()> {
        self.connection.remember_task(task.waker());
        let Ok(served) = panics::caught(|| self.as_mut().serve(task)) else {
            self.hub.panicked(&self.connection);
            self.hub.forget(&self.connection);
            return Poll::Ready(());
        };
        served
    }
}

impl SessionTask {
    fn serve(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<()> {
        if Pin::new(&mut self.context).poll(task).is_ready() {
            return Poll::Ready(());
        }
        loop {
            let drained = self.hub.flush(&self.connection);
            if self.connection.is_over() || self.connection.may_resume_reading(self.hub.bounds()) {
                task.waker().wake_by_ref();
                return Poll::Pending;
            }
            if drained {
                return Poll::Pending;
            }
            match self.connection.stream().poll_write_ready(task) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => self.connection.end(),
            }
        }
    }
}
