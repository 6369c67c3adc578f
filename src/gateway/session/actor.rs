//! The actor around a line: reads while its rules allow, and says when the connection is over.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix::fut::ActorFuture;
use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext};

use crate::gateway::context::SessionContext;
use crate::gateway::line::Line;
use crate::gateway::switchboard::Switchboard;
use crate::panics;

/// One connection's actor.
pub struct Session {
    line: Rc<Line>,
    switchboard: Rc<Switchboard>,
}

impl Session {
    /// Starts the actor of a line on this thread.
    pub fn start_on(line: Rc<Line>, switchboard: Rc<Switchboard>) {
        let session = Self { line: Rc::clone(&line), switchboard: Rc::clone(&switchboard) };
        actix_rt::spawn(SessionTask { context: SessionContext::future(session), line, switchboard });
    }
}

impl Actor for Session {
    type Context = SessionContext;

    fn started(&mut self, context: &mut SessionContext) {
        context.spawn(ReadLoop.map(|(), _, context: &mut SessionContext| context.stop()));
    }

    fn stopped(&mut self, _: &mut SessionContext) {
        self.switchboard.forget(&self.line);
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
        let (line, switchboard) = (&session.line, &session.switchboard);
        for _ in 0..READS_PER_POLL {
            if line.is_over() {
                return Poll::Ready(());
            }
            if !line.may_read(switchboard.bounds()) {
                line.read_is_paused();
                return Poll::Pending;
            }
            switchboard.obey_carried(line);
            if !line.may_read(switchboard.bounds()) {
                line.read_is_paused();
                return Poll::Pending;
            }
            match line.stream().poll_read_ready(task) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) => {}
            }
            match switchboard.read(line) {
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
    line: Rc<Line>,
    switchboard: Rc<Switchboard>,
}

impl Future for SessionTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<()> {
        self.line.remember_task(task.waker());
        let Ok(served) = panics::caught(|| self.as_mut().serve(task)) else {
            self.switchboard.panicked(&self.line);
            self.switchboard.forget(&self.line);
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
            let drained = self.switchboard.flush(&self.line);
            if self.line.is_over() || self.line.may_resume_reading(self.switchboard.bounds()) {
                task.waker().wake_by_ref();
                return Poll::Pending;
            }
            if drained {
                return Poll::Pending;
            }
            match self.line.stream().poll_write_ready(task) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => self.line.end(),
            }
        }
    }
}
