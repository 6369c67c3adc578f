use std::sync::Arc;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::domain::{Audience, ConversationKind, Event, EventKind, Timestamp, UserId};

const ALL: Option<Position> = None;

fn conversation() -> ConversationId {
    ConversationId::from_random(ConversationKind::Group, Uuid::from_u128(1))
}

fn seq(n: u64) -> Seq {
    Seq::new(n).unwrap_or_default()
}

fn committed(n: u64) -> Committed {
    Committed {
        event: Arc::new(Event {
            conversation: conversation(),
            seq: seq(n),
            sender: UserId::from_uuid(Uuid::from_u128(1)),
            sent_at: Timestamp::default(),
            kind: EventKind::Delete { target: seq(n) },
        }),
        position: Position(n),
        previous: Position(n - 1),
        audience: Audience { users: Arc::new([]) },
    }
}

/// Feeds an event as a router does and answers what is passed on.
fn feed(
    tracker: &mut Tracker,
    one: &Committed,
    read: bool,
    source: EventSource,
    covered: Option<Position>,
) -> Vec<u64> {
    let mut out = Vec::new();
    let verdict = tracker.admit(one, (read, read), source, covered);
    if verdict == Verdict::Pass {
        out.push(one.event.seq.get());
    }
    if matches!(verdict, Verdict::Pass | Verdict::Old) {
        out.extend(tracker.release(conversation()).iter().map(|next| next.event.seq.get()));
    }
    out
}

fn passed_from(tracker: &mut Tracker, seqs: &[u64], covered: Option<Position>) -> Vec<u64> {
    seqs.iter().flat_map(|n| feed(tracker, &committed(*n), true, EventSource::Live, covered)).collect()
}

fn passed(tracker: &mut Tracker, seqs: &[u64]) -> Vec<u64> {
    passed_from(tracker, seqs, ALL)
}

/// Reads what is missing, as a healer does, out of a log that ends with `end`.
fn heal(tracker: &mut Tracker, end: u64, covered: Option<Position>) -> Vec<u64> {
    let mut out = Vec::new();
    while let Need::After(after) = tracker.need(conversation()) {
        for n in after.get() + 1..=end.min(after.get() + 500) {
            out.extend(feed(tracker, &committed(n), true, EventSource::Stretch, covered));
        }
    }
    out
}

fn admit(tracker: &mut Tracker, n: u64, read: bool, covered: Option<Position>) -> Verdict {
    tracker.admit(&committed(n), (read, true), EventSource::Live, covered)
}

#[test]
fn repeats_are_dropped_and_holes_held_until_filled() {
    let mut tracker = Tracker::new(10);
    assert_eq!(passed(&mut tracker, &[5, 6, 6, 5, 8, 9]), [5, 6]);
    assert_eq!(tracker.need(conversation()), Need::After(seq(6)));
    assert_eq!(passed(&mut tracker, &[7]), [7, 8, 9]);
    assert_eq!(tracker.need(conversation()), Need::Nothing);
    assert_eq!(admit(&mut tracker, 11, true, ALL), Verdict::Hole);
    assert_eq!(admit(&mut tracker, 12, true, ALL), Verdict::Held);
}

#[test]
fn forgets_quiet_conversations_at_its_bound() {
    let room = |n: u128| ConversationId::from_random(ConversationKind::Group, Uuid::from_u128(n << 8));
    let mut tracker = Tracker::new(2);
    tracker.follow_from(room(1), seq(5));
    tracker.follow_from(room(2), seq(5));
    tracker.unfollow(room(2));
    tracker.follow_from(room(3), seq(5));
    assert_eq!((tracker.len(), tracker.last(room(2))), (2, None), "nobody read it");
    assert!(tracker.learn(room(1), (seq(6), seq(6)), [], ALL));
    tracker.follow_from(room(4), seq(5));
    assert_eq!((tracker.len(), tracker.last(room(1))), (2, Some(seq(5))), "it is being healed");
}

#[test]
fn a_first_event_whose_predecessor_was_lost_waits_for_what_is_not_covered() {
    let covered = Some(Position(7));
    for last in [10, 300, 1_200] {
        let mut tracker = Tracker::new(10);
        let first = passed_from(&mut tracker, &[last], covered);
        assert!(first.is_empty(), "its predecessor lies behind what is covered, and is missing");
        let wanted: Vec<u64> = (7..=last).collect();
        assert_eq!(heal(&mut tracker, last, covered), wanted, "the log is read from far enough back");
        assert_eq!(passed_from(&mut tracker, &[last + 1], covered), [last + 1]);
    }
    let mut tracker = Tracker::new(10);
    assert_eq!(passed_from(&mut tracker, &[7, 8], covered), [7, 8], "6 is covered");
    let mut tracker = Tracker::new(10);
    assert_eq!(passed_from(&mut tracker, &[6, 7], covered), [7], "6 came before");
}

