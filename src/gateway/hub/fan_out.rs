//! From the worker's inbox to its sessions' queues: no lock, no copy of a frame, no other thread.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use super::Hub;
use super::registry::Sessions;
use crate::actors::inbox::{Item, Reply};
use crate::bus::{Presence, Signal};
use crate::domain::{ConversationId, ConversationKind, EventKind, Topic, UserId};
use crate::gateway::session::connection::Connection;
use crate::panics;
use crate::protocol::delivery::Delivery;
use crate::protocol::server::{PresenceState, ServerFrame};
use crate::protocol::{Encoding, Error, ErrorCode, RequestId};

/// A signal's frame, encoded at most once per encoding.
struct Encoded<'a> {
    message: ServerFrame<'a>,
    frames: [Option<Bytes>; 2],
}

impl<'a> Encoded<'a> {
    const fn new(message: ServerFrame<'a>) -> Self {
        Self { message, frames: [None, None] }
    }

    fn frame(&mut self, encoding: Encoding) -> Bytes {
        let slot = match encoding {
            Encoding::Json => 0,
            Encoding::MessagePack => 1,
        };
        self.frames[slot].get_or_insert_with(|| encoding.encode(&self.message)).clone()
    }
}

/// A signal about a user.
struct About<'a> {
    user: UserId,
    /// Whether the user's own devices are told too.
    own: bool,
    encoded: Encoded<'a>,
}

/// A user's presence as clients see it.
pub(super) fn presence_frame(user: UserId, presence: Presence) -> ServerFrame<'static> {
    let (state, last_seen) = match presence {
        Presence::Online => (PresenceState::Online, None),
        Presence::Away => (PresenceState::Away, None),
        Presence::Offline { last_seen } => (PresenceState::Offline, last_seen),
    };
    ServerFrame::Presence { user, state, last_seen }
}

impl Hub {
    /// Hands out a batch; call [`Hub::flush_touched`] after it.
    pub(super) fn fan_out(self: &Rc<Self>, items: &mut Vec<Item>) {
        let mut oldest_event_ms = None;
        for item in items.drain(..) {
            match item {
                Item::Event { delivery, users, hold } => {
                    let sent_at = delivery.event().sent_at;
                    oldest_event_ms = Some(oldest_event_ms.map_or(sent_at, |oldest| sent_at.min(oldest)));
                    self.on_event(&delivery, &users);
                    // By now the sessions concerned are subscribed themselves.
                    drop(hold);
                }
                Item::Signal { signal, users } => self.on_signal(&signal, &users),
                Item::Missed { conversation, users } => self.readers_lag(conversation, &users),
                Item::Reply { session, id, reply } => {
                    let Some(connection) = self.registry.borrow().get(session) else { continue };
                    self.for_one(&connection, || self.on_reply(&connection, &id, reply));
                    self.touch(&connection);
                }
            }
        }
        if let Some(oldest) = oldest_event_ms {
            let waited_ms = self.node.environment().now().ms_since(oldest);
            self.node.meters().delivery.latency.record_us(u64::try_from(waited_ms).unwrap_or(0) * 1_000);
        }
    }

    fn on_event(self: &Rc<Self>, delivery: &Arc<Delivery>, users: &[UserId]) {
        let event = delivery.event();
        let conversation = event.conversation;
        match conversation.kind() {
            ConversationKind::Direct | ConversationKind::Group => {
                let registry = self.registry.borrow();
                for user in users {
                    for connection in registry.of_user(*user) {
                        self.for_one(connection, || self.deliver(connection, delivery));
                    }
                }
            }
            ConversationKind::Channel => {
                // Whoever joins hears of it by the channel; whoever leaves hears of it before going.
                if let EventKind::MemberJoined { user, .. } = &event.kind {
                    self.subscribe_user(*user, conversation);
                }
                let registry = self.registry.borrow();
                for connection in registry.of_channel(conversation) {
                    self.for_one(connection, || self.deliver(connection, delivery));
                }
                drop(registry);
                match &event.kind {
                    EventKind::MemberLeft { user, .. } => self.unsubscribe_user(*user, conversation),
                    EventKind::ConversationChanged(changes) if changes.deleted => {
                        let connections = self.registry.borrow().of_channel(conversation).to_vec();
                        self.on_ending(event, users);
                        connections
                            .iter()
                            .for_each(|connection| self.unsubscribe_channel(connection, conversation));
                        return;
                    }
                    _ => {}
                }
            }
        }
        self.on_ending(event, users);
    }

