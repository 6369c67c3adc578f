//! Entering, tested with a model of everything around it. Events are committed, lost, repeated and delayed;
//! a client that syncs up to its heads and takes the pushed events has every event of its conversations, once
//! and in order.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use proptest::prelude::*;
use uuid::Uuid;

use super::entering::{Entering, EnteringStep};
use super::feed::{Compared, Feed};
use super::life::Life;
use crate::domain::{
    ConversationId, ConversationKind, Event, EventKind, Head, Position, Seq, Timestamp, UserId,
};
use crate::protocol::delivery::Delivery;
use crate::store::{Cursor, Heads};

const ADA: UserId = UserId::from_uuid(Uuid::from_u128(0xada));
const ROOMS: usize = 4;

/// Two groups, which come by the user's topic, and two channels, which have to be subscribed to.
fn room(n: usize) -> ConversationId {
    let kind = if n < 2 { ConversationKind::Group } else { ConversationKind::Channel };
    ConversationId::from_random(kind, Uuid::from_u128((n as u128 + 1) << 8))
}

#[derive(Debug, Clone, Copy)]
enum Act {
    /// A transaction takes its position and its place in a room.
    Begin(usize),
    /// The oldest one of a room is committed, and published to those who are subscribed.
    Commit(usize),
    /// The worker's inbox hands on so many items.
    Deliver(usize),
    /// The inbox is full: all in it is dropped.
    Overflow,
    /// A copy of something published before comes again.
    Repeat(usize),
    /// The session gets the answer that it waits for: a subscription took effect, or heads were read.
    Answer,
    /// The snapshot is taken, the answer is on its way.
    Snapshot,
    /// The anti-entropy's turn.
    Compare,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (0..ROOMS).prop_map(Act::Begin),
        4 => (0..ROOMS).prop_map(Act::Commit),
        3 => (1..4_usize).prop_map(Act::Deliver),
        1 => Just(Act::Overflow),
        2 => (0..64_usize).prop_map(Act::Repeat),
        4 => Just(Act::Answer),
        3 => Just(Act::Snapshot),
        1 => Just(Act::Compare),
    ];
    proptest::collection::vec(act, 1..120)
}

struct World {
    /// The next position and what is under way, by room.
    next: u64,
    under_way: BTreeMap<u64, (usize, u64)>,
    /// The last seq and its position, committed.
    last: [(u64, u64); ROOMS],
    begun: [u64; ROOMS],
    published: Vec<Arc<Delivery>>,
    inbox: VecDeque<Arc<Delivery>>,
    life: Life,
    feed: Feed,
    subscribed: Vec<ConversationId>,
    way: Option<(Entering, EnteringStep)>,
    /// Heads read from the log as it was, not answered yet.
    snapshot: Option<Heads>,
    /// The newest seq that the client has of each room.
    held: HashMap<ConversationId, u64>,
}

impl World {
    fn new() -> Self {
        Self {
            next: 0,
            under_way: BTreeMap::new(),
            last: Default::default(),
            begun: Default::default(),
            published: Vec::new(),
            inbox: VecDeque::new(),
            life: Life::Authenticating,
            feed: Feed::default(),
            subscribed: Vec::new(),
            way: None,
            snapshot: None,
            held: HashMap::new(),
        }
    }

    fn begin(&mut self, room: usize) {
        self.next += 1;
        // One transaction at a time holds a conversation's row.
        if self.begun[room] == self.last[room].0 {
            self.begun[room] += 1;
            self.under_way.insert(self.next, (room, self.begun[room]));
        }
    }

    fn commit(&mut self, n: usize) {
        let found = self.under_way.iter().find(|(_, (other, _))| *other == n);
        let Some((position, (_, seq))) = found.map(|(position, at)| (*position, *at)) else { return };
        self.under_way.remove(&position);
        self.last[n] = (seq, position);
        let seq = Seq::new(seq).unwrap_or_default();
        let kind = EventKind::Delete { target: seq };
        let event = Event { conversation: room(n), seq, sender: ADA, sent_at: Timestamp::default(), kind };
        let delivery = Arc::new(Delivery::new(Arc::new(event), Position(position)));
        self.published.push(Arc::clone(&delivery));
        if room(n).kind() == ConversationKind::Group || self.subscribed.contains(&room(n)) {
            self.inbox.push_back(delivery);
        }
    }

    fn heads(&self, since: Option<Cursor>) -> Heads {
        let end = self.under_way.keys().next().copied().unwrap_or(self.next + 1);
        let since = since.map_or(0, |cursor| cursor.position.0);
        let seq = |n| Seq::new(n).unwrap_or_default();
        let mut heads = Vec::new();
        let mut channels = Vec::new();
        for n in 0..ROOMS {
            let (last, position) = self.last[n];
            if last > 0 && position >= since {
                heads.push(Head {
                    conversation: room(n),
                    name: None,
                    peer: None,
                    last_seq: seq(last),
                    first_seq: seq(1),
                    read_seq: Seq::ZERO,
                    unread: 0,
                    stranger: false,
                });
            }
            if room(n).kind() == ConversationKind::Channel {
                channels.push((room(n), seq(last)));
            }
        }
        channels.sort_unstable();
        let cursor = Cursor { epoch: 1, position: Position(end) };
        Heads { cursor, heads, quiet: Vec::new(), left: Vec::new(), channels }
    }