#[test]
fn what_is_too_much_to_pass_on_is_given_up_once() {
    let mut tracker = Tracker::new(10);
    let covered = Some(Position(1));
    assert_eq!(admit(&mut tracker, 100_000, true, covered), Verdict::Hole);
    assert!(heal(&mut tracker, 100_000, covered).is_empty());
    assert_eq!(tracker.need(conversation()), Need::TooMuch);
    tracker.give_up(conversation());
    assert_eq!(tracker.need(conversation()), Need::Nothing);
    assert_eq!(passed_from(&mut tracker, &[99_999, 100_000, 100_001], covered), [100_001]);
}

#[test]
fn an_event_that_nobody_here_reads_moves_the_track_on() {
    let covered = Some(Position(3));
    let mut tracker = Tracker::new(10);
    assert_eq!(tracker.admit(&committed(5), (false, false), EventSource::Live, covered), Verdict::Unread);
    assert!(tracker.is_empty(), "nobody is kept in mind for it");
    // Somebody is added right after a message that was for others.
    assert_eq!(admit(&mut tracker, 6, true, covered), Verdict::Hole);
    let mut told = Vec::new();
    for (n, read) in [(1, false), (2, false), (3, false), (4, false), (5, false), (6, true)] {
        told.extend(feed(&mut tracker, &committed(n), read, EventSource::Stretch, covered));
    }
    assert_eq!(told, [3, 4, 5, 6], "in order, for all users");
    assert_eq!(tracker.need(conversation()), Need::Nothing);
    // While a hole is healed, what nobody reads is kept at its place.
    assert_eq!(admit(&mut tracker, 8, true, covered), Verdict::Hole);
    assert_eq!(admit(&mut tracker, 9, false, covered), Verdict::Held);
    assert_eq!(passed_from(&mut tracker, &[7, 10], covered), [7, 8, 9, 10]);
}

#[test]
fn an_event_that_nobody_here_reads_hides_no_hole() {
    let covered = Some(Position(6));
    let mut tracker = Tracker::new(10);
    tracker.follow_from(conversation(), seq(5));
    assert_eq!(admit(&mut tracker, 8, false, covered), Verdict::Unread, "6 and 7 may be for somebody here");
    assert_eq!(passed_from(&mut tracker, &[6, 7], covered), [6, 7]);
}

#[test]
fn a_digest_shows_the_hole_at_the_end() {
    let mut tracker = Tracker::new(10);
    let learn =
        |tracker: &mut Tracker, first, last| tracker.learn(conversation(), (seq(first), seq(last)), [], ALL);
    assert_eq!(passed(&mut tracker, &[4, 5]), [4, 5]);
    assert!(!learn(&mut tracker, 4, 5), "all came");
    assert!(learn(&mut tracker, 5, 7));
    assert!(!learn(&mut tracker, 7, 8), "being healed");
    assert_eq!(tracker.need(conversation()), Need::After(seq(5)));
    assert_eq!(passed(&mut tracker, &[6, 7, 8]), [6, 7, 8]);
    assert_eq!(tracker.need(conversation()), Need::Nothing);
    assert!(learn(&mut tracker, 20, 21), "nothing of it ever came, and what lies before is covered");
    assert_eq!(passed(&mut tracker, &[20, 21]), [20, 21]);
}

#[test]
fn a_hole_put_off_is_filled_by_whatever_brings_it_and_nothing_comes_twice() {
    let mut tracker = Tracker::new(10);
    assert_eq!(passed(&mut tracker, &[4, 5]), [4, 5]);
    assert!(tracker.learn(conversation(), (seq(4), seq(7)), [], ALL));
    tracker.postpone(conversation());
    assert_eq!(passed(&mut tracker, &[4, 5, 6]), [6], "the log from before the digest");
    assert_eq!(admit(&mut tracker, 8, true, ALL), Verdict::Hole, "healing starts again");
    assert_eq!(passed(&mut tracker, &[7]), [7, 8]);
}

