//! Which events the relay publishes, and when it sends digests, as a plain value.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::bus::{Digest, Moved};
use crate::domain::{Committed, ConversationId, Position, Seq, UserId};
use crate::store::Cursor;

/// For how long after it was read an event may still be on its way from the node that committed it.
const GRACE_MS: u64 = 200;
/// Between two digests.
const DIGEST_EVERY_MS: u64 = 500;
/// A digest that names more conversations and users than this is sent early, so that it stays far smaller
/// than the queue of the bus. What one transaction moved stays together.
const DIGEST_NAMES: usize = 50_000;
/// Events that may wait for the end of their grace period. While more wait, the log is not read.
pub const PENDING_EVENTS: usize = 20_000;

struct Waiting {
    read_ms: u64,
    /// When everything before this position was read.
    next: Position,
    committed: Vec<Committed>,
}

struct Span {
    first: Seq,
    last: Seq,
    users: Vec<UserId>,
}

/// The next action.
#[derive(Debug, Default)]
pub struct Due {
    /// Events that no node announced as published, in commit order.
    pub unpublished: Vec<Committed>,
    /// The digests to send after that. Each begins where the one before ends.
    pub digests: Vec<Digest>,
}

/// The state of the relay. Everything before [`RelayState::done`] was published and is in a digest that was
/// sent.
pub struct RelayState {
    epoch: u64,
    read: Position,
    settled: Position,
    told: Position,
    told_ms: Option<u64>,
    waiting: VecDeque<Waiting>,
    pending: usize,
    moved: HashMap<ConversationId, Span>,
    /// How many conversations and users `moved` names.
    named: usize,
    /// The position of the last event in `moved`.
    noted: Position,
    /// An undecided transaction holds back the log's end.
    held_back: bool,
}

impl RelayState {
    /// Begins at `cursor`: everything before it was handled.
    pub fn new(cursor: Cursor) -> Self {
        let at = cursor.position;
        Self {
            epoch: cursor.epoch,
            read: at,
            settled: at,
            told: at,
            told_ms: None,
            waiting: VecDeque::new(),
            pending: 0,
            moved: HashMap::new(),
            named: 0,
            noted: at,
            held_back: false,
        }
    }

    /// From where to read the log; `None` while enough events wait.
    pub fn wants(&self) -> Option<Position> {
        (self.pending < bound!(PendingEventsOfTheRelay, PENDING_EVENTS)).then_some(self.read)
    }

    /// The position up to which the log was read.
    pub const fn read_to(&self) -> Cursor {
        Cursor { epoch: self.epoch, position: self.read }
    }

    /// An undecided transaction holds back the log's end, or none does. When that begins, a digest says so at
    /// once.
    pub const fn on_held_back(&mut self, held_back: bool) {
        if held_back && !self.held_back {
            self.told_ms = None;
        }
        self.held_back = held_back;
    }

    /// The log was read up to `next`.
    pub fn on_read(&mut self, committed: Vec<Committed>, next: Position, now_ms: u64) {
        self.read = next;
        self.pending += committed.len();
        match self.waiting.back_mut() {
            // An idle log needs no entry.
            Some(last) if committed.is_empty() && last.committed.is_empty() => {
                last.next = next;
                last.read_ms = now_ms;
            }
            _ => self.waiting.push_back(Waiting { read_ms: now_ms, next, committed }),
        }
    }

    /// What is due at `now_ms`. `is_published` says whether a node published an event.
    pub fn due(&mut self, now_ms: u64, mut is_published: impl FnMut(ConversationId, Seq) -> bool) -> Due {
        let mut due = Due::default();
        while self.waiting.front().is_some_and(|first| now_ms.saturating_sub(first.read_ms) >= GRACE_MS) {
            let Some(ripe) = self.waiting.pop_front() else { break };
            self.pending -= ripe.committed.len();
            for committed in ripe.committed {
                if self.named >= bound!(NamesPerDigest, DIGEST_NAMES) && committed.position > self.noted {
                    self.settled = committed.position;
                    due.digests.push(self.tell(now_ms));
                }
                let event = &committed.event;
                self.note(&committed);
                if !is_published(event.conversation, event.seq) {
                    due.unpublished.push(committed);
                }
            }
            self.settled = ripe.next;
        }
        let late = self.told_ms.is_none_or(|told| now_ms.saturating_sub(told) >= DIGEST_EVERY_MS);
        if late || self.named >= bound!(NamesPerDigest, DIGEST_NAMES) {
            due.digests.push(self.tell(now_ms));
        }
        due
    }

    /// Everything before this position is done.
    pub const fn done(&self) -> Cursor {
        Cursor { epoch: self.epoch, position: self.told }
    }

    /// Events that wait out their grace.
    pub const fn pending_events(&self) -> usize {
        self.pending
    }

    /// How long the oldest of them has waited.
    pub fn oldest_ms(&self, now_ms: u64) -> u64 {
        let oldest = self.waiting.iter().find(|waiting| !waiting.committed.is_empty());
        oldest.map_or(0, |waiting| now_ms.saturating_sub(waiting.read_ms))
    }

    fn note(&mut self, committed: &Committed) {
        self.noted = committed.position;
        let (event, users) = (&committed.event, &committed.audience.users);
        let span = self.moved.entry(event.conversation).or_insert_with(|| {
            self.named += 1;
            Span { first: event.seq, last: event.seq, users: Vec::new() }
        });
        span.first = span.first.min(event.seq);
        span.last = span.last.max(event.seq);
        if span.users.as_slice() != &**users {
            let new: Vec<UserId> = users.iter().filter(|user| !span.users.contains(user)).copied().collect();
            self.named += new.len();
            span.users.extend(new);
        }
    }

