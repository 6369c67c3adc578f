//! Entering and catching up: subscribe first, read heads second, then push what came after them.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::Switchboard;
use crate::actors::inbox::SessionKey;
use crate::domain::{ConversationId, Seq, Topic, UserId};
use crate::gateway::cursor;
use crate::gateway::line::Line;
use crate::gateway::session::feed::Arrival;
use crate::protocol::server::{HeadView, LimitsView, ServerFrame, Welcome};
use crate::protocol::{Close, Failure};
use crate::store::{Cursor, Head, Heads};

/// Heads per frame.
const HEADS_PER_FRAME: usize = 200;
/// How often heads are read again because too much came in meanwhile, before the client is asked to come back.
const HEAD_READS: usize = 5;

/// Heads of several readings, the newest of each conversation.
struct Gathered {
    cursor: Cursor,
    heads: BTreeMap<ConversationId, Head>,
    channels: Vec<(ConversationId, Seq)>,
}

impl Gathered {
    fn new(first: Heads) -> Self {
        let mut gathered = Self { cursor: first.cursor, heads: BTreeMap::new(), channels: Vec::new() };
        gathered.add(first);
        gathered
    }

    fn add(&mut self, next: Heads) {
        self.cursor = next.cursor;
        self.channels = next.channels;
        self.heads.extend(next.heads.into_iter().map(|head| (head.conversation, head)));
    }

    fn announced(&self) -> Vec<(ConversationId, Seq)> {
        let heads = self.heads.values().map(|head| (head.conversation, head.last_seq));
        let quiet = self.channels.iter().filter(|(channel, _)| !self.heads.contains_key(channel)).copied();
        heads.chain(quiet).collect()
    }
}

impl Switchboard {
    /// The token is good: the session becomes a reader of its user's topics and learns what moved.
    pub(super) fn enter(
        self: &Rc<Self>,
        line: &Rc<Line>,
        user: UserId,
        since: Option<Cursor>,
        brought_cursor: bool,
    ) {
        if self.registry.borrow().of_user(user).len() >= self.bounds.gateway.connections_per_user {
            return self.close(line, Close::Abuse);
        }
        line.set_user(Some(user));
        self.registry.borrow_mut().join_user(user, line);
        self.node.router().subscribe(self.worker, Topic::User(user));
        self.node.presence().came(user, line.state.borrow().device());
        line.state.borrow_mut().feed.hold();
        let (this, key) = (Rc::clone(self), line.key());
        actix_rt::spawn(async move {
            match this.gather(key, user, since).await {
                Ok(Some(gathered)) => {
                    let kind = match since {
                        None if brought_cursor => "epoch_changed",
                        None => "fresh",
                        Some(since) if since.epoch != gathered.cursor.epoch => "epoch_changed",
                        Some(_) => "cursor",
                    };
                    this.node.meters().resume.resumes.of(kind).increment(1);
                    this.with(key, |this, line| this.welcome(line, user, gathered));
                }
                Ok(None) => {}
                Err(_) => this.with(key, |this, line| {
                    this.decide(line, |state, _, _, effects| state.on_heads_failed(effects));
                }),
            }
        });
    }

    /// A lagging session has drained: it learns what moved and is live again.
    pub(super) fn catch_up(self: &Rc<Self>, line: &Rc<Line>) {
        let Some(user) = line.user() else { return };
        let since = line.state.borrow().feed.cursor();
        line.state.borrow_mut().feed.hold();
        let (this, key) = (Rc::clone(self), line.key());
        actix_rt::spawn(async move {
            match this.gather(key, user, since).await {
                Ok(Some(gathered)) => this.with(key, |this, line| {
                    this.reconcile_channels(line, &gathered.channels);
                    this.tell_heads(line, gathered);
                }),
                Ok(None) => {}
                Err(_) => this.with(key, |this, line| {
                    this.decide(line, |state, _, _, effects| state.on_heads_failed(effects));
                }),
            }
        });
    }

