//! Carrying out what a session's rules want.

use std::rc::Rc;

use super::Hub;
use crate::actors::writer::{Asker, Job};
use crate::gateway::session::connection::Connection;
use crate::gateway::session::effect::Effect;
use crate::protocol::frame::{Opcode, frame};
use crate::protocol::server::ServerFrame;
use crate::protocol::{Failure, RequestId};

impl Hub {
    /// Carries out one effect. What takes time goes on in a task of this thread and comes back by the session's key.
    pub(super) fn carry_out(self: &Rc<Self>, connection: &Rc<Connection>, effect: Effect) {
        match effect {
            Effect::Error { id, error } => self.say_error(connection, id.as_ref(), &error),
            Effect::Ok(id) => self.say(connection, &ServerFrame::Ok { id: &id }),
            Effect::Pong(id) => {
                let server_time = self.node.environment().now();
                self.say(connection, &ServerFrame::Pong { id: id.as_ref(), server_time });
            }
            Effect::Ping => self.push(connection, frame(Opcode::Ping, b"")),
            Effect::TokenExpiring { expires_in_ms } => {
                self.say(connection, &ServerFrame::TokenExpiring { expires_in_ms });
            }
            Effect::Close(close) => self.close(connection, close),
            Effect::Authenticate { token, refresh } => self.authenticate(connection, token, refresh),
            Effect::Enter { user, since, brought_cursor, positions } => {
                self.enter(connection, user, since, brought_cursor, positions);
            }
            Effect::CatchUp => self.catch_up(connection),
            Effect::Compare => self.compare(connection),
            Effect::LookAgain => self.look_again(connection),
            Effect::Review => self.review(connection),
            Effect::Send { id, message } => {
                let meters = self.node.meters();
                meters.sends.sends.increment(1);
                let received_us = self.node.environment().monotonic_us();
                let asker = Asker::Session { worker: self.worker, session: connection.key(), id: id.clone() };
                let submitted = self
                    .node
                    .admit_send(message.sender)
                    .and_then(|()| self.node.writer().submit(Job::Send { message, received_us, asker }));
                if let Err(failure) = submitted {
                    self.refuse(connection, &id, failure);
                }
            }
            Effect::Change { id, conversation, change } => {
                let Some(actor) = connection.user() else { return };
                let asker = Asker::Session { worker: self.worker, session: connection.key(), id: id.clone() };
                let received_us = self.node.environment().monotonic_us();
                let submitted = self.node.admit_request(actor).and_then(|()| {
                    self.node.writer().submit(Job::Change { actor, conversation, change, received_us, asker })
                });
                if let Err(failure) = submitted {
                    self.refuse(connection, &id, failure);
                }
            }
            Effect::Mark { id, mark } => {
                let kind = if mark.read.is_some() { "read" } else { "delivered" };
                self.node.meters().social.marks.of(kind).increment(1);
                match id {
                    None => self.node.mark_soon(mark),
                    Some(id) => self.mark(connection, id, mark),
                }
            }
            Effect::Typing { conversation, on } => {
                let Some(user) = connection.user() else { return };
                // Typing is told at leisure or not at all: over the rate it is dropped without a word.
                if self.node.admit_request(user).is_ok() {
                    match on {
                        true => self.node.typing().begin(user, conversation, (self.worker, connection.key())),
                        false => self.node.typing().stop(user, conversation),
                    }
                }
            }
            Effect::Watch { id, users } => self.watch(connection, id, users),
            Effect::Unwatch { id, users } => {
                for user in users {
                    self.unwatch(connection, user);
                }
                self.say(connection, &ServerFrame::Ok { id: &id });
            }
            Effect::Sync { id, ranges } => self.sync(connection, id, ranges),
            Effect::Moved { from, to } => {
                if let Some(user) = connection.user() {
                    self.node.presence().moved(user, from, to);
                }
            }
        }
    }

    /// Answers a request that was under way with a failure.
    pub(super) fn refuse(self: &Rc<Self>, connection: &Rc<Connection>, id: &RequestId, failure: Failure) {
        connection.state.borrow_mut().on_answered();
        self.say_error(connection, Some(id), &failure.into());
    }
}
