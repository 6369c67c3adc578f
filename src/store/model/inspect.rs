//! Everything that is in the log, for a checker: without fates and delays.

use super::copy::{Copy, Sight};
use crate::domain::{ConversationId, Event, Position, Role, Seq, UserId};
use crate::store::shared::codec::{EVENT_COLUMNS, decode};
use crate::store::shared::columns::{Columns, impossible};
use crate::store::sql::{self, Sql, statement};

/// What is committed on the primary.
#[derive(Debug, Clone, PartialEq)]
pub struct LogContents {
    /// The epoch of the log.
    pub epoch: u64,
    /// Every event in the order of commits, with its position.
    pub events: Vec<(Event, Position)>,
    /// Every membership, by conversation and user.
    pub members: Vec<LogMember>,
}

/// A membership with its receipts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogMember {
    /// The conversation.
    pub conversation: ConversationId,
    /// The member.
    pub user: UserId,
    /// The member's role.
    pub role: Role,
    /// The event that began the membership.
    pub joined: Seq,
    /// What the member's devices have received.
    pub delivered: Seq,
    /// What the member has read.
    pub read: Seq,
}

const EPOCH: Sql = statement!(sqlite: "SELECT {epoch}");
// One lock is held from the first write to the commit, so rows are written in the order of commits.
const EVENTS: Sql = statement!(sqlite: "SELECT {event_columns}, e.position FROM events e ORDER BY e.rowid");
const MEMBERS: Sql = statement!(sqlite:
    "SELECT conversation, user_id, role, joined_seq, delivered_seq, read_seq FROM members ORDER BY conversation, user_id",
);
const PLACES: Sql = statement!(sqlite: "SELECT conversation, seq FROM events ORDER BY rowid");

const NOWHERE: Sight = Sight { position: 0, end: 0, clock_ms: 0 };

/// What a copy has.
pub(super) fn inspect(copy: &Copy) -> sql::Result<LogContents> {
    let epoch = copy.rows(EPOCH.model, &[], NOWHERE)?;
    let epoch = epoch.first().ok_or_else(|| impossible("a log without an epoch"))?.int(0)?;
    let mut events = Vec::new();
    for row in &copy.rows(EVENTS.model, &[], NOWHERE)? {
        events.push((decode(row)?, Position(row.count(EVENT_COLUMNS)?)));
    }
    let mut members = Vec::new();
    for row in &copy.rows(MEMBERS.model, &[], NOWHERE)? {
        members.push(LogMember {
            conversation: row.conversation(0)?,
            user: row.user(1)?,
            role: Role::from_stored(i16::try_from(row.int(2)?).unwrap_or_default()),
            joined: row.seq(3)?,
            delivered: row.seq(4)?,
            read: row.seq(5)?,
        });
    }
    Ok(LogContents { epoch: epoch.cast_unsigned(), events, members })
}

/// The places of all events, in the order of commits.
pub(super) fn places(copy: &Copy) -> sql::Result<Vec<(ConversationId, Seq)>> {
    copy.rows(PLACES.model, &[], NOWHERE)?.iter().map(|row| Ok((row.conversation(0)?, row.seq(1)?))).collect()
}
