//! The users with a block between them and the session's user, set by either of the two. It is checked before
//! a typing, receipt or presence signal of another user is sent.

use crate::domain::UserId;
use crate::domain::permissions::{Block, may_be_shown};

/// Blocks read for one user. A user with more of them is sent signals of nobody else.
pub const MOST_BLOCKS: usize = 20_000;

#[derive(Debug, Default)]
enum Known {
    /// They could not be read yet.
    #[default]
    Unknown,
    /// Those with each user, sorted by user. Most users: none.
    With(Vec<(UserId, Block)>),
    TooMany,
}

/// The blocks of one session's user.
#[derive(Debug, Default)]
pub struct Blocks {
    known: Known,
    /// The number of the last read that began. An earlier read may lack a block that was set since.
    reading: u32,
}

impl Blocks {
    /// They are about to be read. Returns the number to call [`Blocks::learn`] with.
    pub const fn begin(&mut self) -> u32 {
        self.reading = self.reading.wrapping_add(1);
        self.reading
    }

    /// They were read, at most one more than [`MOST_BLOCKS`].
    pub fn learn(&mut self, reading: u32, mut blocks: Vec<(UserId, Block)>) {
        if reading != self.reading {
            rare!(BlockSetWhileBlocksAreRead);
            return;
        }
        if blocks.len() > MOST_BLOCKS {
            self.known = Known::TooMany;
            return;
        }
        blocks.sort_unstable_by_key(|(other, _)| *other);
        blocks.dedup_by(|next, first| {
            let same = next.0 == first.0;
            if same {
                first.1 = first.1.and(next.1);
            }
            same
        });
        self.known = Known::With(blocks);
    }

    /// A block was set.
    pub fn add(&mut self, other: UserId, block: Block) {
        if let Known::With(blocks) = &mut self.known {
            match blocks.binary_search_by_key(&other, |(other, _)| *other) {
                Ok(at) => blocks[at].1 = blocks[at].1.and(block),
                Err(at) => blocks.insert(at, (other, block)),
            }
        }
    }

    /// A change of them may have been lost on the way here: nothing is known until they are read again.
    pub fn doubt(&mut self) {
        self.known = Known::Unknown;
        self.reading = self.reading.wrapping_add(1);
    }

    /// Whether signals of `other` may be sent. Before the blocks are known: of nobody.
    pub fn allow(&self, other: UserId) -> bool {
        match &self.known {
            Known::With(blocks) => {
                let found = blocks.binary_search_by_key(&other, |(other, _)| *other);
                may_be_shown(found.map_or(Block::default(), |at| blocks[at].1))
            }
            Known::Unknown | Known::TooMany => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn user(n: u128) -> UserId {
        UserId::from_uuid(Uuid::from_u128(n))
    }

    #[test]
    fn a_block_counts_at_once_and_an_older_reading_does_not_undo_it() {
        let mut blocks = Blocks::default();
        assert!(!blocks.allow(user(1)), "not known yet");
        let first = blocks.begin();
        blocks.learn(first, Vec::new());
        assert!(blocks.allow(user(1)));
        let older = blocks.begin();
        blocks.add(user(1), Block::one(true));
        let newer = blocks.begin();
        blocks.learn(older, Vec::new());
        assert!(!blocks.allow(user(1)) && blocks.allow(user(2)));
        blocks.learn(newer, vec![(user(1), Block::one(false)), (user(1), Block::one(true))]);
        assert!(!blocks.allow(user(1)));
        let lost = blocks.begin();
        blocks.doubt();
        blocks.learn(lost, Vec::new());
        assert!(!blocks.allow(user(2)), "what was lost may be younger than the reading");
        let lifted = blocks.begin();
        blocks.learn(lifted, Vec::new());
        assert!(blocks.allow(user(1)));
    }

    #[test]
    fn who_stands_in_too_many_is_told_of_nobody() {
        let mut blocks = Blocks::default();
        let reading = blocks.begin();
        blocks.learn(reading, (0..=MOST_BLOCKS as u128).map(|n| (user(n), Block::one(true))).collect());
        assert!(!blocks.allow(user(1 << 64)));
    }
}
