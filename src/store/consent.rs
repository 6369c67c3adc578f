//! What users let others do without being asked, and their contacts.

use async_trait::async_trait;

use super::{Outcome, StoreError};
use crate::domain::{Conversation, ConversationId, Privacy, PrivacyChange, Timestamp, User, UserId};

/// An invitation that waits for its user.
#[derive(Debug, Clone)]
pub struct InvitationView {
    /// The conversation.
    pub conversation: Conversation,
    /// Who invites.
    pub by: User,
    /// When that was.
    pub at: Timestamp,
    /// Until when it waits.
    pub until: Timestamp,
}

/// Settings about strangers, contacts, and invitations.
#[async_trait]
pub trait Consent: Send + Sync {
    /// What the user has chosen, and the installation's defaults for the rest.
    async fn privacy(&self, user: UserId) -> Result<Privacy, StoreError>;

    /// Changes what the user has chosen; returns all of it. Refusal: `NotFound`.
    async fn set_privacy(&self, user: UserId, change: PrivacyChange) -> Outcome<Privacy>;

    /// The contacts of `user`: those whom the user has written to or accepted, by id; at most 10,000.
    async fn contacts(&self, user: UserId) -> Result<Vec<UserId>, StoreError>;

    /// Living contacts of `user` with a word in their names that begins with each of `words`
    /// ([`crate::domain::name_words`]), by id. The first three words count.
    async fn find_contacts(
        &self,
        user: UserId,
        words: &[String],
        limit: usize,
    ) -> Result<Vec<User>, StoreError>;

    /// Makes `other` a contact of `user`, or none any more. Refusals: `NotFound` (no such user), `Invalid`
    /// (the user itself), `TooLarge`.
    async fn set_contact(&self, user: UserId, other: UserId, on: bool) -> Outcome<()>;

    /// The invitations that wait for `user` at `now`, the oldest first; none of somebody with a block between
    /// the two, and none of somebody who is no member any more. [`super::Change::Join`] of the user's own
    /// accepts one.
    async fn invitations(&self, user: UserId, now: Timestamp) -> Result<Vec<InvitationView>, StoreError>;

    /// Declines an invitation. Declining it again changes nothing. Refusal: `NotFound`.
    async fn decline(&self, user: UserId, conversation: ConversationId, now: Timestamp) -> Outcome<()>;
}
