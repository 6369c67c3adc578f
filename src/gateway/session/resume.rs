//! Entering and catching up: performs the steps of [`Entering`].

use std::collections::HashMap;
use std::rc::Rc;

use super::Session;
use super::entering::{Entered, Entering, EnteringStep};
use super::feed::Compared;
use super::session_ref::SessionRef;
use super::stream::ByteStream;
use crate::domain::{ConversationId, Seq, UserId};
use crate::protocol::{Close, Failure};
use crate::store::Cursor;

impl<S: ByteStream> Session<S> {
    /// The token is valid: the session subscribes to its user's topics and reads what moved.
    pub(super) fn enter(
        self: &Rc<Self>,
        user: UserId,
        since: Option<Cursor>,
        brought_cursor: bool,
        positions: HashMap<ConversationId, Seq>,
    ) {
        let most = self.worker.bounds.gateway.connections_per_user;
        let Some(user_connection) = self.worker.admission.user_connections().take(user, most) else {
            rare!(TooManyConnectionsOfAUser);
            return self.close(Close::Abuse);
        };
        self.user_connection.set(Some(user_connection));
        self.worker.directory.join_user(user, self);
        self.worker.node.presence().connected(user, self.state.borrow().device());
        self.state.borrow_mut().read_heads();
        self.log_changes.set(self.worker.node.router().log_changes());
        self.spawn(|this| async move {
            let (entered, ()) =
                futures_util::join!(this.gather(user, since, positions), this.learn_blocks(user));
            match entered {
                Ok(Some(mut entered)) => {
                    // A cursor that cannot be read is of a log that this node does not know.
                    entered.reset |= since.is_none() && brought_cursor;
                    let kind = match since {
                        None if brought_cursor => "epoch_changed",
                        None => "fresh",
                        Some(since) if since.epoch != entered.cursor.epoch => "epoch_changed",
                        Some(_) => "cursor",
                    };
                    this.worker.node.meters().resume.resumes.of(kind).increment(1);
                    this.welcome(user, entered).await;
                }
                Ok(None) => rare!(ConnectionEndedWhileEntering),
                Err(_) => this.heads_failed(),
            }
        });
    }

    /// The queue of a lagging session is empty: it reads what moved and is live again.
    pub(super) fn catch_up(self: &Rc<Self>) {
        let Some(user) = self.user().filter(|_| self.state.borrow().life.is_welcomed()) else { return };
        self.state.borrow_mut().wait_for_heads();
        self.spawn(|this| async move {
            // The semaphore is never closed, so a permit always comes.
            let turn = this.worker.catch_ups.acquire().await;
            let Some(session) = this.open() else { return };
            let changes = this.worker.node.router().log_changes();
            // Until the node noticed that the log was replaced, it may have pushed events of the old one,
            // even after heads of the new one. So the client reads everything again.
            let replaced = changes != session.log_changes.get();
            let since = session.state.borrow().feed.cursor().filter(|_| !replaced);
            session.state.borrow_mut().read_heads();
            drop(session);
            match this.gather(user, since, HashMap::new()).await {
                Ok(Some(mut entered)) => {
                    entered.reset |= replaced;
                    if let Some(session) = this.open() {
                        session.log_changes.set(changes);
                    }
                    // The client takes the heads at its own speed. The permit was for the store only.
                    drop(turn);
                    this.tell_heads(entered).await;
                }
                Ok(None) => rare!(ConnectionEndedWhileCatchingUp),
                Err(_) => this.heads_failed(),
            }
        });
    }

    /// Anti-entropy: compares the user's heads in the log with what this session was given, and catches up if
    /// it lacks anything. One query, and none while hellos wait for a permit.
    pub(super) fn compare(self: &Rc<Self>) {
        let (Some(user), Some(since)) = (self.user(), self.state.borrow().feed.cursor()) else { return };
        let Some(permit) = self.worker.admission.try_acquire() else {
            rare!(ComparisonShed);
            return self.worker.node.meters().load.sheds.of("anti_entropy").increment(1);
        };
        self.spawn(|this| async move {
            let node = &this.worker.node;
            let read = node.read(node.store().heads(user, Some(since))).await;
            drop(permit);
            let Ok(heads) = read else { return };
            this.with(|session| {
                if session.has_unwritten_events() {
                    return;
                }
                let compared = {
                    let mut state = session.state.borrow_mut();
                    let state = &mut *state;
                    state.feed.compare(&state.life, since, heads, &session.channels.borrow())
                };
                match compared {
                    Compared::Moot => return,
                    Compared::Same => {}
                    // The event may be on its way: it was in the log first.
                    Compared::Doubtful => {
                        session.state.borrow_mut().on_doubt(session.worker.moment());
                        session.schedule_rules();
                    }
                    Compared::Amiss => session.on_gap(),
                }
                node.meters().resume.comparisons.increment(1);
            });
        });
    }