    fn tell(&mut self, now_ms: u64) -> Digest {
        let moved = self.moved.drain().map(|(conversation, span)| Moved {
            conversation,
            first: span.first,
            last: span.last,
            users: Arc::from(span.users),
        });
        let digest = Digest {
            epoch: self.epoch,
            from: self.told,
            to: self.settled,
            held_back: self.held_back,
            moved: moved.collect(),
        };
        self.named = 0;
        self.told = self.settled;
        self.told_ms = Some(now_ms);
        digest
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{Audience, ConversationKind, Event, EventKind, Timestamp};

    fn conversation(n: u128) -> ConversationId {
        ConversationId::from_random(ConversationKind::Group, Uuid::from_u128(n << 8))
    }

    fn committed(n: u128, seq: u64, position: u64) -> Committed {
        let user = UserId::from_uuid(Uuid::from_u128(n));
        let seq = Seq::new(seq).unwrap_or_default();
        Committed {
            event: Arc::new(Event {
                conversation: conversation(n),
                seq,
                sender: user,
                sent_at: Timestamp::default(),
                kind: EventKind::Delete { target: seq },
            }),
            position: Position(position),
            previous: Position(0),
            audience: Audience { users: Arc::from([user]) },
        }
    }

    fn fresh() -> RelayState {
        RelayState::new(Cursor { epoch: 1, position: Position(1) })
    }

    #[test]
    fn publishes_what_nobody_published_once_its_grace_is_over() {
        let mut relay = fresh();
        relay.on_read(vec![committed(1, 1, 1), committed(2, 1, 2), committed(1, 2, 3)], Position(4), 1_000);
        assert!(relay.due(1_000 + GRACE_MS - 1, |_, _| false).unpublished.is_empty());
        let due = relay.due(1_000 + GRACE_MS, |id, seq| id == conversation(1) && seq.get() == 1);
        let positions: Vec<u64> = due.unpublished.iter().map(|one| one.position.0).collect();
        assert_eq!(positions, [2, 3]);
        assert!(relay.due(2_000, |_, _| false).unpublished.is_empty(), "once");
    }

    #[test]
    fn digests_join_up_and_name_all_that_moved() {
        let mut relay = fresh();
        let first = relay.due(0, |_, _| true).digests;
        let at = Position(1);
        assert_eq!(first, [Digest { epoch: 1, from: at, to: at, held_back: false, moved: Vec::new() }]);
        relay.on_read(vec![committed(1, 5, 1), committed(1, 6, 2), committed(2, 9, 3)], Position(4), 100);
        relay.on_read(vec![committed(1, 7, 4)], Position(5), 400);
        assert!(relay.due(300, |_, _| true).digests.is_empty());
        let Some(mut digest) = relay.due(500, |_, _| true).digests.pop() else { panic!("a digest is due") };
        assert_eq!((digest.from, digest.to), (Position(1), Position(4)), "7 still has its grace");
        digest.moved.sort_by_key(|moved| moved.last);
        let spans: Vec<_> = digest
            .moved
            .iter()
            .map(|moved| (moved.first.get(), moved.last.get(), moved.users.len()))
            .collect();
        assert_eq!(spans, [(5, 6, 1), (9, 9, 1)]);
        assert_eq!(relay.done().position, Position(4));
        let Some(next) = relay.due(1_000, |_, _| true).digests.pop() else { panic!("a digest is due") };
        assert_eq!((next.from, next.to, next.moved.len()), (Position(4), Position(5), 1));
    }

    #[test]
    fn a_digest_says_at_once_that_the_end_is_held_back() {
        let mut relay = fresh();
        relay.due(0, |_, _| true);
        relay.on_held_back(true);
        assert!(relay.due(1, |_, _| true).digests[0].held_back);
        relay.on_held_back(true);
        assert!(relay.due(2, |_, _| true).digests.is_empty());
        relay.on_held_back(false);
        assert!(!relay.due(1 + DIGEST_EVERY_MS, |_, _| true).digests[0].held_back);
    }

    #[test]
    fn a_digest_of_any_size_is_split_between_two_transactions() {
        let mut relay = fresh();
        relay.due(0, |_, _| true);
        let users: Arc<[UserId]> =
            (0..DIGEST_NAMES as u128 / 2).map(|n| UserId::from_uuid(Uuid::from_u128(n))).collect();
        let large = |n: u128, position| {
            let mut large = committed(n, 1, position);
            large.audience.users = Arc::clone(&users);
            large
        };
        let read = vec![large(1, 1), large(2, 2), large(3, 2), large(4, 5), large(5, 6), large(6, 7)];
        relay.on_read(read, Position(9), 0);
        let digests = relay.due(GRACE_MS, |_, _| true).digests;
        let spans: Vec<_> =
            digests.iter().map(|digest| (digest.from.0, digest.to.0, digest.moved.len())).collect();
        assert_eq!(spans, [(1, 5, 3), (5, 7, 2)], "2 and 3 are of one transaction");
        let rest = relay.due(1_000, |_, _| true).digests;
        assert_eq!((rest[0].from, rest[0].to, rest[0].moved.len()), (Position(7), Position(9), 1));
    }

    #[test]
    fn reads_no_further_while_too_much_waits() {
        let mut relay = fresh();
        assert_eq!(relay.wants(), Some(Position(1)));
        let many = (1..=PENDING_EVENTS as u64).map(|n| committed(1, n, n)).collect();
        relay.on_read(many, Position(PENDING_EVENTS as u64 + 1), 0);
        assert_eq!(relay.wants(), None);
        relay.due(GRACE_MS, |_, _| true);
        assert_eq!(relay.wants(), Some(Position(PENDING_EVENTS as u64 + 1)));
    }
}
