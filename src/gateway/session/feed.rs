//! Which live events a session is pushed: exactly those after the heads it was sent, in order, none twice.
//!
//! Subscribe first, read second: from a session's subscription until its heads are sent, events are held.
//! When the heads are read, events that they already count are dropped (the client will `sync` them), and the
//! others are pushed after the heads. When something was lost on the way here, the next heads must be newer
//! than the loss.

use std::sync::Arc;

use super::given::Given;
use super::held_events::{VisibleEvents, visible_events};
use super::life::{Held, Life};
use crate::domain::{ConversationId, Seq, UserId};
use crate::protocol::delivery::Delivery;
use crate::store::{Cursor, Heads};

/// The events that a comparison did not find in the session. They may be on their way, so they are checked
/// again.
#[derive(Debug)]
struct Doubts {
    cursor: Cursor,
    /// The conversations that had moved by then, sorted.
    moved: Vec<(ConversationId, Seq)>,
    /// The channels to be subscribed to, sorted.
    channels: Vec<ConversationId>,
}

/// Which live events one session is pushed.
#[derive(Debug, Default)]
pub struct Feed {
    given: Given,
    /// Everything before it was given to the session.
    cursor: Option<Cursor>,
    doubts: Option<Box<Doubts>>,
}

/// The next action after heads were read.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Send the heads, then go live.
    Tell {
        /// The channels that the user joined or left since the heads were read, and whether the user is a
        /// member now.
        since: Vec<(ConversationId, bool)>,
    },
    /// The heads may lack something: read them again.
    Again,
}

/// The result of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compared {
    /// The session was given everything.
    Same,
    /// It lacks something that may be on its way: check again.
    Doubtful,
    /// The log was replaced.
    Amiss,
    /// Heads were read in the meantime, or will be read anyway.
    Moot,
}

impl Feed {
    /// Heads will be read, so the result of an earlier comparison no longer matters.
    pub fn drop_doubts(&mut self) {
        self.doubts = None;
    }

    /// Judges an event. Returns `true` if it must be pushed now.
    pub fn wants(&mut self, life: &mut Life, delivery: &Arc<Delivery>) -> bool {
        if life.is_live() {
            let event = delivery.event();
            rare!(
                LateCopyOfWhatHeadsCounted,
                self.cursor.is_some_and(|cursor| delivery.position() < cursor.position)
            );
            return self.cursor.is_none_or(|cursor| delivery.position() >= cursor.position)
                && self.given.give(event.conversation, event.seq, delivery.position());
        }
        life.hold_event(delivery);
        false
    }

    /// Heads were read. `announced`: the newest seq of each conversation; `channels`: the user's channels at
    /// that time.
    pub fn arrive(
        &mut self,
        life: &mut Life,
        announced: Vec<(ConversationId, Seq)>,
        cursor: Cursor,
        user: UserId,
        channels: &[(ConversationId, Seq)],
    ) -> Arrival {
        let Some(Held::Events(held)) = life.held() else {
            rare!(HeadsReadAgainAfterALoss);
            life.read_heads();
            return Arrival::Again;
        };
        let held = std::mem::take(held);
        self.given = Given::announced(announced);
        self.cursor = Some(cursor);
        rare!(HeldEventCountedByHeads, held.iter().any(|delivery| !self.is_news(delivery)));
        let fresh = held.into_iter().filter(|delivery| self.is_news(delivery)).collect();
        let VisibleEvents { events, since } = visible_events(fresh, user, channels);
        if let Some(held) = life.held() {
            *held = Held::Events(events);
        }
        Arrival::Tell { since }
    }

    fn is_news(&self, delivery: &Delivery) -> bool {
        let event = delivery.event();
        // The heads counted everything before their cursor, also events whose copy arrives late. The
        // announced seqs decide about events that were being committed while they were read.
        self.cursor.is_none_or(|cursor| delivery.position() >= cursor.position)
            && self.given.up_to(event.conversation).is_none_or(|seq| seq < event.seq)
    }

