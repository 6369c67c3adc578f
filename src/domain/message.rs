//! What people say.

use super::{ClientId, MessageId, Seq, Timestamp, UserId};

/// A JSON text that was checked to be well-formed; kept as it came and never looked into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonText(pub String);

/// What a sender wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// The text.
    pub body: Option<String>,
    /// The message this one answers.
    pub reply_to: Option<Seq>,
    /// Who is called by name.
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
    /// The content is gone for good.
    pub deleted: bool,
}

impl Message {
    /// The message's id, given who sent it.
    pub fn id(&self, sender: UserId) -> MessageId {
        MessageId::derive(sender, self.client_id)
    }
}