    /// The events that a comparison did not find have arrived by now, or were lost.
    pub(super) fn look_again(self: &Rc<Self>) {
        if self.has_unwritten_events() {
            return;
        }
        let compared = {
            let mut state = self.state.borrow_mut();
            let state = &mut *state;
            state.feed.look_again(&state.life, &self.channels.borrow())
        };
        match compared {
            Compared::Moot | Compared::Same => {}
            Compared::Doubtful | Compared::Amiss => self.on_gap(),
        }
    }

    /// Whether pushed events may still be dropped ([`Session::give_way`]). The next heads have to count them,
    /// so no comparison may move the cursor past them.
    fn has_unwritten_events(self: &Rc<Self>) -> bool {
        self.flush();
        let unwritten = self.connection.waiting_by_kind().live() > 0;
        rare!(ComparisonPutOffByASlowReader, unwritten);
        unwritten
    }

    fn on_gap(self: &Rc<Self>) {
        rare!(GapFoundByAComparison);
        self.worker.node.meters().resume.gaps_detected.of("anti_entropy").increment(1);
        self.catch_up();
    }

    /// Subscribes to a channel unless the session is subscribed to it.
    pub fn subscribe_channel(self: &Rc<Self>, channel: ConversationId) {
        if self.channels.borrow().contains(&channel) {
            return;
        }
        self.channels.borrow_mut().push(channel);
        self.worker.directory.join_channel(channel, self);
    }

    /// Unsubscribes from a channel.
    pub fn unsubscribe_channel(self: &Rc<Self>, channel: ConversationId) {
        let mut channels = self.channels.borrow_mut();
        let Some(at) = channels.iter().position(|other| *other == channel) else { return };
        channels.swap_remove(at);
        drop(channels);
        self.worker.directory.leave_channel(channel, self);
    }
}

impl<S: ByteStream> SessionRef<S> {
    fn heads_failed(&self) {
        self.with(|session| {
            session.decide(|state, moment, _, effects| state.on_heads_failed(moment, effects));
            session.schedule_rules();
        });
    }

    /// Reads heads and subscribes to their channels until they may be sent. `None`: the connection is ending.
    async fn gather(
        &self,
        user: UserId,
        since: Option<Cursor>,
        positions: HashMap<ConversationId, Seq>,
    ) -> Result<Option<Entered>, Failure> {
        let node = &self.worker.node;
        let (mut entering, mut step) = Entering::new(user, since, positions);
        loop {
            step = match step {
                EnteringStep::Settle => {
                    // What is published after the snapshot arrives by the bus.
                    node.router().settled().await;
                    entering.on_settled()
                }
                EnteringStep::Subscribe(channels) => {
                    let Some(session) = self.open() else { return Ok(None) };
                    channels.into_iter().for_each(|channel| session.subscribe_channel(channel));
                    EnteringStep::Settle
                }
                EnteringStep::Read(since) => {
                    let heads = node.read(node.store().heads(user, since)).await?;
                    let Some(session) = self.open() else { return Ok(None) };
                    let mut state = session.state.borrow_mut();
                    let state = &mut *state;
                    entering.on_heads(heads, &mut state.life, &mut state.feed, &session.channels.borrow())
                }
                EnteringStep::ReadNamed(conversations) => {
                    let heads = node.read(node.store().heads_of(user, &conversations)).await?;
                    let Some(session) = self.open() else { return Ok(None) };
                    let mut state = session.state.borrow_mut();
                    let state = &mut *state;
                    entering.on_named(heads, &mut state.life, &mut state.feed, &session.channels.borrow())
                }
                EnteringStep::Tell(entered) => {
                    let Some(session) = self.open() else { return Ok(None) };
                    for channel in &entered.leaves {
                        session.unsubscribe_channel(*channel);
                    }
                    for (channel, last_seq) in entered.channels.iter().copied() {
                        node.router().begin(channel, last_seq);
                    }
                    return Ok(Some(entered));
                }
                EnteringStep::GiveUp => return Err(Failure::Overloaded { retry_after_ms: 1_000 }),
            }
        }
    }
}