    /// Reads heads, subscribes to the channels they name, and reads again what moved before that took hold.
    async fn gather(
        self: &Rc<Self>,
        key: SessionKey,
        user: UserId,
        since: Option<Cursor>,
    ) -> Result<Option<Gathered>, Failure> {
        // What is published after the snapshot comes by the bus.
        self.node.router().settled().await;
        let mut gathered = Gathered::new(self.node.read(self.node.store().heads(user, since)).await?);
        for _ in 0..HEAD_READS {
            let mut subscribed_more = false;
            let Some(line) = self.registry.borrow().get(key) else { return Ok(None) };
            for (channel, _) in &gathered.channels {
                subscribed_more |= !line.channels.borrow().contains(channel);
                self.subscribe_channel(&line, *channel);
            }
            if subscribed_more {
                self.node.router().settled().await;
                gathered.add(self.node.read(self.node.store().heads(user, Some(gathered.cursor))).await?);
                continue;
            }
            match line.state.borrow_mut().feed.arrive(gathered.announced(), gathered.cursor) {
                Arrival::Push(held) => {
                    for (channel, last_seq) in gathered.channels.iter().copied() {
                        self.node.router().begin(channel, last_seq);
                    }
                    line.held.replace(held);
                    return Ok(Some(gathered));
                }
                Arrival::Again => {}
            }
            gathered.add(self.node.read(self.node.store().heads(user, Some(gathered.cursor))).await?);
        }
        Err(Failure::Overloaded { retry_after_ms: 1_000 })
    }

    fn welcome(self: &Rc<Self>, line: &Rc<Line>, user: UserId, gathered: Gathered) {
        let moment = self.moment();
        self.node.meters().resume.heads.record(gathered.heads.len() as f64);
        let text = cursor::encode(gathered.cursor);
        let mut heads: Vec<HeadView> = gathered.heads.into_values().map(HeadView::from).collect();
        let rest = heads.split_off(heads.len().min(HEADS_PER_FRAME));
        let welcome = Welcome {
            session: line.state.borrow().id,
            user,
            server_time: moment.now,
            heartbeat_ms: self.bounds.gateway.heartbeat_ms,
            limits: LimitsView::from(&self.bounds.limits),
            cursor: text.clone(),
            heads,
            more_heads: !rest.is_empty(),
            token_expires_in_ms: line.state.borrow().token_expires_in_ms(moment),
        };
        self.say(line, &ServerFrame::Welcome(Box::new(welcome)));
        self.say_heads(line, &text, &rest);
        self.push_held(line);
        line.state.borrow_mut().on_entered(moment);
        let deadline_ms = line.state.borrow().next_deadline_ms(&self.bounds);
        self.look_at(line, deadline_ms);
    }

    fn tell_heads(self: &Rc<Self>, line: &Rc<Line>, gathered: Gathered) {
        let text = cursor::encode(gathered.cursor);
        let heads: Vec<HeadView> = gathered.heads.into_values().map(HeadView::from).collect();
        if heads.is_empty() {
            // The client waits for the word that it is live again, moved or not.
            self.say(line, &ServerFrame::Heads { cursor: Some(&text), heads: &[] });
        } else {
            self.say_heads(line, &text, &heads);
        }
        self.push_held(line);
        let moment = self.moment();
        line.state.borrow_mut().on_entered(moment);
    }

    /// Says heads in frames; the last one bears the cursor, since only then the client has all that came before it.
    fn say_heads(&self, line: &Line, text: &str, heads: &[HeadView]) {
        let frames = heads.chunks(HEADS_PER_FRAME);
        let last = frames.len().saturating_sub(1);
        for (at, part) in frames.enumerate() {
            let cursor = (at == last).then_some(text);
            self.say(line, &ServerFrame::Heads { cursor, heads: part });
        }
    }

    fn push_held(&self, line: &Rc<Line>) {
        for delivery in line.held.take() {
            self.deliver(line, &delivery);
        }
    }

    fn reconcile_channels(&self, line: &Rc<Line>, channels: &[(ConversationId, Seq)]) {
        let gone: Vec<ConversationId> = line
            .channels
            .borrow()
            .iter()
            .copied()
            .filter(|known| !channels.iter().any(|(channel, _)| channel == known))
            .collect();
        for channel in gone {
            self.unsubscribe_channel(line, channel);
        }
    }
}
