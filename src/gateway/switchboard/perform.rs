//! Carrying out what a session's rules want.

use std::rc::Rc;

use super::Switchboard;
use crate::actors::writer::{Asker, Job};
use crate::gateway::line::Line;
use crate::gateway::session::effect::Effect;
use crate::protocol::frame::{Opcode, frame};
use crate::protocol::server::ServerFrame;
use crate::protocol::{Failure, RequestId};

impl Switchboard {
    /// Carries out one effect. What takes time goes on in a task of this thread and comes back by the session's key.
    pub(super) fn perform(self: &Rc<Self>, line: &Rc<Line>, effect: Effect) {
        match effect {
            Effect::Error { id, error } => self.say_error(line, id.as_ref(), &error),
            Effect::Ok(id) => self.say(line, &ServerFrame::Ok { id: &id }),
            Effect::Pong(id) => {
                let server_time = self.node.environment().now();
                self.say(line, &ServerFrame::Pong { id: id.as_ref(), server_time });
            }
            Effect::Ping => self.push(line, frame(Opcode::Ping, b"")),
            Effect::TokenExpiring { expires_in_ms } => {
                self.say(line, &ServerFrame::TokenExpiring { expires_in_ms });
            }
            Effect::Close(close) => self.close(line, close),
            Effect::Authenticate { token, refresh } => self.authenticate(line, token, refresh),
            Effect::Enter { user, since, brought_cursor, positions } => {
                self.enter(line, user, since, brought_cursor, positions);
            }
            Effect::CatchUp => self.catch_up(line),
            Effect::Compare => self.compare(line),
            Effect::LookAgain => self.look_again(line),
            Effect::Review => self.review(line),
            Effect::Send { id, message } => {
                let meters = self.node.meters();
                meters.sends.sends.increment(1);
                let received_us = self.node.environment().monotonic_us();
                let asker = Asker::Session { worker: self.worker, session: line.key(), id: id.clone() };
                let submitted = self
                    .node
                    .admit_send(message.sender)
                    .and_then(|()| self.node.writer().submit(Job::Send { message, received_us, asker }));
                if let Err(failure) = submitted {
                    self.refuse(line, &id, failure);
                }
            }
            Effect::Change { id, conversation, change } => {
                let Some(actor) = line.user() else { return };
                let asker = Asker::Session { worker: self.worker, session: line.key(), id: id.clone() };
                let received_us = self.node.environment().monotonic_us();
                let submitted = self.node.admit_request(actor).and_then(|()| {
                    self.node.writer().submit(Job::Change { actor, conversation, change, received_us, asker })
                });
                if let Err(failure) = submitted {
                    self.refuse(line, &id, failure);
                }
            }
            Effect::Mark { id, mark } => {
                let kind = if mark.read.is_some() { "read" } else { "delivered" };
                self.node.meters().social.marks.of(kind).increment(1);
                match id {
                    None => self.node.mark_soon(mark),
                    Some(id) => self.mark(line, id, mark),
                }
            }
            Effect::Typing { conversation, on } => {
                let Some(user) = line.user() else { return };
                // Typing is told at leisure or not at all: over the rate it is dropped without a word.
                if self.node.admit_request(user).is_ok() {
                    match on {
                        true => self.node.typing().begin(user, conversation, (self.worker, line.key())),
                        false => self.node.typing().stop(user, conversation),
                    }
                }
            }
            Effect::Watch { id, users } => self.watch(line, id, users),
            Effect::Unwatch { id, users } => {
                for user in users {
                    self.unwatch(line, user);
                }
                self.say(line, &ServerFrame::Ok { id: &id });
            }
            Effect::Sync { id, ranges } => self.sync(line, id, ranges),
            Effect::Moved { from, to } => {
                if let Some(user) = line.user() {
                    self.node.presence().moved(user, from, to);
                }
            }
        }
    }

    /// Answers a request that was under way with a failure.
    pub(super) fn refuse(self: &Rc<Self>, line: &Rc<Line>, id: &RequestId, failure: Failure) {
        line.state.borrow_mut().on_answered();
        self.say_error(line, Some(id), &failure.into());
    }
}
