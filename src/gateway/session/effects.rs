//! Performs the effects that a session's rules want.

use std::rc::Rc;

use super::Session;
use super::effect::Effect;
use super::stream::ByteStream;
use crate::actors::writer::{Asker, Job};
use crate::domain::ConversationId;
use crate::domain::queued::QueuedKind;
use crate::protocol::frame::{Opcode, frame};
use crate::protocol::server::ServerFrame;
use crate::protocol::{Failure, RequestId};
use crate::store::{Change, NewMessage};

impl<S: ByteStream> Session<S> {
    /// Performs one effect. Work that waits continues in a task of this thread.
    pub(super) fn carry_out(self: &Rc<Self>, effect: Effect) {
        let node = &self.worker.node;
        match effect {
            Effect::Error { id, error } => self.send_error(id.as_ref(), &error),
            Effect::Ok(id) => self.send(&ServerFrame::Ok { id: &id }),
            Effect::Pong(id) => {
                let server_time = node.environment().now();
                self.send(&ServerFrame::Pong { id: id.as_ref(), server_time });
            }
            Effect::Ping => self.push(frame(Opcode::Ping, b""), QueuedKind::Answers),
            Effect::TokenExpiring { expires_in_ms } => {
                self.send(&ServerFrame::TokenExpiring { expires_in_ms });
            }
            Effect::Close(close) => self.queue_close(close),
            Effect::Authenticate { token, refresh } => self.authenticate(token, refresh),
            Effect::Enter { user, since, brought_cursor, positions } => {
                self.enter(user, since, brought_cursor, positions);
            }
            Effect::CatchUp => self.catch_up(),
            Effect::Compare => self.compare(),
            Effect::LookAgain => self.look_again(),
            Effect::Review => self.review(),
            Effect::Send { id, message } => self.submit_message(id, message),
            Effect::Change { id, conversation, change } => self.submit_change(id, conversation, change),
            Effect::MoveReceipt { id, receipt } => {
                let kind = if receipt.read.is_some() { "read" } else { "delivered" };
                node.meters().social.receipts.of(kind).increment(1);
                match id {
                    None => node.move_receipt_soon(receipt),
                    Some(id) => self.move_receipt(id, receipt),
                }
            }
            Effect::Typing { conversation, on } => self.type_in(conversation, on),
            Effect::Watch { id, users } => self.watch(id, users),
            Effect::Unwatch { id, users } => {
                for user in users {
                    self.unwatch(user);
                }
                self.send(&ServerFrame::Ok { id: &id });
            }
            Effect::Sync { id, ranges } => self.sync(id, ranges),
            Effect::Moved { from, to } => {
                if let Some(user) = self.user() {
                    node.presence().moved(user, from, to);
                }
            }
        }
    }

    fn submit_message(self: &Rc<Self>, id: RequestId, message: NewMessage) {
        let node = &self.worker.node;
        node.meters().sends.sends.increment(1);
        let (received_us, asker) = (node.environment().monotonic_us(), self.asker(&id));
        let submitted = node
            .admit_send(message.sender)
            .and_then(|()| node.writer().submit(Job::Send { message, received_us, asker }));
        self.refuse_failed(&id, submitted);
    }

    fn submit_change(self: &Rc<Self>, id: RequestId, conversation: ConversationId, change: Change) {
        let Some(actor) = self.user() else { return };
        let node = &self.worker.node;
        let (received_us, asker) = (node.environment().monotonic_us(), self.asker(&id));
        let submitted = node.admit_request(actor).and_then(|()| {
            node.writer().submit(Job::Change { actor, conversation, change, received_us, asker })
        });
        self.refuse_failed(&id, submitted);
    }

    /// Typing is best effort: above the rate limit it is dropped without an answer.
    fn type_in(&self, conversation: ConversationId, on: bool) {
        let Some(user) = self.user() else { return };
        let node = &self.worker.node;
        if node.admit_request(user).is_ok() {
            if on {
                node.typing().begin(user, conversation, (self.worker.id, self.key()));
            } else {
                node.typing().stop(user, conversation);
            }
        }
    }

    fn asker<T>(&self, id: &RequestId) -> Asker<T> {
        Asker::Session { worker: self.worker.id, session: self.key(), id: id.clone() }
    }

    fn refuse_failed(self: &Rc<Self>, id: &RequestId, submitted: Result<(), Failure>) {
        if let Err(failure) = submitted {
            self.refuse(id, failure);
        }
    }
}
