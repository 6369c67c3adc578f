//! What a node does between two users: blocks, contacts, what they let each other do, and invitations.

use std::sync::Arc;

use super::Node;
use crate::bus::Signal;
use crate::domain::{ConversationId, Privacy, PrivacyChange, UserId};
use crate::protocol::Failure;

impl Node {
    /// Sets or lifts a block. While it is set, no node delivers a signal of one of the two users to the
    /// other.
    ///
    /// # Errors
    /// A definite refusal or `Unavailable`.
    pub async fn block(&self, by: UserId, user: UserId, on: bool) -> Result<(), Failure> {
        self.write(self.store().set_block(by, user, on)).await??;
        self.router().signal(Signal::Blocked { by, user, on }, Arc::new([by, user]));
        Ok(())
    }

    /// Changes what a user lets others do. Watches that it does not allow any more end on every node.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable`.
    pub async fn set_privacy(&self, user: UserId, change: PrivacyChange) -> Result<Privacy, Failure> {
        let privacy = self.write(self.store().set_privacy(user, change)).await??;
        if change.presence.is_some() {
            self.router().signal(Signal::Hidden { user }, Arc::new([user]));
        }
        Ok(privacy)
    }

    /// Makes somebody a contact of a user, or none any more. The same holds for watches.
    ///
    /// # Errors
    /// A definite refusal or `Unavailable`.
    pub async fn set_contact(&self, user: UserId, other: UserId, on: bool) -> Result<(), Failure> {
        self.write(self.store().set_contact(user, other, on)).await??;
        if !on {
            self.router().signal(Signal::Hidden { user }, Arc::new([user]));
        }
        Ok(())
    }

    /// Tells a user of an invitation that is stored. A client that is not told finds it when it asks.
    pub(super) fn tell_invited(&self, by: UserId, user: UserId, conversation: ConversationId) {
        self.meters().social.invitations.of("made").increment(1);
        self.router().signal(Signal::Invited { by, user, conversation }, Arc::new([user]));
    }

    /// Declines an invitation.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable`.
    pub async fn decline(&self, user: UserId, conversation: ConversationId) -> Result<(), Failure> {
        let now = self.environment().now();
        self.write(self.store().decline(user, conversation, now)).await??;
        self.meters().social.invitations.of("declined").increment(1);
        Ok(())
    }
}