    /// Compares the log since `since` with what this session was given, and the user's channels with those
    /// that it is `subscribed` to.
    pub fn compare(
        &mut self,
        life: &Life,
        since: Cursor,
        heads: Heads,
        subscribed: &[ConversationId],
    ) -> Compared {
        if !life.is_live() || self.cursor != Some(since) {
            rare!(ComparisonOvertakenByHeads);
            return Compared::Moot;
        }
        if heads.cursor.epoch != since.epoch {
            rare!(LogReplacedBetweenComparisons);
            return Compared::Amiss;
        }
        let quiet = |id: &ConversationId| heads.quiet.binary_search(id).is_ok();
        let mut moved: Vec<_> = heads
            .heads
            .iter()
            .map(|head| (head.conversation, head.last_seq))
            .filter(|(id, _)| !quiet(id))
            .chain(heads.left.iter().copied())
            .collect();
        moved.sort_unstable();
        let mut channels: Vec<_> = heads.channels.into_iter().map(|(channel, _)| channel).collect();
        channels.sort_unstable();
        self.doubts = Some(Box::new(Doubts { cursor: heads.cursor, moved, channels }));
        self.look_again(life, subscribed)
    }

    /// Checks again what a comparison could not explain.
    pub fn look_again(&mut self, life: &Life, subscribed: &[ConversationId]) -> Compared {
        let Some(doubts) = self.doubts.take().filter(|_| life.is_live()) else { return Compared::Moot };
        let given = |(id, seq): &(ConversationId, Seq)| self.given.up_to(*id).unwrap_or_default() >= *seq;
        let same_channels = doubts.channels.len() == subscribed.len()
            && subscribed.iter().all(|channel| doubts.channels.binary_search(channel).is_ok());
        if !doubts.moved.iter().all(given) || !same_channels {
            rare!(EventUnderWayDuringAComparison);
            self.doubts = Some(doubts);
            return Compared::Doubtful;
        }
        self.given.forget_before(doubts.cursor.position, &doubts.moved);
        self.cursor = Some(doubts.cursor);
        Compared::Same
    }

