//! Rights that go on: whom a session may be told of is asked again whenever it may have ended.
//!
//! - A block concerns every signal: each session knows its user's blocks and asks them before it tells anything. They are read
//!   when it enters, when one is set or lifted, and every five minutes; nothing is told before they are known.
//! - A watch ends when its reason does: at a block, when the last shared conversation is left or deleted, and by the same
//!   reading every five minutes, should the word have been lost.

use std::collections::VecDeque;
use std::rc::Rc;

use super::Hub;
use super::fan_out::presence_frame;
use crate::actors::inbox::SessionKey;
use crate::bus::Presence;
use crate::domain::{ConversationKind, Event, EventKind, UserId};
use crate::gateway::session::blocks::MOST_BLOCKS;
use crate::gateway::session::connection::Connection;
use crate::protocol::Failure;

/// Users asked for at once.
const USERS_AT_ONCE: usize = 200;
/// How often those who may be seen are read because something ended meanwhile, before they are looked at again later.
const READS: usize = 3;

/// Endings that are remembered.
const REMEMBERED: usize = 256;

/// Whom the last endings concerned, so that what was read meanwhile is read again.
#[derive(Debug, Default)]
pub struct Endings {
    count: u64,
    /// The newest last; `None` concerns anybody.
    recent: VecDeque<Option<UserId>>,
}

impl Endings {
    fn note(&mut self, user: Option<UserId>) {
        self.count += 1;
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(user);
    }

    const fn count(&self) -> u64 {
        self.count
    }

    fn any_since(&self, count: u64, concerns: impl Fn(UserId) -> bool) -> bool {
        let fresh = usize::try_from(self.count - count).unwrap_or(usize::MAX);
        fresh > self.recent.len()
            || self.recent.iter().rev().take(fresh).any(|user| user.is_none_or(&concerns))
    }
}

impl Hub {
    /// Reads between whom and a session's user a block stands.
    pub(super) async fn learn_blocks(self: &Rc<Self>, key: SessionKey, user: UserId) {
        // A block that is set after the reading is told by the bus.
        self.node.router().settled().await;
        let Some(reading) =
            self.registry.borrow().get(key).map(|connection| connection.blocks.borrow_mut().begin())
        else {
            return;
        };
        let read = self.node.read(self.node.store().blocked_with(user, MOST_BLOCKS + 1)).await;
        let Some(connection) = self.registry.borrow().get(key) else { return };
        match read {
            Ok(users) => connection.blocks.borrow_mut().learn(reading, users),
            Err(_) => self.review_soon(&connection),
        }
    }

    /// Whom of `others` the user may see: they share a conversation, and no block stands between them.
    pub(super) async fn visible(&self, user: UserId, others: &[UserId]) -> Result<Vec<UserId>, Failure> {
        for _ in 0..READS {
            let began = self.endings.borrow().count();
            let mut visible = Vec::with_capacity(others.len());
            for part in others.chunks(USERS_AT_ONCE) {
                visible.extend(self.node.read(self.node.store().acquaintances(user, part)).await?);
            }
            let concerns = |who: UserId| who == user || others.contains(&who);
            if !self.endings.borrow().any_since(began, concerns) {
                return Ok(visible);
            }
        }
        Err(Failure::Overloaded { retry_after_ms: 1_000 })
    }

    /// A block was set or lifted between two users.
    pub(super) fn on_block(self: &Rc<Self>, by: UserId, user: UserId, on: bool) {
        for (one, other) in [(by, user), (user, by)] {
            self.endings.borrow_mut().note(Some(one));
            let connections = self.registry.borrow().of_user(one).to_vec();
            for connection in connections {
                if on {
                    connection.blocks.borrow_mut().add(other);
                    self.end_watch(&connection, other);
                }
                // The other one's block may stand on, and a reading that is under way may be older than this.
                let (this, key) = (Rc::clone(self), connection.key());
                self.spawn_for(&connection, async move { this.learn_blocks(key, one).await });
            }
        }
    }

    /// Somebody left, or a conversation ended: who watched somebody because of it may do so no more.
    pub(super) fn on_ending(self: &Rc<Self>, event: &Event, users: &[UserId]) {
        let conversation = event.conversation;
        match &event.kind {
            EventKind::MemberLeft { user, .. } => {
                self.endings.borrow_mut().note(Some(*user));
                self.node.typing().left(*user, conversation);
                let registry = self.registry.borrow();
                let concerned = |connection: &&Rc<Connection>| match conversation.kind() {
                    ConversationKind::Channel => connection.channels.borrow().contains(&conversation),
                    ConversationKind::Direct | ConversationKind::Group => {
                        connection.user().is_some_and(|user| users.contains(&user))
                    }
                };
                let watchers = registry.watchers(*user).iter().filter(concerned).cloned().collect();
                let own = registry.of_user(*user).to_vec();
                drop(registry);
                self.check_watchers(*user, watchers);
                own.iter().for_each(|connection| self.check_watches(connection));
            }
            EventKind::ConversationChanged(changes) if changes.deleted => {
                self.endings.borrow_mut().note(None);
                let registry = self.registry.borrow();
                let connections: Vec<Rc<Connection>> = match conversation.kind() {
                    ConversationKind::Channel => registry.of_channel(conversation).to_vec(),
                    ConversationKind::Direct | ConversationKind::Group => {
                        users.iter().flat_map(|user| registry.of_user(*user)).cloned().collect()
                    }
                };
                drop(registry);
                connections.iter().for_each(|connection| self.check_watches(connection));
            }
            _ => {}
        }
    }

