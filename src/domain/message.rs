//! The content of messages.

use super::{ClientId, MessageId, Seq, Timestamp, UserId};

/// A JSON text that was checked to be well-formed. It is stored as it came and never interpreted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonText(pub String);

/// The content of a message, as its sender wrote it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// The text.
    pub body: Option<String>,
    /// The message this one answers.
    pub reply_to: Option<Seq>,
    /// The mentioned users.
    pub mentions: Vec<UserId>,
    /// A JSON array of attachment objects.
    pub attachments: Option<JsonText>,
    /// A JSON object for custom kinds.
    pub data: Option<JsonText>,
}

/// A message in its present state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The sender's idempotency key.
    pub client_id: ClientId,
    /// The present content; empty once deleted.
    pub content: Content,
    /// When it was last edited.
    pub edited_at: Option<Timestamp>,
    /// The content was removed permanently.
    pub deleted: bool,
}

impl Message {
    /// The message's id; `sender` is its sender.
    pub fn id(&self, sender: UserId) -> MessageId {
        MessageId::derive(sender, self.client_id)
    }
}
