//! Receipts that wait to be stored: the newest per user and conversation, bounded.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::domain::{ConversationId, Receipt, UserId};

/// Coalesces receipts: a reader who scrolls past a hundred messages causes one write.
#[derive(Debug)]
pub struct ReceiptsState {
    waiting: HashMap<(UserId, ConversationId), Receipt>,
    capacity: usize,
}

impl ReceiptsState {
    /// An empty state that holds at most `capacity` receipts.
    pub fn new(capacity: usize) -> Self {
        Self { waiting: HashMap::new(), capacity }
    }

    /// Takes a receipt. Returns `false` when there is no room for another pair of user and conversation; a
    /// later receipt makes up for it.
    pub fn offer(&mut self, receipt: Receipt) -> bool {
        let full = self.waiting.len() >= self.capacity;
        match self.waiting.entry((receipt.user, receipt.conversation)) {
            Entry::Occupied(mut entry) => {
                rare!(ReceiptsMerged);
                let kept = entry.get_mut();
                kept.read = kept.read.max(receipt.read);
                kept.delivered = kept.delivered.max(receipt.delivered);
                true
            }
            Entry::Vacant(_) if full => {
                rare!(ReceiptsFull);
                false
            }
            Entry::Vacant(entry) => {
                entry.insert(receipt);
                true
            }
        }
    }

    /// Takes all receipts out, to be stored.
    pub fn take(&mut self) -> Vec<Receipt> {
        self.waiting.drain().map(|(_, receipt)| receipt).collect()
    }

    /// How many receipts wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{ConversationKind, Seq};

    fn receipt(user: u128, read: u64) -> Receipt {
        let conversation = ConversationId::from_random(ConversationKind::Group, Uuid::from_u128(1));
        Receipt {
            user: UserId::from_uuid(Uuid::from_u128(user)),
            conversation,
            delivered: None,
            read: Seq::new(read),
        }
    }

    #[test]
    fn keeps_the_furthest_mark_only() {
        let mut state = ReceiptsState::new(10);
        assert!(state.offer(receipt(1, 5)) && state.offer(receipt(1, 9)) && state.offer(receipt(1, 7)));
        assert_eq!(state.take(), [receipt(1, 9)]);
        assert!(state.take().is_empty());
    }

    #[test]
    fn at_its_bound_it_still_moves_what_it_holds() {
        let mut state = ReceiptsState::new(1);
        assert!(state.offer(receipt(1, 1)));
        assert!(!state.offer(receipt(2, 1)));
        assert!(state.offer(receipt(1, 2)));
        assert_eq!(state.take(), [receipt(1, 2)]);
    }
}