#[test]
fn who_comes_back_is_not_told_again_what_was_passed_on_before() {
    let mut tracker = Tracker::new(10);
    let covered = Some(Position(2));
    tracker.follow_from(conversation(), seq(3));
    assert_eq!(passed_from(&mut tracker, &[4, 5], covered), [4, 5]);
    tracker.unfollow(conversation());
    assert_eq!(tracker.last(conversation()), Some(seq(5)));
    assert_eq!(admit(&mut tracker, 5, true, covered), Verdict::Repeat, "a late copy");
    tracker.follow_from(conversation(), seq(9));
    assert_eq!(passed_from(&mut tracker, &[8, 9, 10], covered), [10]);
    tracker.unfollow(conversation());
    assert!(passed_from(&mut tracker, &[13], covered).is_empty(), "11 and 12 are missing");
    assert_eq!(heal(&mut tracker, 13, covered), [11, 12, 13]);
}

#[test]
fn what_the_first_readers_heads_counted_is_told_from_what_was_passed_on() {
    let mut tracker = Tracker::new(10);
    assert_eq!(passed(&mut tracker, &[1, 2]), [1, 2]);
    tracker.unfollow(conversation());
    tracker.follow_from(conversation(), seq(4));
    assert_eq!(passed(&mut tracker, &[5]), [5]);
    let verdicts = [2, 3, 4, 5].map(|n| admit(&mut tracker, n, true, ALL));
    assert_eq!(verdicts, [Verdict::Repeat, Verdict::Undelivered, Verdict::Undelivered, Verdict::Repeat]);
    let undelivered = |first, last| tracker.undelivered(conversation(), seq(first), seq(last));
    assert!(undelivered(1, 3) && undelivered(4, 9) && !undelivered(1, 2) && !undelivered(5, 9));
}

#[test]
fn a_hole_remembers_whom_its_events_are_for() {
    let user = |n: u128| UserId::from_uuid(Uuid::from_u128(n));
    let covered = Some(Position(1));
    let mut tracker = Tracker::new(10);
    tracker.follow_from(conversation(), seq(5));
    assert!(tracker.learn(conversation(), (seq(6), seq(7)), [user(1)], covered));
    assert!(!tracker.learn(conversation(), (seq(8), seq(9)), [user(2)], covered), "it is being healed");
    let mut held = committed(12);
    held.audience.users = Arc::new([user(3)]);
    assert_eq!(tracker.admit(&held, (true, true), EventSource::Live, covered), Verdict::Held);
    assert_eq!(tracker.give_up(conversation()), Named::Users([1, 2, 3].map(user).into()));
    assert_eq!(tracker.give_up(conversation()), Named::default(), "once");
    // A digest or a copy that comes later shows more of them.
    let undelivered = |first, last| tracker.undelivered(conversation(), seq(first), seq(last));
    assert!(undelivered(10, 11) && undelivered(12, 15) && !undelivered(13, 15));
    assert_eq!(admit(&mut tracker, 11, true, covered), Verdict::Undelivered);
    assert_eq!(passed_from(&mut tracker, &[13], covered), [13]);
    assert_eq!(admit(&mut tracker, 13, true, covered), Verdict::Repeat);
}

#[test]
fn an_event_for_which_a_hole_has_no_room_still_names_its_users() {
    let user = UserId::from_uuid(Uuid::from_u128(7));
    let mut tracker = Tracker::new(10);
    assert!(tracker.learn(conversation(), (seq(6), seq(7)), [], ALL));
    for n in 9..9 + 300 {
        admit(&mut tracker, n, true, ALL);
    }
    let mut dropped = committed(400);
    dropped.audience.users = Arc::new([user]);
    tracker.admit(&dropped, (true, true), EventSource::Live, ALL);
    assert_eq!(tracker.give_up(conversation()), Named::Users([user].into()));
}

/// One step in the life of a node that has some of a conversation's members.
#[derive(Debug, Clone)]
enum Step {
    /// A member joins, leaves or sends a message. `told`: how often the node receives the event, and how much
    /// later.
    Commit { who: usize, membership: bool, told: Vec<usize> },
    /// The relay sends what moved since the last digest, or that digest is lost and the log is read instead.
    Digest { lost: bool },
    /// The healer reads at most so many events.
    Heal { limit: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..5_usize, prop::bool::weighted(0.4), prop::collection::vec(0..6_usize, 0..3))
            .prop_map(|(who, membership, told)| Step::Commit { who, membership, told }),
        2 => prop::bool::weighted(0.3).prop_map(|lost| Step::Digest { lost }),
        2 => (1..6_usize).prop_map(|limit| Step::Heal { limit }),
    ]
}

