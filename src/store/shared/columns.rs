//! Reads typed columns from either database.

use uuid::Uuid;

use super::error;
use crate::domain::{ClientId, ConversationId, Seq, Timestamp, UserId};

/// Columns as the domain's types.
pub(in crate::store) trait Columns {
    fn int(&self, column: usize) -> error::Result<i64>;
    fn int_or_null(&self, column: usize) -> error::Result<Option<i64>>;
    fn text(&self, column: usize) -> error::Result<String>;
    fn text_or_null(&self, column: usize) -> error::Result<Option<String>>;
    fn uuid(&self, column: usize) -> error::Result<Uuid>;
    fn uuid_or_null(&self, column: usize) -> error::Result<Option<Uuid>>;

    /// A list of ids; `None` when it is NULL.
    fn users(&self, column: usize) -> error::Result<Option<Vec<UserId>>>;

    /// A list of places; `None` when it is NULL.
    fn seqs(&self, column: usize) -> error::Result<Option<Vec<Seq>>>;

    fn flag(&self, column: usize) -> error::Result<bool> {
        self.int(column).map(|value| value != 0)
    }

    fn count(&self, column: usize) -> error::Result<u64> {
        self.int(column).map(|value| u64::try_from(value).unwrap_or(0))
    }

    fn seq(&self, column: usize) -> error::Result<Seq> {
        self.int(column).map(Seq::from_stored)
    }

    fn time(&self, column: usize) -> error::Result<Timestamp> {
        self.int(column).map(Timestamp::from_unix_ms)
    }

    fn user(&self, column: usize) -> error::Result<UserId> {
        self.uuid(column).map(UserId::from_uuid)
    }

    fn user_or_null(&self, column: usize) -> error::Result<Option<UserId>> {
        Ok(self.uuid_or_null(column)?.map(UserId::from_uuid))
    }

    fn client_id(&self, column: usize) -> error::Result<ClientId> {
        self.uuid(column).map(ClientId::from_uuid)
    }

    fn conversation(&self, column: usize) -> error::Result<ConversationId> {
        ConversationId::from_uuid(self.uuid(column)?)
            .ok_or_else(|| impossible("a conversation id of no kind"))
    }
}

/// A stored value that no writer of this code could have written.
pub(in crate::store) fn impossible(what: &'static str) -> error::Error {
    error::Error::impossible(what)
}