    /// From where to read heads next.
    pub const fn cursor(&self) -> Option<Cursor> {
        self.cursor
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{ConversationKind, Event, EventKind, Head, Position, Timestamp};

    const ADA: UserId = UserId::from_uuid(Uuid::from_u128(0xada));

    fn conversation(n: u128) -> ConversationId {
        ConversationId::from_random(ConversationKind::Group, Uuid::from_u128(n << 8))
    }

    fn seq(n: u64) -> Seq {
        Seq::new(n).unwrap_or_default()
    }

    fn cursor(position: u64) -> Cursor {
        Cursor { epoch: 1, position: Position(position) }
    }

    fn delivery(conversation: ConversationId, n: u64) -> Arc<Delivery> {
        let event = Event {
            conversation,
            seq: seq(n),
            sender: ADA,
            sent_at: Timestamp::default(),
            kind: EventKind::Delete { target: seq(n) },
        };
        Arc::new(Delivery::new(Arc::new(event), Position(n)))
    }

    fn arrive(life: &mut Life, feed: &mut Feed, announced: &[(u128, u64)], position: u64) -> Arrival {
        let announced = announced.iter().map(|(id, n)| (conversation(*id), seq(*n))).collect();
        feed.arrive(life, announced, cursor(position), ADA, &[])
    }

    /// A session that was welcomed and reads heads.
    fn reading() -> (Life, Feed) {
        let mut life = Life::Live;
        life.read_heads();
        (life, Feed::default())
    }

    fn live(position: u64) -> (Life, Feed) {
        let (mut life, mut feed) = reading();
        assert_eq!(arrive(&mut life, &mut feed, &[], position), Arrival::Tell { since: Vec::new() });
        assert!(life.go_live().is_empty() && life.is_live());
        (life, feed)
    }

    fn heads(moved: &[(u128, u64)], quiet: &[u128], position: u64) -> Heads {
        let head = |(id, n): &(u128, u64)| Head {
            conversation: conversation(*id),
            name: None,
            peer: None,
            last_seq: seq(*n),
            first_seq: seq(1),
            read_seq: Seq::ZERO,
            unread: 0,
            stranger: false,
        };
        let heads = moved.iter().map(head).collect();
        let quiet = quiet.iter().map(|id| conversation(*id)).collect();
        Heads { cursor: cursor(position), heads, quiet, left: Vec::new(), channels: Vec::new() }
    }

    #[test]
    fn what_lies_before_the_heads_is_never_pushed_however_late_it_comes() {
        let (mut life, mut feed) = live(5);
        assert!(!feed.wants(&mut life, &delivery(conversation(1), 4)));
        assert!(feed.wants(&mut life, &delivery(conversation(1), 5)));
        assert!(!feed.wants(&mut life, &delivery(conversation(1), 5)), "none twice");
    }

    #[test]
    fn a_lagging_session_is_pushed_nothing_until_heads_are_read() {
        let (mut life, mut feed) = live(1);
        assert!(feed.wants(&mut life, &delivery(conversation(1), 1)));
        assert!(life.lag() && !life.lag());
        assert!(!feed.wants(&mut life, &delivery(conversation(1), 2)));
        life.wait_for_heads();
        assert!(!feed.wants(&mut life, &delivery(conversation(1), 3)), "the heads will count it");
        life.read_heads();
        assert!(!feed.wants(&mut life, &delivery(conversation(1), 4)));
        assert_eq!(arrive(&mut life, &mut feed, &[(1, 3)], 1), Arrival::Tell { since: Vec::new() });
        assert!(!feed.wants(&mut life, &delivery(conversation(1), 5)), "the heads are being told");
        let held: Vec<u64> = life.go_live().iter().map(|delivery| delivery.event().seq.get()).collect();
        assert_eq!(held, [4, 5]);
    }

    #[test]
    fn what_is_lost_while_heads_are_read_makes_them_be_read_again() {
        let (mut life, mut feed) = reading();
        assert!(!life.lag(), "heads are being read already");
        assert_eq!(arrive(&mut life, &mut feed, &[], 1), Arrival::Again);
        assert!(!feed.wants(&mut life, &delivery(conversation(1), 1)));
        assert_eq!(arrive(&mut life, &mut feed, &[(1, 1)], 2), Arrival::Tell { since: Vec::new() });
        assert!(!life.lag(), "they are being told");
        assert!(life.go_live().is_empty() && life.is_draining(), "then read once more");
    }

    #[test]
    fn too_much_in_the_meantime_reads_the_heads_again() {
        let (mut life, mut feed) = reading();
        for n in 1..=crate::gateway::session::life::HELD_EVENTS as u64 + 1 {
            feed.wants(&mut life, &delivery(conversation(1), n));
        }
        assert_eq!(arrive(&mut life, &mut feed, &[], 1), Arrival::Again);
        assert_eq!(arrive(&mut life, &mut feed, &[], 1), Arrival::Tell { since: Vec::new() });
    }

    #[test]
    fn a_comparison_asks_what_this_session_was_given() {
        let (mut life, mut feed) = live(5);
        assert!(feed.wants(&mut life, &delivery(conversation(1), 5)));
        assert_eq!(feed.compare(&life, cursor(5), heads(&[(1, 5), (2, 3)], &[2], 9), &[]), Compared::Same);
        assert_eq!(feed.cursor(), Some(cursor(9)));
        assert_eq!(
            feed.compare(&life, cursor(5), heads(&[], &[], 11), &[]),
            Compared::Moot,
            "an older question"
        );
        let lost = heads(&[(1, 10)], &[], 11);
        assert_eq!(feed.compare(&life, cursor(9), lost, &[]), Compared::Doubtful);
        assert_eq!(feed.look_again(&life, &[]), Compared::Doubtful, "it did not come");
        assert!(feed.wants(&mut life, &delivery(conversation(1), 10)));
        assert_eq!(feed.look_again(&life, &[]), Compared::Same, "it was on its way");
        assert_eq!(feed.cursor(), Some(cursor(11)));
        let mut other = heads(&[], &[], 1);
        other.cursor.epoch = 2;
        assert_eq!(feed.compare(&life, cursor(11), other, &[]), Compared::Amiss);
        let mut channels = heads(&[], &[], 20);
        channels.channels = vec![(conversation(7), seq(1))];
        assert_eq!(feed.compare(&life, cursor(11), channels, &[]), Compared::Doubtful);
        assert_eq!(feed.look_again(&life, &[conversation(7)]), Compared::Same, "subscribed meanwhile");
    }

    #[test]
    fn late_copies_of_what_was_announced_are_known_however_long_the_log_stands_still() {
        let (mut life, mut feed) = reading();
        assert_eq!(arrive(&mut life, &mut feed, &[(1, 7)], 3), Arrival::Tell { since: Vec::new() });
        life.go_live();
        assert_eq!(feed.compare(&life, cursor(3), heads(&[(1, 7)], &[], 3), &[]), Compared::Same);
        assert!(!feed.wants(&mut life, &delivery(conversation(1), 7)));
        assert!(feed.wants(&mut life, &delivery(conversation(1), 8)));
    }
}