/// A log, and a node on which users 0 and 1 of five are connected.
struct Node {
    tracker: Tracker,
    members: Vec<bool>,
    log: Vec<(Committed, Vec<usize>)>,
    covered: u64,
    /// The events on their way, each with the number of steps until it arrives.
    under_way: Vec<(usize, usize)>,
    passed: Vec<u64>,
}

const HERE: [usize; 2] = [0, 1];

impl Node {
    fn commit(&mut self, who: usize, membership: bool, told: Vec<usize>) {
        let mut audience: Vec<usize> = (0..5).filter(|user| self.members[*user]).collect();
        if membership {
            self.members[who] = !self.members[who];
            // The event is also for the user who leaves or joins.
            audience.extend((!audience.contains(&who)).then_some(who));
        }
        self.log.push((committed(self.log.len() as u64 + 1), audience));
        let at = self.log.len() - 1;
        // The bus carries to a node what somebody there is to get.
        if self.is_read(at) {
            self.under_way.extend(told.into_iter().map(|later| (later, at)));
        }
    }

    fn is_read(&self, at: usize) -> bool {
        HERE.iter().any(|user| self.log[at].1.contains(user))
    }

    fn feed(&mut self, at: usize, source: EventSource) {
        let (one, read) = (self.log[at].0.clone(), self.is_read(at));
        self.passed.extend(feed(&mut self.tracker, &one, read, source, Some(Position(self.covered))));
    }

    fn arrive(&mut self) {
        let mut arrived = Vec::new();
        self.under_way.retain_mut(|(later, at)| {
            let now = *later == 0;
            *later = later.saturating_sub(1);
            arrived.extend(now.then_some(*at));
            !now
        });
        arrived.into_iter().for_each(|at| self.feed(at, EventSource::Live));
    }

    fn digest(&mut self, lost: bool) {
        let (first, end) = (self.covered as usize, self.log.len() + 1);
        let mut stretch = first - 1..end - 1;
        if lost {
            stretch.for_each(|at| self.feed(at, EventSource::Tail));
        } else if stretch.any(|at| self.is_read(at)) {
            let (first, last) = (seq(first as u64), seq(end as u64 - 1));
            self.tracker.learn(conversation(), (first, last), [], Some(Position(self.covered)));
        }
        self.covered = end as u64;
    }

    fn heal(&mut self, limit: usize) -> bool {
        let Need::After(after) = self.tracker.need(conversation()) else { return false };
        let after = after.get() as usize;
        for at in after..self.log.len().min(after + limit) {
            self.feed(at, EventSource::Stretch);
        }
        true
    }
}

proptest! {
    /// Users join and leave in between, events are lost, repeated or late, and wherever this node
    /// begins: what is passed on holds every event that somebody here is to get exactly once and in order.
    #[test]
    fn everyone_here_gets_each_of_their_events_once_and_in_order(
        members in prop::collection::vec(any::<bool>(), 5),
        before in 0..60_usize,
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut node = Node {
            tracker: Tracker::new(10), members, log: Vec::new(), covered: 1, under_way: Vec::new(), passed: Vec::new(),
        };
        for _ in 0..before {
            node.commit(4, false, Vec::new());
        }
        // Sessions come and read heads: what was before is theirs already.
        node.covered = before as u64 + 1;
        for step in steps {
            match step {
                Step::Commit { who, membership, told } => node.commit(who, membership, told),
                Step::Digest { lost } => node.digest(lost),
                Step::Heal { limit } => { node.heal(limit); }
            }
            node.arrive();
        }
        node.digest(false);
        while node.heal(7) {}
        while !node.under_way.is_empty() {
            node.arrive();
        }
        prop_assert!(node.passed.is_sorted_by(|one, next| one < next), "out of order or twice: {:?}", node.passed);
        let due: Vec<u64> = (before..node.log.len()).filter(|at| node.is_read(*at)).map(|at| at as u64 + 1).collect();
        let told: Vec<u64> = node.passed.iter().copied().filter(|n| node.is_read(*n as usize - 1)).collect();
        prop_assert_eq!(told, due);
    }

    /// However the bus shuffles and repeats, what is passed on is a run of successive seqs, none twice; and
    /// once the log is read behind every hole, nothing is missing.
    #[test]
    fn passes_each_event_once_and_in_order(mut seqs in prop::collection::vec(1_u64..40, 1..120)) {
        let mut tracker = Tracker::new(10);
        seqs.insert(0, 1);
        let highest = seqs.iter().copied().max().unwrap_or(1);
        let mut out = passed(&mut tracker, &seqs);
        out.extend(heal(&mut tracker, highest, ALL));
        prop_assert_eq!(out, (1..=highest).collect::<Vec<_>>());
    }
}
