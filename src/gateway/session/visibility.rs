//! Whom a session may be told of: it is read again whenever that may have changed.
//!
//! - A block concerns every signal: each session knows its user's blocks and asks them before it tells anything. They are read
//!   when it enters, when one is set or lifted, and every five minutes; nothing is told before they are known.
//! - A watch ends when its reason does: at a block, when the last shared conversation is left or deleted, and by the same
//!   reading every five minutes, in case a signal was lost.

use std::collections::VecDeque;
use std::rc::Rc;

use super::Session;
use super::blocks::MOST_BLOCKS;
use super::deliveries::presence_frame;
use super::session_ref::SessionRef;
use super::stream::ByteStream;
use super::worker::Worker;
use crate::bus::Presence;
use crate::domain::UserId;
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
    /// A membership or a block of `user` ended; `None`: it concerns anybody.
    pub fn note(&mut self, user: Option<UserId>) {
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

impl<S: ByteStream> Worker<S> {
    /// A membership or a block of `user` ended; `None`: it concerns anybody.
    pub fn note_ending(&self, user: Option<UserId>) {
        self.endings.borrow_mut().note(user);
    }

    /// Whom of `others` the user may see: they share a conversation, and no block stands between them.
    ///
    /// # Errors
    /// The store's, or `Overloaded` when memberships ended every time they were read.
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

    /// Ends the watches on `user` of those sessions whose users may not see them any more.
    pub fn check_watchers(self: &Rc<Self>, user: UserId, sessions: &[Rc<Session<S>>]) {
        if sessions.is_empty() {
            return;
        }
        let worker = Rc::clone(self);
        let watchers: Vec<(SessionRef<S>, UserId)> =
            sessions.iter().filter_map(|session| Some((SessionRef::of(session), session.user()?))).collect();
        actix_rt::spawn(async move {
            let _turn = worker.reviews.acquire().await;
            let users: Vec<UserId> = watchers.iter().map(|(_, watcher)| *watcher).collect();
            // Whether two may see each other does not depend on who asks.
            let visible = worker.visible(user, &users).await;
            for (watching, watcher) in watchers {
                watching.with(|session| match &visible {
                    Ok(visible) if visible.contains(&watcher) => {}
                    Ok(_) => session.end_watch(user),
                    Err(_) => session.review_soon(),
                });
            }
        });
    }
}

impl<S: ByteStream> Session<S> {
    /// A block between the session's user and `other` was set or lifted.
    pub(super) fn on_block(self: &Rc<Self>, other: UserId, on: bool) {
        let Some(user) = self.user() else { return };
        if on {
            self.blocks.borrow_mut().add(other);
            self.end_watch(other);
        }
        // The other one's block may still hold, and a reading that is under way may be older than this.
        self.spawn(|this| async move { this.learn_blocks(user).await });
    }

    /// Ends those watches that the user may not have any more.
    pub(super) fn check_watches(self: &Rc<Self>) {
        if self.state.borrow().watches.is_empty() {
            return;
        }
        self.spawn(|this| async move {
            let _turn = this.worker.reviews.acquire().await;
            this.review_watches().await;
        });
    }

    /// Ends a watch that is not allowed any more. The client is told that the user is offline.
    fn end_watch(self: &Rc<Self>, user: UserId) {
        if self.unwatch(user) {
            self.send(&presence_frame(user, Presence::Offline { last_seen: None }));
        }
    }

    /// Asks again whom the session may be told of.
    pub(super) fn review(self: &Rc<Self>) {
        let Some(user) = self.user() else { return };
        self.spawn(|this| async move {
            let _turn = this.worker.reviews.acquire().await;
            this.learn_blocks(user).await;
            this.review_watches().await;
            let Some(session) = this.get() else { return };
            let lost = session.presence_lost.take();
            let watched = session.state.borrow().watches.all();
            drop(session);
            if lost && !watched.is_empty() {
                this.tell_presence(watched).await;
            }
        });
    }

    /// Signals may have been lost on the way here: the session is told nothing more until it was asked again whom it may be
    /// told of, and then how those are whom it watches.
    pub(super) fn signals_lost(&self) {
        if self.has_entered() {
            self.blocks.borrow_mut().doubt();
            self.presence_lost.set(true);
            self.review_soon();
        }
    }

    /// Asks soon, but not all at once, whom the session may be told of.
    pub(super) fn review_soon(&self) {
        self.state.borrow_mut().review_soon(self.worker.moment());
        self.schedule_rules();
    }
}

impl<S: ByteStream> SessionRef<S> {
    /// Reads between whom and the session's user a block stands.
    pub(super) async fn learn_blocks(&self, user: UserId) {
        let node = &self.worker.node;
        // A block that is set after the reading is told by the bus.
        node.router().settled().await;
        let Some(reading) = self.get().map(|session| session.blocks.borrow_mut().begin()) else { return };
        let read = node.read(node.store().blocked_with(user, MOST_BLOCKS + 1)).await;
        let Some(session) = self.get() else { return };
        match read {
            Ok(users) => session.blocks.borrow_mut().learn(reading, users),
            Err(_) => session.review_soon(),
        }
    }

    async fn review_watches(&self) {
        let Some(session) = self.get() else { return };
        let (Some(user), watched) = (session.user(), session.state.borrow().watches.all()) else { return };
        drop(session);
        if watched.is_empty() {
            return;
        }
        let visible = self.worker.visible(user, &watched).await;
        self.with(|session| match &visible {
            Ok(visible) => {
                watched.iter().filter(|user| !visible.contains(user)).for_each(|user| {
                    session.end_watch(*user);
                });
            }
            Err(_) => session.review_soon(),
        });
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