    fn pushed(&mut self, delivery: &Delivery) {
        let event = delivery.event();
        let held = self.held.entry(event.conversation).or_default();
        assert_eq!(event.seq.get(), *held + 1, "pushed in order, none twice, none left out");
        *held = event.seq.get();
    }

    fn deliver(&mut self, delivery: &Arc<Delivery>) {
        if self.feed.wants(&mut self.life, delivery) {
            self.pushed(delivery);
        }
    }

    /// A session that lags catches up, as it does when its queue has drained.
    fn catch_up(&mut self) {
        if self.way.is_none() && self.life.is_draining() {
            self.enter(self.feed.cursor());
        }
    }

    fn enter(&mut self, since: Option<Cursor>) {
        self.life.read_heads();
        self.feed.drop_doubts();
        self.way = Some(Entering::new(ADA, since, HashMap::new()));
        self.snapshot = None;
    }

    fn answer(&mut self) {
        let Some((mut entering, step)) = self.way.take() else { return };
        let next = match step {
            EnteringStep::Settle => entering.on_settled(),
            EnteringStep::Subscribe(channels) => {
                self.subscribed.extend(channels);
                EnteringStep::Settle
            }
            EnteringStep::Read(since) => {
                let heads = self.snapshot.take().unwrap_or_else(|| self.heads(since));
                entering.on_heads(heads, &mut self.life, &mut self.feed, &self.subscribed)
            }
            EnteringStep::ReadNamed(_) => {
                entering.on_named(Vec::new(), &mut self.life, &mut self.feed, &self.subscribed)
            }
            EnteringStep::Tell(entered) => {
                for head in entered.heads {
                    let held = self.held.entry(head.conversation).or_default();
                    *held = (*held).max(head.last_seq.get());
                }
                self.life.welcome();
                for delivery in self.life.go_live() {
                    self.deliver(&delivery);
                }
                return self.catch_up();
            }
            EnteringStep::GiveUp => {
                self.life.wait_for_heads();
                return self.enter(self.feed.cursor());
            }
        };
        self.way = Some((entering, next));
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Begin(room) => self.begin(room),
            Act::Commit(room) => self.commit(room),
            Act::Deliver(count) => {
                for _ in 0..count {
                    let Some(delivery) = self.inbox.pop_front() else { break };
                    self.deliver(&delivery);
                }
            }
            Act::Overflow => {
                self.inbox.clear();
                self.life.lag();
                self.catch_up();
            }
            Act::Repeat(at) => {
                // The router passes repeats on only of what it has passed on before.
                let known = self.published.len() - self.inbox.len().min(self.published.len());
                if known > 0 && self.life.is_live() {
                    let delivery = Arc::clone(&self.published[at % known]);
                    let held = self.held.get(&delivery.event().conversation).copied().unwrap_or(0);
                    if delivery.event().seq.get() <= held {
                        self.deliver(&delivery);
                    }
                }
            }
            Act::Answer => self.answer(),
            Act::Snapshot => {
                if let Some((_, EnteringStep::Read(since))) = &self.way {
                    self.snapshot = Some(self.heads(*since));
                }
            }
            Act::Compare => {
                let Some(since) = self.feed.cursor() else { return };
                let heads = self.heads(Some(since));
                if self.feed.compare(&self.life, since, heads, &self.subscribed) == Compared::Doubtful {
                    // What is on its way comes before the second look.
                    self.act(Act::Deliver(usize::MAX));
                    let again = self.feed.look_again(&self.life, &self.subscribed);
                    assert_ne!(again, Compared::Doubtful, "nothing was lost without a word");
                }
            }
        }
    }

    fn end(&mut self) {
        for room in 0..ROOMS {
            self.commit(room);
        }
        for _ in 0..200 {
            self.act(Act::Deliver(usize::MAX));
            self.answer();
        }
        assert!(self.life.is_live(), "whatever happened, the session is live in the end");
        for n in 0..ROOMS {
            let held = self.held.get(&room(n)).copied().unwrap_or(0);
            assert_eq!(held, self.last[n].0, "room {n}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_024, ..ProptestConfig::default() })]

    #[test]
    fn a_client_has_everything_once_and_in_order(before in acts(), after in acts()) {
        let mut world = World::new();
        before.into_iter().filter(|act| matches!(act, Act::Begin(_) | Act::Commit(_))).for_each(|act| world.act(act));
        world.inbox.clear();
        world.enter(None);
        after.into_iter().for_each(|act| world.act(act));
        world.end();
    }
}

#[test]
fn the_second_overflow_of_a_burst_while_heads_are_read_loses_nothing() {
    let mut world = World::new();
    world.enter(None);
    (0..20).for_each(|_| world.answer());
    assert!(world.life.is_live());
    let say = |world: &mut World| {
        world.begin(0);
        world.commit(0);
    };
    say(&mut world);
    world.act(Act::Overflow);
    world.answer();
    world.act(Act::Snapshot);
    say(&mut world);
    world.act(Act::Overflow);
    world.end();
    assert_eq!(world.held[&room(0)], 2);
}
