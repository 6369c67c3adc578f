//! A message as the database takes it.

use crate::domain::{ConversationId, Refusal, UserId};
use crate::store::shared::content::{fingerprint, storable};
use crate::store::{NewMessage, Target};

/// A message with what is computed from it alone.
#[derive(Debug)]
pub(super) struct Entry<'m> {
    /// Which message of the batch it is.
    pub at: usize,
    pub new: &'m NewMessage,
    pub conversation: ConversationId,
    /// The other user of a direct conversation that is made when it is not there.
    pub other: Option<UserId>,
    pub fingerprint: i64,
    pub body: Option<String>,
    pub extra: Option<String>,
}

impl<'m> Entry<'m> {
    /// # Errors
    /// The content is none that a database can hold.
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
