//! Delivers from the worker's inbox to the queues of its sessions, without a lock, without copying a frame,
//! and on one thread.

use std::rc::Rc;
use std::sync::Arc;

use super::Hub;
use super::registry::Sessions;
use crate::actors::inbox::Item;
use crate::bus::Signal;
use crate::domain::{ConversationId, ConversationKind, Event, EventKind, UserId};
use crate::gateway::session::Session;
use crate::gateway::session::deliveries::{About, Signalled, presence_frame};
use crate::gateway::session::mailbox::Control;
use crate::gateway::session::stream::ByteStream;
use crate::protocol::delivery::Delivery;
use crate::protocol::server::ServerFrame;

impl<S: ByteStream> Hub<S> {
    /// Delivers a batch. Call [`Hub::flush_touched`] after it.
    pub(super) fn fan_out(&self, items: &mut Vec<Item>) {
        let mut oldest_event_ms = None;
        for item in items.drain(..) {
            match item {
                Item::Event { delivery, users, hold } => {
                    let sent_at = delivery.event().sent_at;
                    oldest_event_ms = Some(oldest_event_ms.map_or(sent_at, |oldest| sent_at.min(oldest)));
                    self.on_event(&delivery, &users);
                    // The sessions concerned have subscribed by now.
                    drop(hold);
                }
                Item::Signal { signal, users } => self.on_signal(&signal, &users),
                Item::Missed { conversation, users } => {
                    self.control(&self.readers(conversation, &users), Control::EventsLost);
                }
                Item::Joined { channel, user } => {
                    let sessions = self.of_user(user);
                    let unaware = sessions.into_iter().filter(|session| !session.reads_channel(channel));
                    self.control(&unaware.collect::<Vec<_>>(), Control::EventsLost);
                }
                Item::Reply { session, id, reply } => {
                    let Some(session) = self.directory.registry.borrow().get(session) else {
                        rare!(ReplyForAnEndedSession);
                        continue;
                    };
                    self.isolated(&session, || session.on_reply(&id, reply));
                    self.touch(&session);
                }
            }
        }
        if let Some(oldest) = oldest_event_ms {
            let node = &self.worker.node;
            let waited_ms = node.environment().now().ms_since(oldest);
            node.meters().delivery.latency.record_us(u64::try_from(waited_ms).unwrap_or(0) * 1_000);
        }
    }

    fn on_event(&self, delivery: &Arc<Delivery>, users: &[UserId]) {
        let event = delivery.event();
        let conversation = event.conversation;
        match conversation.kind() {
            ConversationKind::Direct | ConversationKind::Group => {
                let registry = self.directory.registry.borrow();
                for user in users {
                    self.deliver(registry.of_user(*user), delivery);
                }
            }
            ConversationKind::Channel => {
                // A new member gets the join event by the channel. A member who leaves gets the event before
                // the subscription ends.
                if let EventKind::MemberJoined { user, .. } = &event.kind {
                    for session in &self.of_user(*user) {
                        self.isolated(session, || session.subscribe_channel(conversation));
                    }
                }
                self.deliver(self.directory.registry.borrow().of_channel(conversation), delivery);
            }
        }
        self.on_ending(event, users);
    }

    fn deliver(&self, sessions: &[Rc<Session<S>>], delivery: &Arc<Delivery>) {
        for session in sessions {
            self.isolated(session, || {
                if session.deliver(delivery) {
                    self.touch(session);
                }
            });
        }
    }

    /// A user left, or a conversation ended: unsubscribes from its channel, and ends watches that only this
    /// conversation allowed.
    fn on_ending(&self, event: &Event, users: &[UserId]) {
        let conversation = event.conversation;
        match &event.kind {
            EventKind::MemberLeft { user, .. } => {
                let own = self.of_user(*user);
                let is_channel = conversation.kind() == ConversationKind::Channel;
                for session in own.iter().filter(|_| is_channel) {
                    self.isolated(session, || session.unsubscribe_channel(conversation));
                }
                self.worker.note_ending(Some(*user));
                self.worker.node.typing().left(*user, conversation);
                self.worker.check_watchers(*user, &self.watchers_in(*user, conversation, users));
                self.control(&own, Control::CheckWatches);
            }
            EventKind::ConversationChanged(changes) if changes.deleted => {
                self.worker.note_ending(None);
                let readers = self.readers(conversation, users);
                for session in &readers {
                    self.isolated(session, || session.unsubscribe_channel(conversation));
                }
                self.control(&readers, Control::CheckWatches);
            }
            _ => {}
        }
    }

