//! Entering and catching up: subscribe first, read heads second, then push what came after them.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use super::Switchboard;
use crate::actors::inbox::SessionKey;
use crate::domain::{ConversationId, ConversationKind, EventKind, Seq, Topic, UserId};
use crate::gateway::cursor;
use crate::gateway::line::Line;
use crate::gateway::session::feed::Arrival;
use crate::protocol::delivery::Delivery;
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

    /// Whether these positions may be behind in a conversation that the heads so far do not name.
    fn leaves_open(&self, positions: &HashMap<ConversationId, Seq>) -> bool {
        positions.iter().any(|(conversation, held)| {
            let quiet = self.channels.binary_search_by_key(conversation, |(channel, _)| *channel);
            let may_be_behind = match (conversation.kind(), quiet) {
                // Every channel of the user is named with its newest seq, moved or not.
                (ConversationKind::Channel, Ok(at)) => self.channels[at].1 > *held,
                (ConversationKind::Channel, Err(_)) => false,
                (ConversationKind::Direct | ConversationKind::Group, _) => true,
            };
            may_be_behind && !self.heads.contains_key(conversation)
        })
    }

    /// Adds the heads of conversations in which the client is behind although nothing moved since its cursor.
    fn add_behind(&mut self, all: Heads, positions: &HashMap<ConversationId, Seq>) {
        let behind =
            |head: &Head| positions.get(&head.conversation).is_some_and(|held| *held < head.last_seq);
        let heads = all.heads.into_iter().filter(behind).map(|head| (head.conversation, head));
        self.heads.extend(heads);
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
        positions: HashMap<ConversationId, Seq>,
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
        self.spawn_for(line, async move {
            match this.gather(key, user, since, positions).await {
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
        self.spawn_for(line, async move {
            // Never closed, so a turn always comes.
            let _turn = this.catch_ups.acquire().await;
            match this.gather(key, user, since, HashMap::new()).await {
                Ok(Some(gathered)) => this.with(key, |this, line| this.tell_heads(line, gathered)),
                Ok(None) => {}
                Err(_) => this.with(key, |this, line| {
                    this.decide(line, |state, _, _, effects| state.on_heads_failed(effects));
                }),
            }
        });
    }

    /// Holds the log against what this node passed on; a session for which anything is amiss catches up. One query, and
    /// none at all while hellos need the store.
    pub(super) fn compare(self: &Rc<Self>, line: &Rc<Line>) {
        let (Some(user), Some(since)) = (line.user(), line.state.borrow().feed.compared()) else { return };
        let Some(place) = self.doorman.place_now() else {
            return self.node.meters().load.sheds.of("anti_entropy").increment(1);
        };
        let (this, key) = (Rc::clone(self), line.key());
        self.spawn_for(line, async move {
            let read = this.node.read(this.node.store().heads(user, Some(since))).await;
            drop(place);
            let Ok(heads) = read else { return };
            this.with(key, |this, line| {
                if !line.state.borrow().feed.is_live() {
                    return;
                }
                this.node.meters().resume.comparisons.increment(1);
                if heads.cursor.epoch == since.epoch && this.is_passed_on(line, &heads) {
                    line.state.borrow_mut().feed.compared_up_to(heads.cursor);
                } else {
                    this.node.meters().resume.gaps_detected.of("anti_entropy").increment(1);
                    this.catch_up(line);
                }
            });
        });
    }

    fn is_passed_on(&self, line: &Line, heads: &Heads) -> bool {
        let router = self.node.router();
        let passed = |head: &Head| router.passed(head.conversation).is_some_and(|seq| seq >= head.last_seq);
        let known = line.channels.borrow();
        heads.heads.iter().all(passed)
            && known.len() == heads.channels.len()
            && heads.channels.iter().all(|(channel, _)| known.contains(channel))
    }

    /// Reads heads, subscribes to the channels they name, and reads again what moved before that took hold.
    async fn gather(
        self: &Rc<Self>,
        key: SessionKey,
        user: UserId,
        since: Option<Cursor>,
        positions: HashMap<ConversationId, Seq>,
    ) -> Result<Option<Gathered>, Failure> {
        // What is published after the snapshot comes by the bus.
        self.node.router().settled().await;
        let mut gathered = Gathered::new(self.node.read(self.node.store().heads(user, since)).await?);
        if since.is_some_and(|since| since.epoch == gathered.cursor.epoch) && gathered.leaves_open(&positions)
        {
            let all = self.node.read(self.node.store().heads(user, None)).await?;
            gathered.add_behind(all, &positions);
        }
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
            let arrival = line.state.borrow_mut().feed.arrive(gathered.announced(), gathered.cursor);
            match arrival {
                Arrival::Push(held) => {
                    self.reconcile_channels(&line, user, &gathered.channels, &held);
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
        self.hello_ended(line, "welcome");
        line.state.borrow_mut().on_entered(moment, &self.bounds);
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
        line.state.borrow_mut().on_entered(moment, &self.bounds);
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

    /// Leaves the channels that the heads no longer name, unless the user has joined since: `held` came after the heads.
    fn reconcile_channels(
        &self,
        line: &Rc<Line>,
        user: UserId,
        channels: &[(ConversationId, Seq)],
        held: &[Arc<Delivery>],
    ) {
        let gone: Vec<ConversationId> = line
            .channels
            .borrow()
            .iter()
            .copied()
            .filter(|known| !channels.iter().any(|(channel, _)| channel == known))
            .filter(|known| !joined_last(held, user, *known))
            .collect();
        for channel in gone {
            self.unsubscribe_channel(line, channel);
        }
    }
}

/// Whether the last that these events say of a user's membership is that it began.
fn joined_last(held: &[Arc<Delivery>], user: UserId, channel: ConversationId) -> bool {
    let about = |delivery: &Arc<Delivery>| match &delivery.event().kind {
        EventKind::MemberJoined { user: who, .. } if *who == user => Some(true),
        EventKind::MemberLeft { user: who, .. } if *who == user => Some(false),
        _ => None,
    };
    let here = held.iter().rev().filter(|delivery| delivery.event().conversation == channel);
    here.filter_map(about).next().unwrap_or(false)
}
