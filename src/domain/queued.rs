//! Bytes that wait for clients: how much one connection may have waiting, and which connections give way when
//! all of them together have too much.

/// What waits for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueuedKind {
    /// Events and signals that are pushed. The client can read them from the log instead.
    Live,
    /// Answers to the frames of a connection.
    Answers,
    /// Heads that a connection is sent.
    Heads,
    /// The answer to a REST call.
    Pages,
    /// An export.
    Exports,
}

impl QueuedKind {
    /// All kinds, in the order of [`QueuedBytes`].
    pub const ALL: [Self; 5] = [Self::Live, Self::Answers, Self::Heads, Self::Pages, Self::Exports];

    /// The labels in metrics, in the same order.
    pub const NAMES: &'static [&'static str] = &["live", "answers", "heads", "pages", "exports"];

    /// The label in metrics.
    pub const fn as_str(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// Encoded bytes of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueuedBytes(pub [usize; QueuedKind::ALL.len()]);

impl QueuedBytes {
    /// Only bytes of one kind.
    pub fn of(kind: QueuedKind, bytes: usize) -> Self {
        let mut queued = Self::default();
        queued.add(kind, bytes);
        queued
    }

    /// The bytes of a kind.
    pub const fn get(&self, kind: QueuedKind) -> usize {
        self.0[kind as usize]
    }

    /// More bytes of a kind.
    pub const fn add(&mut self, kind: QueuedKind, bytes: usize) {
        self.0[kind as usize] += bytes;
    }

    /// Fewer bytes of a kind.
    pub const fn subtract(&mut self, kind: QueuedKind, bytes: usize) {
        self.0[kind as usize] -= bytes;
    }

    /// All of them.
    pub fn total(&self) -> usize {
        self.0.iter().sum()
    }

    /// What a connection can give up while it stays open.
    pub const fn live(&self) -> usize {
        self.get(QueuedKind::Live)
    }

    /// What it can give up only by its end.
    pub const fn responses(&self) -> usize {
        self.get(QueuedKind::Pages) + self.get(QueuedKind::Exports)
    }

    /// What it can give up. Answers and heads are not among that: they wait for room before they are made.
    pub const fn can_give(&self) -> usize {
        self.live() + self.responses()
    }
}

/// A connection has room for the next part of an answer while no more than this waits for it.
///
/// A connection alone has `outbox_bytes`. The fewer bytes are left of the whole budget, the less each has, so
/// that any number of connections stay within the budget. `most`: the budget in bytes; 0: none.
pub fn room_bytes(outbox_bytes: usize, most: usize, queued: usize) -> usize {
    if most == 0 {
        return outbox_bytes;
    }
    let share = most.saturating_sub(queued) / SHARE_OF_WHAT_IS_LEFT;
    share.max(LEAST_ROOM_BYTES).min(outbox_bytes)
}

/// One connection has at most one in so many bytes of what is left.
const SHARE_OF_WHAT_IS_LEFT: usize = 8;
/// A connection always has this much, or a client that reads would never get its answer.
const LEAST_ROOM_BYTES: usize = 4 * 1024;

/// A connection closes when more bytes than this wait for it that it asked for itself. Answers wait for room
/// before they are made, so only a fault of the server leads here.
pub const fn most_answer_bytes(outbox_bytes: usize) -> usize {
    outbox_bytes.saturating_mul(2).saturating_add(MOST_ANSWERS_BESIDE_BYTES)
}

/// Short answers to requests that were under way, and one part of a long one.
const MOST_ANSWERS_BESIDE_BYTES: usize = 1024 * 1024;

/// Down to which part of the budget connections give way, so that the next byte does not make the next one
/// give way.
pub const fn relieved_bytes(most: usize) -> usize {
    most - most / 8
}

/// Which of `waiting` give way, by index, so that `excess` bytes are given up: those with most live events
/// first, then those with the largest answers to REST calls and the largest exports.
pub fn who_gives_way(waiting: &[QueuedBytes], mut excess: usize) -> Vec<usize> {
    let mut chosen = Vec::new();
    for part in [QueuedBytes::live, QueuedBytes::responses] {
        let mut largest: Vec<usize> = (0..waiting.len()).filter(|at| part(&waiting[*at]) > 0).collect();
        largest.sort_by_key(|at| std::cmp::Reverse(part(&waiting[*at])));
        for at in largest {
            if excess == 0 {
                return chosen;
            }
            excess = excess.saturating_sub(part(&waiting[at]));
            chosen.push(at);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn live_queues_give_way_before_responses_and_the_largest_first() {
        let live = |bytes| QueuedBytes::of(QueuedKind::Live, bytes);
        let page = |bytes| QueuedBytes::of(QueuedKind::Pages, bytes);
        let waiting = [page(900), live(10), live(50), QueuedBytes::of(QueuedKind::Answers, 5_000), page(20)];
        assert_eq!(who_gives_way(&waiting, 0), [0_usize; 0]);
        assert_eq!(who_gives_way(&waiting, 50), [2]);
        assert_eq!(who_gives_way(&waiting, 51), [2, 1]);
        assert_eq!(who_gives_way(&waiting, 61), [2, 1, 0]);
        assert_eq!(who_gives_way(&waiting, 1 << 20), [2, 1, 0, 4], "answers are not given up");
    }

    fn anybody() -> impl Strategy<Value = QueuedBytes> {
        let bytes = || 0_usize..10_000;
        prop_oneof![
            (bytes(), bytes(), bytes())
                .prop_map(|(live, answers, heads)| QueuedBytes([live, answers, heads, 0, 0])),
            bytes().prop_map(|page| QueuedBytes::of(QueuedKind::Pages, page)),
            bytes().prop_map(|export| QueuedBytes::of(QueuedKind::Exports, export)),
        ]
    }

    proptest! {
        #[test]
        fn enough_is_given_up_and_nobody_smaller_than_who_stays(
            waiting in proptest::collection::vec(anybody(), 0..40),
            excess in 0_usize..100_000,
        ) {
            let chosen = who_gives_way(&waiting, excess);
            let given: usize = chosen.iter().map(|at| waiting[*at].can_give()).sum();
            let all: usize = waiting.iter().map(QueuedBytes::can_give).sum();
            prop_assert!(given >= excess.min(all));
            if let Some((last, before)) = chosen.split_last() {
                let without: usize = before.iter().map(|at| waiting[*at].can_give()).sum();
                prop_assert!(without < excess, "{last} need not give way");
            }
            let stays = |at: &usize| !chosen.contains(at);
            for part in [QueuedBytes::live, QueuedBytes::responses] {
                let least = chosen.iter().map(|at| part(&waiting[*at])).filter(|bytes| *bytes > 0).min();
                let most = (0..waiting.len()).filter(stays).map(|at| part(&waiting[at])).max();
                prop_assert!(least.is_none_or(|least| most.is_none_or(|most| most <= least)));
            }
        }

        /// However many connections ask, each as long as it has room, together they stay within the budget
        /// and what each may always have.
        #[test]
        fn connections_that_wait_for_room_stay_within_the_budget(
            connections in 1_usize..300,
            most in 1_usize << 20..1 << 24,
            piece in 1_000_usize..60_000,
        ) {
            let (mut waiting, mut queued) = (vec![0_usize; connections], 0_usize);
            for _ in 0..40 {
                for own in &mut waiting {
                    if *own <= room_bytes(1 << 20, most, queued) {
                        *own += piece;
                        queued += piece;
                    }
                }
            }
            prop_assert!(queued <= most + connections * (LEAST_ROOM_BYTES + piece));
            prop_assert!(waiting.iter().all(|own| *own > 0), "nobody gets nothing");
        }
    }

    #[test]
    fn a_connection_alone_has_its_own_limit() {
        assert_eq!(room_bytes(1 << 20, 256 << 20, 0), 1 << 20);
        assert_eq!(room_bytes(1 << 20, 0, 1 << 40), 1 << 20, "no budget");
        assert_eq!(room_bytes(1 << 20, 256 << 20, 255 << 20), 128 << 10);
        assert_eq!(room_bytes(4_000, 256 << 20, 256 << 20), 4_000);
        assert!(relieved_bytes(800) == 700 && most_answer_bytes(1 << 20) == 3 << 20);
    }
}
