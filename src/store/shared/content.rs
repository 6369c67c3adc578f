//! What a send carries: may it be stored, and is it the same as an earlier one?

use sha2::{Digest, Sha256};

use super::codec::encode_content;
use crate::domain::{Content, ConversationId, Refusal};

/// `reply_to` names nothing that may be replied to.
pub(in crate::store) const REPLY: Refusal =
    Refusal::Invalid(std::borrow::Cow::Borrowed("reply_to: names no message you can see here"));

/// The same sender used the same client id before, for something else.
pub(in crate::store) const REUSED: Refusal = Refusal::Conflict("this client_id was used for another message");

/// The content as columns. NUL is refused by every backend, since not every database can hold it.
pub(in crate::store) fn storable(content: &Content) -> Result<(Option<String>, Option<String>), Refusal> {
    if content.body.as_ref().is_some_and(|body| body.contains('\0')) {
        return Err(Refusal::Invalid("body: must not contain the character NUL".into()));
    }
    encode_content(content).map_err(|_| Refusal::Invalid("data, attachments: not JSON".into()))
}

/// 64 bits of a hash over everything that makes two sends the same one. Stored, so its recipe never changes.
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
    let digest = hash.finalize();
    let mut first = [0_u8; 8];
    first.copy_from_slice(&digest[..8]);
    i64::from_le_bytes(first)
}