    /// Queues an event for a session, unless it is not wanted or there is no room.
    pub(super) fn deliver(&self, connection: &Rc<Connection>, delivery: &Arc<Delivery>) {
        panics::point("delivery");
        let (Some(user), true) = (connection.user(), connection.state.borrow_mut().feed.wants(delivery))
        else {
            return;
        };
        let frame = delivery.frame(connection.encoding, user);
        let meters = self.node.meters();
        if connection.waiting_bytes() + frame.len() > self.bounds.gateway.outbox_bytes {
            connection.state.borrow_mut().feed.lag();
            meters.delivery.lags.increment(1);
            self.say(connection, &ServerFrame::Lagging { conversation: None });
        } else {
            meters.delivery.deliveries.increment(1);
            connection.push(frame.clone());
        }
        self.touch(connection);
    }

    /// Something may have been lost on the way here: every session compares heads, and asks whom it may be told of.
    pub(super) fn everybody_lags(self: &Rc<Self>) {
        for connection in self.registry.borrow().all() {
            self.for_one(&connection, || {
                self.signals_lost(&connection);
                if connection.state.borrow_mut().feed.lag() {
                    self.touch(&connection);
                }
            });
        }
    }

    /// Events of a conversation were missed: those who read it compare heads.
    fn readers_lag(self: &Rc<Self>, conversation: ConversationId, users: &[UserId]) {
        let registry = self.registry.borrow();
        let of_users = users.iter().flat_map(|user| registry.of_user(*user));
        for connection in registry.of_channel(conversation).iter().chain(of_users) {
            if connection.state.borrow_mut().feed.lag() {
                self.touch(connection);
            }
        }
    }

    fn subscribe_user(self: &Rc<Self>, user: UserId, channel: ConversationId) {
        let connections: Vec<_> = self.registry.borrow().of_user(user).to_vec();
        for connection in connections {
            self.for_one(&connection, || self.subscribe_channel(&connection, channel));
        }
    }

    /// Subscribes a session to a channel it is not subscribed to yet.
    pub(super) fn subscribe_channel(&self, connection: &Rc<Connection>, channel: ConversationId) {
        if connection.channels.borrow().contains(&channel) {
            return;
        }
        connection.channels.borrow_mut().push(channel);
        self.registry.borrow_mut().join_channel(channel, connection);
        self.node.router().subscribe(self.worker, Topic::Channel(channel));
    }

    fn unsubscribe_user(&self, user: UserId, channel: ConversationId) {
        let connections: Vec<_> = self.registry.borrow().of_user(user).to_vec();
        for connection in connections {
            self.for_one(&connection, || self.unsubscribe_channel(&connection, channel));
        }
    }

    /// Unsubscribes a session from a channel.
    pub(super) fn unsubscribe_channel(&self, connection: &Rc<Connection>, channel: ConversationId) {
        let mut channels = connection.channels.borrow_mut();
        let Some(at) = channels.iter().position(|other| *other == channel) else { return };
        channels.swap_remove(at);
        drop(channels);
        self.registry.borrow_mut().leave_channel(channel, connection);
        self.node.router().unsubscribe(self.worker, Topic::Channel(channel));
    }

