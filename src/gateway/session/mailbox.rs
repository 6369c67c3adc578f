//! A session's mailbox: the requests of other parts of the process that are not deliveries.
//!
//! *Limit*: [`MOST_CONTROLS`] messages. *On full*: the session ends at once and its client resumes by cursor,
//! so that no request is skipped.

use std::cell::RefCell;

use crate::domain::UserId;
use crate::protocol::Close;

/// One control message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// End the connection with this close code.
    Close(Close),
    /// Ask the client to reconnect: after `after_ms`, before `deadline_ms`.
    Reconnect {
        /// How long the client should wait before it reconnects, in milliseconds.
        after_ms: u64,
        /// When the connection is closed at the latest, in milliseconds from now.
        deadline_ms: u64,
    },
    /// A token of the session's user was revoked; it may be this session's.
    Revoked,
    /// A block between the session's user and `other` was set or lifted.
    Blocked {
        /// The other user.
        other: UserId,
        /// Whether it is the other user's block.
        by_other: bool,
        /// Whether it was set.
        on: bool,
    },
    /// Events of one of the session's conversations were lost on the way: read heads.
    EventsLost,
    /// Anything may have been lost on the way: read heads, and read again which users' signals the session
    /// may be sent.
    AllLost,
    /// The user may see fewer other users than before: check the watched ones.
    CheckWatches,
}

/// Messages that may wait. A session handles them at its next turn, so a few are enough.
pub const MOST_CONTROLS: usize = 32;

/// Too many messages wait.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

/// The control messages that wait for one session.
#[derive(Debug, Default)]
pub struct Mailbox {
    waiting: RefCell<Vec<Control>>,
}

impl Mailbox {
    /// Adds a message. One that is equal to a waiting one is not repeated.
    ///
    /// # Errors
    /// [`Full`].
    pub fn post(&self, control: Control) -> Result<(), Full> {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.last() == Some(&control) {
            return Ok(());
        }
        if waiting.len() == MOST_CONTROLS {
            return Err(Full);
        }
        waiting.push(control);
        Ok(())
    }

    /// Takes all waiting messages, the oldest first.
    pub fn take(&self) -> Vec<Control> {
        self.waiting.take()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn keeps_the_order_and_is_bounded() {
        let mailbox = Mailbox::default();
        let blocked = |n: usize| {
            let other = UserId::from_uuid(Uuid::from_u128(n as u128));
            Control::Blocked { other, by_other: true, on: true }
        };
        for n in 0..MOST_CONTROLS {
            assert_eq!(mailbox.post(blocked(n)), Ok(()));
            assert_eq!(mailbox.post(blocked(n)), Ok(()), "the same once more takes no room");
        }
        assert_eq!(mailbox.post(Control::Revoked), Err(Full));
        let taken = mailbox.take();
        assert_eq!((taken.len(), taken[0], taken[1]), (MOST_CONTROLS, blocked(0), blocked(1)));
        assert!(mailbox.take().is_empty() && mailbox.post(Control::Revoked).is_ok());
    }
}
