//! A weak reference to a session, for work that waits: a task with it does not keep the session alive.

use std::rc::{Rc, Weak};

use super::Session;
use super::stream::ByteStream;
use super::worker::Worker;
use crate::panics;

/// A session that may have ended.
pub struct SessionRef<S> {
    /// The state that it shares with the other sessions of its thread.
    pub worker: Rc<Worker<S>>,
    session: Weak<Session<S>>,
}

impl<S> Clone for SessionRef<S> {
    fn clone(&self) -> Self {
        Self { worker: Rc::clone(&self.worker), session: Weak::clone(&self.session) }
    }
}

impl<S: ByteStream> SessionRef<S> {
    /// Refers to `session`.
    pub fn of(session: &Rc<Session<S>>) -> Self {
        Self { worker: Rc::clone(&session.worker), session: Rc::downgrade(session) }
    }

    /// The session, unless its connection has ended.
    pub fn get(&self) -> Option<Rc<Session<S>>> {
        self.session.upgrade().filter(|session| !session.is_over())
    }

    /// The session, unless its connection is ending.
    pub fn open(&self) -> Option<Rc<Session<S>>> {
        self.session.upgrade().filter(|session| !session.is_closing())
    }

    /// Runs `act` with the session and writes what it queued. Does nothing if the session has ended.
    pub fn with(&self, act: impl FnOnce(&Rc<Session<S>>)) {
        if let Some(session) = self.get() {
            act(&session);
            session.flush_or_wake();
        }
    }

    /// Waits until the session's queue has room. Returns `false` if the connection is ending.
    pub async fn room(&self) -> bool {
        loop {
            let Some(session) = self.open() else { return false };
            if session.connection.waiting_bytes() <= session.room_bytes() {
                return true;
            }
            rare!(AnswerWaitsForRoom);
            let answers = session.answers();
            // The wait must not keep the session alive.
            drop(session);
            answers.room.notified().await;
        }
    }
}

impl<S: ByteStream> Session<S> {
    /// Runs work for this session in a task of this thread. A panic in it ends only this session.
    pub(super) fn spawn<W>(self: &Rc<Self>, work: impl FnOnce(SessionRef<S>) -> W)
    where
        W: Future<Output = ()> + 'static,
    {
        let this = SessionRef::of(self);
        // Boxed before it is wrapped, so that the future is not stored twice.
        let work = Box::pin(work(this.clone()));
        actix_rt::spawn(async move {
            if panics::contained(work).await.is_err()
                && let Some(session) = this.get()
            {
                session.panicked();
            }
        });
    }
}
