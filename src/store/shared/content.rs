//! What a send carries: may it be stored, is it the same as an earlier one, and what is it in the log?

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::codec::encode_content;
use super::roster::{Roster, audience};
use crate::domain::{
    Committed, Content, ConversationId, Event, EventKind, Message, Position, Refusal, Seq, Timestamp,
};
use crate::store::{Appended, NewMessage};

/// `reply_to` names no message that a reply may name.
pub(in crate::store) const REPLY: Refusal =
    Refusal::Invalid(std::borrow::Cow::Borrowed("reply_to: names no message you can see here"));

/// The same sender used the same client id before, for something else.
pub(in crate::store) const REUSED: Refusal = Refusal::Conflict("this client_id was used for another message");

/// A database refuses the message, even if the rules allow it.
pub(in crate::store) const UNSTORABLE: Refusal =
    Refusal::Invalid(std::borrow::Cow::Borrowed("the message cannot be stored"));

/// A message as it stands in the log now.
pub(in crate::store) fn appended(
    new: &NewMessage,
    (conversation, seq): (ConversationId, Seq),
    (previous, position): (Position, Position),
    sent_at: Timestamp,
    roster: Option<&Roster>,
) -> Appended {
    let kind = EventKind::Message(Message {
        client_id: new.client_id,
        content: new.content.clone(),
        edited_at: None,
        deleted: false,
    });
    let present = roster.map_or_else(|| Arc::from([]), |roster| Arc::clone(&roster.users));
    let audience = audience(conversation.kind(), &kind, &present);
    let event = Arc::new(Event { conversation, seq, sender: new.sender, sent_at, kind });
    let committed = Some(Committed { audience, event, position, previous });
    Appended { conversation, seq, sent_at, committed }
}

/// The content as columns. NUL is refused by every backend, since not every database can hold it.
pub(in crate::store) fn storable(content: &Content) -> Result<(Option<String>, Option<String>), Refusal> {
    without_nul("body", content.body.as_deref().unwrap_or_default())?;
    encode_content(content).map_err(|_| Refusal::Invalid("data, attachments: not JSON".into()))
}

/// Text that every backend can hold.
pub(in crate::store) fn without_nul(field: &'static str, text: &str) -> Result<(), Refusal> {
    if text.contains('\0') {
        Err(Refusal::Invalid(format!("{field}: must not contain the character NUL").into()))
    } else {
        Ok(())
    }
}

/// 64 bits of a hash over everything that makes two sends the same. The hash is stored, so its definition
/// never changes.
pub(in crate::store) fn fingerprint(conversation: ConversationId, content: &Content) -> i64 {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(conversation.as_uuid().as_bytes());
    for text in [
        content.body.as_deref(),
        content.attachments.as_ref().map(|json| json.0.as_str()),
        content.data.as_ref().map(|json| json.0.as_str()),
    ] {
        part(&[u8::from(text.is_some())]);
        part(text.unwrap_or_default().as_bytes());
    }
    part(&content.reply_to.unwrap_or_default().get().to_le_bytes());
    for user in &content.mentions {
        part(user.as_uuid().as_bytes());
    }
    first_bits(hash)
}

/// The same hash for an edit: the message, and the new body.
pub(in crate::store) fn fingerprint_of_edit(conversation: ConversationId, target: Seq, body: &str) -> i64 {
    let mut hash = Sha256::new();
    for part in
        [b"edit".as_slice(), conversation.as_uuid().as_bytes(), &target.get().to_le_bytes(), body.as_bytes()]
    {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    first_bits(hash)
}

fn first_bits(hash: Sha256) -> i64 {
    let digest = hash.finalize();
    let mut first = [0_u8; 8];
    first.copy_from_slice(&digest[..8]);
    i64::from_le_bytes(first)
}
