//! Which live events a session is pushed: exactly those after the heads it was told, in order, none twice.
//!
//! Subscribe first, read second: from the moment a session is subscribed until its heads are read, events are held. When
//! the heads arrive, what they already count is dropped (the client will `sync` it) and the rest is pushed.

use std::sync::Arc;

use crate::domain::{ConversationId, Seq};
use crate::protocol::delivery::Delivery;
use crate::store::Cursor;

/// Events held while heads are read; past it the heads are read once more.
const HELD_EVENTS: usize = 1_024;

#[derive(Debug, Default)]
enum Mode {
    /// Nothing is wanted yet.
    #[default]
    Closed,
    /// Heads are being read.
    Holding(Vec<Arc<Delivery>>),
    /// More came in the meantime than may be held.
    Overflowed,
    /// Events are pushed.
    Live,
    /// The client reads too slowly: it is told to pull, and nothing is pushed until its queue has drained.
    Lagging,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Feed {
    mode: Mode,
    /// Events up to these were announced by heads; sorted by conversation. Copies of them may still be on their way.
    announced: Vec<(ConversationId, Seq)>,
    cursor: Option<Cursor>,
    /// Up to where the log was compared with what this node passed on; never told to the client.
    compared: Option<Cursor>,
}

/// What to do when heads have been read.
#[derive(Debug)]
pub enum Arrival {
    /// Announce the heads, then push these.
    Push(Vec<Arc<Delivery>>),
    /// Too much came in the meantime: read the heads once more.
    Again,
}

impl Feed {
    /// Holds events from now on; heads are about to be read.
    pub fn hold(&mut self) {
        self.mode = Mode::Holding(Vec::new());
    }

    /// Judges an event; `true`: push it now.
    pub fn wants(&mut self, delivery: &Arc<Delivery>) -> bool {
        match &mut self.mode {
            Mode::Live => is_news(self.cursor, &self.announced, delivery),
            Mode::Holding(held) if held.len() < HELD_EVENTS => {
                held.push(Arc::clone(delivery));
                false
            }
            Mode::Holding(_) => {
                self.mode = Mode::Overflowed;
                false
            }
            Mode::Closed | Mode::Overflowed | Mode::Lagging => false,
        }
    }

    /// The client reads too slowly; `true` when that is news.
    pub fn lag(&mut self) -> bool {
        let news = matches!(self.mode, Mode::Live);
        if news {
            self.mode = Mode::Lagging;
        }
        news
    }

    /// Whether events are pushed.
    pub const fn is_live(&self) -> bool {
        matches!(self.mode, Mode::Live)
    }

    /// From where to compare next.
    pub const fn compared(&self) -> Option<Cursor> {
        self.compared
    }

    /// Everything up to here was passed on. The client's own cursor stays: what was passed on may still be on its way.
    pub const fn compared_up_to(&mut self, cursor: Cursor) {
        self.compared = Some(cursor);
    }

    /// Whether the session waits for its queue to drain.
    pub const fn is_lagging(&self) -> bool {
        matches!(self.mode, Mode::Lagging)
    }

    /// Heads were read, `announced` holding each conversation's newest seq.
    pub fn arrive(&mut self, mut announced: Vec<(ConversationId, Seq)>, cursor: Cursor) -> Arrival {
        let held = match std::mem::take(&mut self.mode) {
            Mode::Overflowed => {
                self.hold();
                return Arrival::Again;
            }
            Mode::Holding(held) => held,
            Mode::Closed | Mode::Live | Mode::Lagging => Vec::new(),
        };
        announced.sort_unstable();
        self.cursor = Some(cursor);
        self.compared = Some(cursor);
        let fresh = held.into_iter().filter(|delivery| is_news(self.cursor, &announced, delivery)).collect();
        self.announced = announced;
        self.mode = Mode::Live;
        Arrival::Push(fresh)
    }

    /// From where to read heads next.
    pub const fn cursor(&self) -> Option<Cursor> {
        self.cursor
    }

