//! One call of the statement that appends, and its answer.

use crate::domain::{ConsentRules, ConversationId, Refusal, Timestamp, UserId};
use crate::store::shared::content::{fingerprint, storable};
use crate::store::shared::roster::Roster;
#[cfg(feature = "simulation")]
use crate::store::shared::roster::Rosters;
use crate::store::{Appended, NewMessage, Target};

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

/// Messages with different keys, and the cached members of their conversations.
pub(in crate::store) struct Call<'c> {
    pub entries: &'c [Entry<'c>],
    /// One for each entry.
    pub rosters: &'c [Option<Roster>],
    /// The cache that they are from.
    #[cfg(feature = "simulation")]
    pub cache: &'c Rosters,
    pub now: Timestamp,
    pub consent: ConsentRules,
}

/// The result of a call.
pub(in crate::store) struct Answer {
    pub answers: Vec<Result<Appended, Refusal>>,
    /// Rosters that the cache did not have, to be cached once the transaction is committed.
    pub rosters: Vec<(ConversationId, Roster)>,
}
