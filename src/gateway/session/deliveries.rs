//! The items that the hub delivers to a session: events, signals about users, and replies of actors.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use super::Session;
use super::stream::ByteStream;
use crate::actors::inbox::Reply;
use crate::bus::Presence;
use crate::domain::UserId;
use crate::domain::queued::QueuedKind;
use crate::panics;
use crate::protocol::delivery::Delivery;
use crate::protocol::server::{PresenceState, ServerFrame};
use crate::protocol::{Encoding, Error, RequestId};

/// A signal about a user, encoded at most once per encoding.
pub struct About<'a> {
    user: UserId,
    /// Whether the user's own devices are sent it too.
    own: bool,
    message: ServerFrame<'a>,
    frames: [Option<Bytes>; 2],
}

impl<'a> About<'a> {
    /// `message` about `user`. `own`: the user's own devices are sent it too.
    pub const fn new(user: UserId, own: bool, message: ServerFrame<'a>) -> Self {
        Self { user, own, message, frames: [None, None] }
    }

    fn frame(&mut self, encoding: Encoding) -> Bytes {
        let slot = match encoding {
            Encoding::Json => 0,
            Encoding::MessagePack => 1,
        };
        self.frames[slot].get_or_insert_with(|| encoding.encode(&self.message)).clone()
    }
}

/// The result of offering a signal to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signalled {
    /// It is queued.
    Queued,
    /// The session may not be sent signals of the user.
    Unwanted,
    /// There was no room, and it may be dropped.
    Dropped,
}

/// A user's presence as clients see it.
pub fn presence_frame(user: UserId, presence: Presence) -> ServerFrame<'static> {
    let (state, last_seen) = match presence {
        Presence::Online => (PresenceState::Online, None),
        Presence::Away => (PresenceState::Away, None),
        Presence::Offline { last_seen } => (PresenceState::Offline, last_seen),
    };
    ServerFrame::Presence { user, state, last_seen }
}

impl<S: ByteStream> Session<S> {
    /// Queues an event if the session wants it and has room. Returns `true` if there is something to write.
    pub fn deliver(&self, delivery: &Arc<Delivery>) -> bool {
        panics::point("delivery");
        let mut state = self.state.borrow_mut();
        let (true, Some(user)) = (state.wants(delivery), state.user()) else { return false };
        let frame = delivery.frame(self.connection.encoding, user);
        let meters = &self.worker.node.meters().delivery;
        if self.connection.waiting_bytes() + frame.len() > self.worker.bounds.gateway.outbox_bytes {
            state.life.lag();
            rare!(OutboxFullForAnEvent);
            drop(state);
            meters.lags.increment(1);
            self.send(&ServerFrame::Lagging { conversation: None });
        } else {
            meters.deliveries.increment(1);
            self.connection.push(frame.clone(), QueuedKind::Live);
        }
        true
    }

    /// Queues a signal if the session may be sent signals of its user.
    pub fn signal(&self, about: &mut About<'_>) -> Signalled {
        let own = self.user() == Some(about.user);
        let may_be_told = if own { about.own } else { self.blocks.borrow().allow(about.user) };
        if !may_be_told {
            rare!(SignalBetweenBlockedUsers, !own);
            return Signalled::Unwanted;
        }
        if !self.has_room_for_signals() {
            rare!(SignalDroppedForASlowReader);
            return Signalled::Dropped;
        }
        self.push(about.frame(self.connection.encoding), QueuedKind::Live);
        Signalled::Queued
    }

    /// Whether so little waits for the client that it is sent signals.
    pub(super) fn has_room_for_signals(&self) -> bool {
        self.connection.waiting_bytes() <= self.worker.bounds.gateway.outbox_bytes / 2
    }

    /// A presence signal was lost on the way to the client.
    pub fn lost_presence(&self) {
        rare!(PresenceLostByASlowReader);
        self.presence_lost.set(true);
        // A lagging session looks when it was sent its heads.
        if self.state.borrow().life.is_live() {
            self.review_soon();
        }
    }

    /// An actor answers a request.
    pub fn on_reply(self: &Rc<Self>, id: &RequestId, reply: Reply) {
        rare!(ReplyToAClosingSession, self.is_closing());
        self.state.borrow_mut().on_answered();
        let error = match reply {
            Reply::Sent(Ok((message_id, appended))) => {
                if let Some(user) = self.user() {
                    self.worker.node.typing().said(user, &appended);
                }
                return self.send(&ServerFrame::Ack {
                    id,
                    conversation: appended.conversation,
                    seq: appended.seq,
                    message_id: Some(message_id),
                    sent_at: Some(appended.sent_at),
                    duplicate: Some(appended.committed.is_none()),
                });
            }
            Reply::Changed(Ok((conversation, changed))) => {
                return self.send(&ServerFrame::Ack {
                    id,
                    conversation,
                    seq: changed.seq,
                    message_id: None,
                    sent_at: None,
                    duplicate: changed.committed.is_empty().then_some(true),
                });
            }
            Reply::Sent(Err(failure)) => {
                let error = Error::from(failure);
                self.worker.node.meters().sends.refusals.of(error.code.as_str()).increment(1);
                error
            }
            Reply::Changed(Err(failure)) => Error::from(failure),
        };
        self.send_error(Some(id), &error);
    }
}