    /// Late copies of announced events have arrived by now: forget them.
    pub fn forget_announced(&mut self) {
        self.announced = Vec::new();
    }
}

/// Whether the heads did not count an event yet. What lies before their cursor they counted, however late a copy comes; of
/// what was being committed while they were read, the announced seqs tell.
fn is_news(cursor: Option<Cursor>, announced: &[(ConversationId, Seq)], delivery: &Delivery) -> bool {
    let (conversation, seq) = (delivery.event().conversation, delivery.event().seq);
    cursor.is_none_or(|cursor| delivery.position() >= cursor.position)
        && !announced
            .binary_search_by_key(&conversation, |(id, _)| *id)
            .is_ok_and(|at| seq <= announced[at].1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::domain::{ConversationKind, Event, EventKind, Position, Timestamp, UserId};

    fn conversation(n: u128) -> ConversationId {
        ConversationId::from_random(ConversationKind::Group, Uuid::from_u128(n << 8))
    }

    fn delivery(conversation: ConversationId, seq: u64) -> Arc<Delivery> {
        let seq = Seq::new(seq).unwrap_or_default();
        let event = Event {
            conversation,
            seq,
            sender: UserId::from_uuid(Uuid::from_u128(1)),
            sent_at: Timestamp::default(),
            kind: EventKind::Delete { target: seq },
        };
        Arc::new(Delivery::new(Arc::new(event), Position(seq.get())))
    }

    const CURSOR: Cursor = Cursor { epoch: 1, position: Position(1) };

    proptest! {
        /// Wherever in a conversation's life the subscription and the snapshot fall, announced range and pushed events
        /// together are 1, 2, 3 … without overlap. `late` copies of announced events arrive after the heads.
        #[test]
        fn announced_and_pushed_meet_without_overlap(total in 1_u64..50, subscribed in 0_u64..50, snapshot in 0_u64..50, late in 0_u64..5) {
            let subscribed = subscribed.min(total);
            let snapshot = snapshot.clamp(subscribed, total);
            let mut feed = Feed::default();
            let mut pushed = Vec::new();
            feed.hold();
            for seq in subscribed + 1..=snapshot.saturating_sub(late).max(subscribed) {
                prop_assert!(!feed.wants(&delivery(conversation(1), seq)));
            }
            let first_after = snapshot.saturating_sub(late).max(subscribed) + 1;
            let announced = vec![(conversation(2), Seq::new(99).unwrap_or_default()), (conversation(1), Seq::new(snapshot).unwrap_or_default())];
            if let Arrival::Push(held) = feed.arrive(announced, CURSOR) {
                pushed.extend(held.iter().map(|delivery| delivery.event().seq.get()));
            }
            for seq in first_after..=total {
                if feed.wants(&delivery(conversation(1), seq)) {
                    pushed.push(seq);
                }
            }
            prop_assert_eq!(pushed, (snapshot + 1..=total).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_lies_before_the_heads_is_never_pushed_however_late_it_comes() {
        let mut feed = Feed::default();
        feed.hold();
        let cursor = Cursor { epoch: 1, position: Position(5) };
        assert!(matches!(feed.arrive(Vec::new(), cursor), Arrival::Push(_)));
        feed.forget_announced();
        assert!(!feed.wants(&delivery(conversation(1), 4)));
        assert!(feed.wants(&delivery(conversation(1), 5)));
    }

    #[test]
    fn a_lagging_session_is_pushed_nothing_until_heads_are_read() {
        let mut feed = Feed::default();
        feed.hold();
        assert!(matches!(feed.arrive(Vec::new(), CURSOR), Arrival::Push(_)));
        assert!(feed.wants(&delivery(conversation(1), 1)));
        assert!(feed.lag() && !feed.lag());
        assert!(!feed.wants(&delivery(conversation(1), 2)));
        feed.hold();
        assert!(!feed.wants(&delivery(conversation(1), 3)));
        let announced = vec![(conversation(1), Seq::new(2).unwrap_or_default())];
        let Arrival::Push(held) = feed.arrive(announced, CURSOR) else { panic!("nothing overflowed") };
        assert_eq!(held.len(), 1);
    }

    #[test]
    fn too_much_in_the_meantime_reads_the_heads_again() {
        let mut feed = Feed::default();
        feed.hold();
        for seq in 1..=HELD_EVENTS as u64 + 1 {
            feed.wants(&delivery(conversation(1), seq));
        }
        assert!(matches!(feed.arrive(Vec::new(), CURSOR), Arrival::Again));
        assert!(matches!(feed.arrive(Vec::new(), CURSOR), Arrival::Push(_)));
    }
}
