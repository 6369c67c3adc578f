//! How single values of the domain are written in an envelope and read from it.

use std::sync::Arc;

use uuid::Uuid;

use crate::domain::{ConversationId, Seq, UserId};

/// The envelope contains a value that this release does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unknown;

pub(super) fn users_to_wire(users: &[UserId]) -> Vec<Uuid> {
    users.iter().map(|user| *user.as_uuid()).collect()
}

pub(super) fn users_from_wire(users: Vec<Uuid>) -> Arc<[UserId]> {
    users.into_iter().map(UserId::from_uuid).collect()
}

pub(super) fn conversation_from_wire(uuid: Uuid) -> Result<ConversationId, Unknown> {
    ConversationId::from_uuid(uuid).ok_or(Unknown)
}

pub(super) fn seq_from_wire(number: u64) -> Result<Seq, Unknown> {
    Seq::new(number).ok_or(Unknown)
}