    /// Ends the watches on `user` of those connections whose users may not see them any more.
    fn check_watchers(self: &Rc<Self>, user: UserId, connections: Vec<Rc<Connection>>) {
        if connections.is_empty() {
            return;
        }
        let this = Rc::clone(self);
        let watchers: Vec<(SessionKey, UserId)> = connections
            .iter()
            .filter_map(|connection| Some((connection.key(), connection.user()?)))
            .collect();
        actix_rt::spawn(async move {
            let _turn = this.reviews.acquire().await;
            let users: Vec<UserId> = watchers.iter().map(|(_, watcher)| *watcher).collect();
            // Whether two may see each other does not depend on who asks.
            let visible = this.visible(user, &users).await;
            for (key, watcher) in watchers {
                this.with(key, |this, connection| match &visible {
                    Ok(visible) if visible.contains(&watcher) => {}
                    Ok(_) => this.end_watch(connection, user),
                    Err(_) => this.review_soon(connection),
                });
            }
        });
    }

    /// Ends those watches of a session that its user may not have any more.
    fn check_watches(self: &Rc<Self>, connection: &Rc<Connection>) {
        if connection.state.borrow().watches.is_empty() {
            return;
        }
        let (this, key) = (Rc::clone(self), connection.key());
        self.spawn_for(connection, async move {
            let _turn = this.reviews.acquire().await;
            this.reviewed_watches(key).await;
        });
    }

    async fn reviewed_watches(self: &Rc<Self>, key: SessionKey) {
        let Some(connection) = self.registry.borrow().get(key) else { return };
        let (Some(user), watched) = (connection.user(), connection.state.borrow().watches.all()) else {
            return;
        };
        drop(connection);
        if watched.is_empty() {
            return;
        }
        let visible = self.visible(user, &watched).await;
        self.with(key, |this, connection| match &visible {
            Ok(visible) => {
                watched.iter().filter(|user| !visible.contains(user)).for_each(|user| {
                    this.end_watch(connection, *user);
                });
            }
            Err(_) => this.review_soon(connection),
        });
    }

    /// A watch may go on no more: the last word is that nobody is there.
    fn end_watch(&self, connection: &Rc<Connection>, user: UserId) {
        if self.unwatch(connection, user) {
            self.say(connection, &presence_frame(user, Presence::Offline { last_seen: None }));
            self.touch(connection);
        }
    }

    /// Asks again whom a session may be told of.
    pub(super) fn review(self: &Rc<Self>, connection: &Rc<Connection>) {
        let Some(user) = connection.user() else { return };
        let (this, key) = (Rc::clone(self), connection.key());
        self.spawn_for(connection, async move {
            let _turn = this.reviews.acquire().await;
            this.learn_blocks(key, user).await;
            this.reviewed_watches(key).await;
            let Some(connection) = this.registry.borrow().get(key) else { return };
            let lost = connection.presence_lost.take();
            let watched = connection.state.borrow().watches.all();
            drop(connection);
            if lost && !watched.is_empty() {
                this.tell_presence(key, watched).await;
            }
        });
    }

    /// Signals may have been lost on the way to a session: it is told nothing more until it was asked again whom it may be told
    /// of, and then how those are whom it watches.
    pub(super) fn signals_lost(&self, connection: &Rc<Connection>) {
        if connection.user().is_some() {
            connection.blocks.borrow_mut().doubt();
            connection.presence_lost.set(true);
            self.review_soon(connection);
        }
    }

    /// Asks soon, but not all at once, whom a session may be told of.
    pub(super) fn review_soon(&self, connection: &Connection) {
        connection.state.borrow_mut().review_soon(self.moment());
        let deadline_ms = connection.state.borrow().next_deadline_ms(&self.bounds);
        self.look_at(connection, deadline_ms);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn what_was_read_while_something_ended_is_known_to_be_old() {
        let user = |n| UserId::from_uuid(Uuid::from_u128(n));
        let mut endings = Endings::default();
        endings.note(Some(user(1)));
        let began = endings.count();
        assert!(!endings.any_since(began, |who| who == user(1)));
        endings.note(Some(user(2)));
        assert!(
            endings.any_since(began, |who| who == user(2)) && !endings.any_since(began, |who| who == user(1))
        );
        endings.note(None);
        assert!(endings.any_since(began, |who| who == user(1)));
        let began = endings.count();
        (0..=REMEMBERED as u128).for_each(|n| endings.note(Some(user(n + 9))));
        assert!(endings.any_since(began, |who| who == user(1)), "more ended than is remembered");
    }
}
