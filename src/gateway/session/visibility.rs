//! Which users' signals a session may be sent. It is read again whenever that may have changed.
//!
//! - A block concerns every signal. Each session knows its user's blocks and checks them before it sends one.
//!   They are read when the session enters, when one is set or lifted, and every five minutes. No signal is
//!   sent before they are known.
//! - A watch ends when its reason ends: at a block, when the last direct conversation or group that both
//!   share is left or deleted, or when one of the two shows their presence to fewer others. The same read
//!   every five minutes also ends it, in case a signal was lost.

use std::rc::Rc;

use super::Session;
use super::blocks::MOST_BLOCKS;
use super::deliveries::presence_frame;
use super::session_ref::SessionRef;
use super::stream::ByteStream;
use super::worker::Worker;
use crate::bus::Presence;
use crate::domain::UserId;
use crate::domain::permissions::{Block, may_be_shown};
use crate::protocol::Failure;

/// Users per read.
const USERS_AT_ONCE: usize = 200;
/// How often the visible users are read again because something ended in the meantime, before it is tried
/// later.
const READS: usize = 3;

impl<S: ByteStream> Worker<S> {
    /// A membership or a block of `user` ended; `None`: it may concern any user.
    pub fn note_ending(&self, user: Option<UserId>) {
        self.endings.borrow_mut().note(user);
    }

    /// Which of `others` the user may see: they share a direct conversation or a group, there is no block
    /// between them, and both allow it.
    ///
    /// # Errors
    /// The store's error, or `Overloaded` when a membership ended during every read.
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
            rare!(RightsChangedWhileTheyAreRead);
        }
        Err(Failure::Overloaded { retry_after_ms: 1_000 })
    }

    /// Ends the watches on `user` of sessions whose users may no longer see that user.
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
            // Whether two users may see each other does not depend on which of them asks.
            let visible = worker.visible(user, &users).await;
            for (watching, watcher) in watchers {
                watching.with(|session| match &visible {
                    Ok(visible) if visible.contains(&watcher) => {}
                    Ok(_) => {
                        rare!(WatchEndedByALeave);
                        session.end_watch(user);
                    }
                    Err(_) => session.review_soon(),
                });
            }
        });
    }
}

impl<S: ByteStream> Session<S> {
    /// A block between the session's user and `other` was set or lifted.
    pub(super) fn on_block(self: &Rc<Self>, other: UserId, by_other: bool, on: bool) {
        let Some(user) = self.user() else { return };
        if on {
            let block = Block::one(by_other);
            self.blocks.borrow_mut().add(other, block);
            if !may_be_shown(block) {
                rare!(WatchEndedByABlock, self.state.borrow().watches.is_watched(other));
                self.end_watch(other);
            }
        }
        // The other user's block may still be set, and a read in progress may be older than this.
        self.spawn(|this| async move { this.learn_blocks(user).await });
    }

    /// Ends the watches that the user may no longer have.
    pub(super) fn check_watches(self: &Rc<Self>) {
        if self.state.borrow().watches.is_empty() {
            return;
        }
        self.spawn(|this| async move {
            let _turn = this.worker.reviews.acquire().await;
            this.review_watches().await;
        });
    }

    /// Ends a watch that is no longer allowed. The client is sent that the user is offline.
    fn end_watch(self: &Rc<Self>, user: UserId) {
        if self.unwatch(user) {
            self.send(&presence_frame(user, Presence::Offline { last_seen: None }));
        }
    }

    /// Reads again which users' signals the session may be sent.
    pub(super) fn review(self: &Rc<Self>) {
        let Some(user) = self.user() else { return };
        if self.presence_lost.get() && !self.has_room_for_signals() {
            // The client reads first: until then it is sent no signal anyway.
            return self.review_soon();
        }
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

    /// Signals may have been lost on the way here. The session is sent no signal until that was read again,
    /// and then the presence of the watched users.
    pub(super) fn signals_lost(&self) {
        if self.has_entered() {
            rare!(SignalsMayBeLost);
            self.blocks.borrow_mut().doubt();
            self.presence_lost.set(true);
            self.review_soon();
        }
    }

    /// Reads soon which users' signals the session may be sent, but not all sessions at once.
    pub(super) fn review_soon(&self) {
        self.state.borrow_mut().review_soon(self.worker.moment());
        self.schedule_rules();
    }
}

impl<S: ByteStream> SessionRef<S> {
    /// Reads the blocks between the session's user and others.
    pub(super) async fn learn_blocks(&self, user: UserId) {
        let node = &self.worker.node;
        // A block that is set after the read arrives by the bus.
        node.router().settled().await;
        let Some(reading) = self.get().map(|session| session.blocks.borrow_mut().begin()) else { return };
        let read = node.read(node.store().blocked_with(user, MOST_BLOCKS + 1)).await;
        let Some(session) = self.get() else { return };
        match read {
            Ok(blocks) => session.blocks.borrow_mut().learn(reading, blocks),
            Err(_) => {
                rare!(BlocksUnreadable);
                session.review_soon();
            }
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
                    rare!(WatchEndedByAReview);
                    session.end_watch(*user);
                });
            }
            Err(_) => session.review_soon(),
        });
    }
}
