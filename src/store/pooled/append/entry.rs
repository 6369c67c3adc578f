//! A message in the form that the database receives.

use crate::domain::{ConversationId, Refusal, UserId};
use crate::store::shared::content::{fingerprint, storable};
use crate::store::{NewMessage, Target};

/// A message with the values that are computed from it alone.
#[derive(Debug)]
pub(in crate::store) struct Entry<'m> {
    /// The index of the message in the batch.
    pub at: usize,
    pub new: &'m NewMessage,
    pub conversation: ConversationId,
    /// The other user of a direct conversation that is created if it does not exist.
    pub other: Option<UserId>,
    pub fingerprint: i64,
    pub body: Option<String>,
    pub extra: Option<String>,
}

impl<'m> Entry<'m> {
    /// # Errors
    /// The content cannot be stored in a database.
    pub(super) fn new(at: usize, new: &'m NewMessage) -> Result<Self, Refusal> {
        let conversation = new.target.conversation(new.sender);
        let (body, extra) = storable(&new.content)?;
        Ok(Self {
            at,
            new,
            conversation,
            other: match new.target {
                Target::User(other) => Some(other),
                Target::Conversation(_) => None,
            },
            fingerprint: fingerprint(conversation, &new.content),
            body,
            extra,
        })
    }
}
