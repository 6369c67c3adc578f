//! Entering and catching up: carries out the steps of [`Entering`].

use std::collections::HashMap;
use std::rc::Rc;

use super::Hub;
use crate::actors::inbox::SessionKey;
use crate::domain::{ConversationId, Seq, Topic, UserId};
use crate::gateway::session::connection::Connection;
use crate::gateway::session::entering::{Entered, Entering, Step};
use crate::gateway::session::feed::Compared;
use crate::protocol::{Close, Failure};
use crate::store::Cursor;

impl Hub {
    /// The token is good: the session becomes a reader of its user's topics and learns what moved.
    pub(super) fn enter(
        self: &Rc<Self>,
        connection: &Rc<Connection>,
        user: UserId,
        since: Option<Cursor>,
        brought_cursor: bool,
        positions: HashMap<ConversationId, Seq>,
    ) {
        let most = self.bounds.gateway.connections_per_user;
        let Some(user_connection) = self.admission.user_connections().take(user, most) else {
            return self.close(connection, Close::Abuse);
        };
        connection.user_connection.set(Some(user_connection));
        connection.set_user(Some(user));
        self.registry.borrow_mut().join_user(user, connection);
        self.node.router().subscribe(self.worker, Topic::User(user));
        self.node.presence().came(user, connection.state.borrow().device());
        connection.state.borrow_mut().feed.hold();
        let (this, key) = (Rc::clone(self), connection.key());
        self.spawn_for(connection, async move {
            let (entered, ()) =
                futures_util::join!(this.gather(key, user, since, positions), this.learn_blocks(key, user));
            match entered {
                Ok(Some(mut entered)) => {
                    // A cursor that cannot be read is of a log that nobody here knows.
                    entered.reset |= since.is_none() && brought_cursor;
                    let kind = match since {
                        None if brought_cursor => "epoch_changed",
                        None => "fresh",
                        Some(since) if since.epoch != entered.cursor.epoch => "epoch_changed",
                        Some(_) => "cursor",
                    };
                    this.node.meters().resume.resumes.of(kind).increment(1);
                    this.welcome(key, user, entered).await;
                }
                Ok(None) => {}
                Err(_) => this.heads_failed(key),
            }
        });
    }

    /// A lagging session has drained: it learns what moved and is live again.
    pub(super) fn catch_up(self: &Rc<Self>, connection: &Rc<Connection>) {
        let Some(user) = connection.user() else { return };
        connection.state.borrow_mut().feed.wait();
        let (this, key) = (Rc::clone(self), connection.key());
        self.spawn_for(connection, async move {
            // Never closed, so a turn always comes.
            let turn = this.catch_ups.acquire().await;
            let Some(connection) = this.registry.borrow().get(key) else { return };
            let since = connection.state.borrow().feed.cursor();
            connection.state.borrow_mut().feed.hold();
            drop(connection);
            match this.gather(key, user, since, HashMap::new()).await {
                Ok(Some(entered)) => {
                    // The client takes the heads in its own time; the turn was for the store.
                    drop(turn);
                    this.tell_heads(key, entered).await;
                }
                Ok(None) => {}
                Err(_) => this.heads_failed(key),
            }
        });
    }

    fn heads_failed(self: &Rc<Self>, key: SessionKey) {
        self.with(key, |this, connection| {
            this.decide(connection, |state, moment, _, effects| state.on_heads_failed(moment, effects));
            let deadline_ms = connection.state.borrow().next_deadline_ms(&this.bounds);
            this.look_at(connection, deadline_ms);
        });
    }

    /// Holds the log against what the session was given; one that lacks anything catches up. One query, and none at all while
    /// hellos need the store.
    pub(super) fn compare(self: &Rc<Self>, connection: &Rc<Connection>) {
        let (Some(user), Some(since)) = (connection.user(), connection.state.borrow().feed.cursor()) else {
            return;
        };
        let Some(permit) = self.admission.try_acquire() else {
            return self.node.meters().load.sheds.of("anti_entropy").increment(1);
        };
        let (this, key) = (Rc::clone(self), connection.key());
        self.spawn_for(connection, async move {
            let read = this.node.read(this.node.store().heads(user, Some(since))).await;
            drop(permit);
            let Ok(heads) = read else { return };
            this.with(key, |this, connection| {
                let compared =
                    connection.state.borrow_mut().feed.compare(since, heads, &connection.channels.borrow());
                match compared {
                    Compared::Moot => return,
                    Compared::Same => {}
                    // An event may be on its way here: the log knew of it first.
                    Compared::Doubtful => {
                        connection.state.borrow_mut().on_doubt(this.moment());
                        let deadline_ms = connection.state.borrow().next_deadline_ms(&this.bounds);
                        this.look_at(connection, deadline_ms);
                    }
                    Compared::Amiss => this.amiss(connection),
                }
                this.node.meters().resume.comparisons.increment(1);
            });
        });
    }

    /// What a comparison could not explain has come by now, or was lost.
    pub(super) fn look_again(self: &Rc<Self>, connection: &Rc<Connection>) {
        let compared = connection.state.borrow_mut().feed.look_again(&connection.channels.borrow());
        match compared {
            Compared::Moot | Compared::Same => {}
            Compared::Doubtful | Compared::Amiss => self.amiss(connection),
        }
    }

    fn amiss(self: &Rc<Self>, connection: &Rc<Connection>) {
        self.node.meters().resume.gaps_detected.of("anti_entropy").increment(1);
        self.catch_up(connection);
    }

    /// Reads heads and subscribes to what they name, until they may be told; `None`: the connection is over.
    async fn gather(
        self: &Rc<Self>,
        key: SessionKey,
        user: UserId,
        since: Option<Cursor>,
        positions: HashMap<ConversationId, Seq>,
    ) -> Result<Option<Entered>, Failure> {
        let (mut entering, mut step) = Entering::new(user, since, positions);
        loop {
            step = match step {
                Step::Settle => {
                    // What is published after the snapshot comes by the bus.
                    self.node.router().settled().await;
                    entering.on_settled()
                }
                Step::Subscribe(channels) => {
                    let Some(connection) = self.registry.borrow().get(key) else { return Ok(None) };
                    channels.into_iter().for_each(|channel| self.subscribe_channel(&connection, channel));
                    Step::Settle
                }
                Step::Read(since) => {
                    let heads = self.node.read(self.node.store().heads(user, since)).await?;
                    let Some(connection) = self.registry.borrow().get(key) else { return Ok(None) };
                    let channels = connection.channels.borrow();
                    entering.on_heads(heads, &mut connection.state.borrow_mut().feed, &channels)
                }
                Step::ReadNamed(conversations) => {
                    let heads = self.node.read(self.node.store().heads_of(user, &conversations)).await?;
                    let Some(connection) = self.registry.borrow().get(key) else { return Ok(None) };
                    let channels = connection.channels.borrow();
                    entering.on_named(heads, &mut connection.state.borrow_mut().feed, &channels)
                }
                Step::Tell(entered) => {
                    let Some(connection) = self.registry.borrow().get(key) else { return Ok(None) };
                    for channel in &entered.leaves {
                        self.unsubscribe_channel(&connection, *channel);
                    }
                    for (channel, last_seq) in entered.channels.iter().copied() {
                        self.node.router().begin(channel, last_seq);
                    }
                    return Ok(Some(entered));
                }
                Step::GiveUp => return Err(Failure::Overloaded { retry_after_ms: 1_000 }),
            }
        }
    }
}