    /// The sessions that read a conversation: a channel's subscribers, or the sessions of its `users`.
    fn readers(&self, conversation: ConversationId, users: &[UserId]) -> Vec<Rc<Session<S>>> {
        let registry = self.directory.registry.borrow();
        match conversation.kind() {
            ConversationKind::Channel => registry.of_channel(conversation).to_vec(),
            ConversationKind::Direct | ConversationKind::Group => {
                users.iter().flat_map(|user| registry.of_user(*user)).cloned().collect()
            }
        }
    }

    /// Of the sessions that watch `user`, those whose own users read `conversation`.
    fn watchers_in(
        &self,
        user: UserId,
        conversation: ConversationId,
        users: &[UserId],
    ) -> Vec<Rc<Session<S>>> {
        let registry = self.directory.registry.borrow();
        let reads = |session: &&Rc<Session<S>>| match conversation.kind() {
            ConversationKind::Channel => session.reads_channel(conversation),
            ConversationKind::Direct | ConversationKind::Group => {
                session.user().is_some_and(|user| users.contains(&user))
            }
        };
        registry.watchers(user).iter().filter(reads).cloned().collect()
    }

    fn of_user(&self, user: UserId) -> Vec<Rc<Session<S>>> {
        self.directory.registry.borrow().of_user(user).to_vec()
    }

    fn on_signal(&self, signal: &Signal, users: &[UserId]) {
        match signal {
            Signal::Typing { conversation, user, on } => {
                let frame = ServerFrame::Typing { conversation: *conversation, user: *user, on: *on };
                let mut about = About::new(*user, false, frame);
                match conversation.kind() {
                    ConversationKind::Channel => {
                        self.signal(self.directory.registry.borrow().of_channel(*conversation), &mut about);
                    }
                    ConversationKind::Direct | ConversationKind::Group => {
                        self.signal_users(users, &mut about);
                    }
                }
            }
            Signal::Receipt { conversation, user, delivered, read } => {
                let frame = ServerFrame::Receipt {
                    conversation: *conversation,
                    user: *user,
                    delivered_seq: *delivered,
                    read_seq: *read,
                };
                self.signal_users(users, &mut About::new(*user, true, frame));
            }
            Signal::Presence { user, presence } => {
                let mut about = About::new(*user, true, presence_frame(*user, *presence));
                for session in self.signal(self.directory.registry.borrow().watchers(*user), &mut about) {
                    session.lost_presence();
                }
            }
            Signal::Blocked { by, user, on } => {
                for (one, other) in [(*by, *user), (*user, *by)] {
                    self.worker.note_ending(Some(one));
                    let blocked = Control::Blocked { other, by_other: other == *by, on: *on };
                    self.control(&self.of_user(one), blocked);
                }
            }
            Signal::Hidden { user } => {
                self.worker.note_ending(Some(*user));
                let watchers = self.directory.registry.borrow().watchers(*user).to_vec();
                self.worker.check_watchers(*user, &watchers);
                self.control(&self.of_user(*user), Control::CheckWatches);
            }
            Signal::Invited { by, user, conversation } => {
                let frame = ServerFrame::Invited { conversation: *conversation, user: *by };
                self.signal_users(&[*user], &mut About::new(*by, false, frame));
            }
            Signal::Revoked(revocation) => self.control(&self.of_user(revocation.user), Control::Revoked),
        }
    }

    fn signal_users(&self, users: &[UserId], about: &mut About<'_>) {
        for user in users {
            self.signal(self.directory.registry.borrow().of_user(*user), about);
        }
    }

    /// Queues a signal for `sessions`. Returns those that had no room for it.
    fn signal(&self, sessions: &[Rc<Session<S>>], about: &mut About<'_>) -> Sessions<S> {
        let mut dropped = Sessions::new();
        for session in sessions {
            self.isolated(session, || match session.signal(about) {
                Signalled::Queued => self.touch(session),
                Signalled::Dropped => dropped.push(Rc::clone(session)),
                Signalled::Unwanted => {}
            });
        }
        dropped
    }
}