    fn on_signal(self: &Rc<Self>, signal: &Signal, users: &[UserId]) {
        match signal {
            Signal::Typing { conversation, user, on } => {
                let frame = ServerFrame::Typing { conversation: *conversation, user: *user, on: *on };
                let mut about = About { user: *user, own: false, encoded: Encoded::new(frame) };
                match conversation.kind() {
                    ConversationKind::Channel => {
                        self.tell(self.registry.borrow().of_channel(*conversation), &mut about);
                    }
                    ConversationKind::Direct | ConversationKind::Group => self.tell_users(users, &mut about),
                }
            }
            Signal::Receipt { conversation, user, delivered, read } => {
                let frame = ServerFrame::Receipt {
                    conversation: *conversation,
                    user: *user,
                    delivered_seq: *delivered,
                    read_seq: *read,
                };
                self.tell_users(users, &mut About { user: *user, own: true, encoded: Encoded::new(frame) });
            }
            Signal::Presence { user, presence } => {
                let encoded = Encoded::new(presence_frame(*user, *presence));
                let mut about = About { user: *user, own: true, encoded };
                for connection in self.tell(self.registry.borrow().watchers(*user), &mut about) {
                    connection.presence_lost.set(true);
                }
            }
            Signal::Blocked { by, user, on } => self.on_block(*by, *user, *on),
            Signal::Revoked(revocation) => {
                let connections: Vec<_> = self.registry.borrow().of_user(revocation.user).to_vec();
                for connection in connections {
                    self.for_one(&connection, || self.check_standing(&connection));
                    self.touch(&connection);
                }
            }
        }
    }

    fn tell_users(&self, users: &[UserId], about: &mut About<'_>) {
        for user in users {
            self.tell(self.registry.borrow().of_user(*user), about);
        }
    }

    /// Queues a signal for those who may be told of its user. One that finds no room is dropped, since nothing depends on it;
    /// answers for whom.
    fn tell(&self, connections: &[Rc<Connection>], about: &mut About<'_>) -> Sessions {
        let mut dropped = Sessions::new();
        for connection in connections {
            let own = connection.user() == Some(about.user);
            let may_be_told = if own { about.own } else { connection.blocks.borrow().allow(about.user) };
            if !may_be_told {
                continue;
            }
            if connection.waiting_bytes() > self.bounds.gateway.outbox_bytes / 2 {
                dropped.push(Rc::clone(connection));
                continue;
            }
            self.for_one(connection, || self.push(connection, about.encoded.frame(connection.encoding)));
            self.touch(connection);
        }
        dropped
    }

    fn on_reply(self: &Rc<Self>, connection: &Rc<Connection>, id: &RequestId, reply: Reply) {
        connection.state.borrow_mut().on_answered();
        let failure = match reply {
            Reply::Sent(Ok((message_id, appended))) => {
                if let Some(user) = connection.user() {
                    self.node.typing().said(user, appended.conversation);
                }
                return self.say(
                    connection,
                    &ServerFrame::Ack {
                        id,
                        conversation: appended.conversation,
                        seq: appended.seq,
                        message_id: Some(message_id),
                        sent_at: Some(appended.sent_at),
                        duplicate: Some(appended.committed.is_none()),
                    },
                );
            }
            Reply::Changed(Ok((conversation, changed))) => {
                return self.say(
                    connection,
                    &ServerFrame::Ack {
                        id,
                        conversation,
                        seq: changed.seq,
                        message_id: None,
                        sent_at: None,
                        duplicate: changed.committed.is_empty().then_some(true),
                    },
                );
            }
            Reply::Sent(Err(failure)) => {
                let error = Error::from(failure);
                self.node.meters().sends.refusals.of(error.code.as_str()).increment(1);
                error
            }
            Reply::Changed(Err(failure)) => Error::from(failure),
        };
        self.say_error(connection, Some(id), &failure);
    }

    /// Answers a request with an error.
    pub(super) fn say_error(
        self: &Rc<Self>,
        connection: &Rc<Connection>,
        id: Option<&RequestId>,
        error: &Error,
    ) {
        self.node.meters().connections.errors.of(error.code.as_str()).increment(1);
        self.say(connection, &ServerFrame::Error { id, error });
        if error.code == ErrorCode::RateLimited {
            self.decide(connection, |state, moment, _, effects| state.on_rate_limited(moment, effects));
        }
    }
}
