//! A conversation's row and a member's row, as operations read them inside their transaction.

use super::columns::{Columns, impossible};
use super::error;
use super::part::Part;
use crate::domain::{
    Conversation, ConversationId, ConversationKind, HistoryPolicy, JoinPolicy, Member, Position, Refusal,
    Role, Seq, Timestamp, UserId,
};

/// The columns that [`ConversationRow::read`] reads from a table named `c`, those that [`Membership::read`]
/// reads from a named table, both for one who may see them, and the members of a conversation as
/// [`super::columns::Columns::users`] and `seqs` read them.
pub(in crate::store) const PARTS: &[Part] = &[
    Part::same(
        "conversation_columns",
        "c.id, c.name, c.history, c.join_policy, c.last_seq, c.message_count, c.member_count, c.last_position, \
         c.members_version, c.settings_seq, c.created_at, c.low, c.high, c.deleted_at, c.topic",
    ),
    Part::same(
        "member_columns",
        "%1.user_id, %1.role, %1.joined_seq, %1.delivered_seq, %1.read_seq, %1.read_count, %1.role_seq, \
         (SELECT x.ends_at FROM mutes x WHERE x.user_id = %1.user_id AND x.conversation = %1.conversation LIMIT 1)",
    ),
    Part::same(
        "view_columns",
        "{conversation_columns}, m.user_id, m.role, m.joined_seq, m.delivered_seq, m.read_seq, m.read_count + {gone_unread}, \
         m.role_seq, {muted_until m.user_id m.conversation}",
    ),
    Part::each(
        "members_of",
        "(SELECT array_agg(x.user_id ORDER BY x.user_id) FROM members x WHERE x.conversation = %1)",
        "(SELECT json_group_array(hex(x.user_id) ORDER BY x.user_id) FROM members x WHERE x.conversation = %1)",
    ),
    Part::each(
        "joins_of",
        "(SELECT array_agg(x.joined_seq ORDER BY x.user_id) FROM members x WHERE x.conversation = %1)",
        "(SELECT json_group_array(x.joined_seq ORDER BY x.user_id) FROM members x WHERE x.conversation = %1)",
    ),
];

/// How many columns [`ConversationRow::read`] reads: id, name, history, join policy, last seq, messages,
/// members, last position, version of the membership, settings seq, time made, low, high, time deleted,
/// topic.
pub(in crate::store) const CONVERSATION_COLUMNS: usize = 15;

/// How many columns [`Membership::read`] reads: user, role, joined seq, delivered seq, read seq, messages
/// read, role seq, end of a mute.
pub(in crate::store) const MEMBER_COLUMNS: usize = 8;

/// A conversation with the counters that operations move.
#[derive(Debug, Clone)]
pub(in crate::store) struct ConversationRow {
    pub conversation: Conversation,
    pub message_count: u64,
    pub last_position: Position,
    /// The version of the membership; it grows with every change of members.
    pub members_version: i64,
    /// The event that set the current settings; zero for the settings at creation.
    pub settings_seq: Seq,
    /// The two users of a direct conversation.
    pub pair: Option<(UserId, UserId)>,
    pub deleted: bool,
}

impl ConversationRow {
    /// Reads a row whose columns begin at column `at`; `None` when an outer join found none.
    pub(in crate::store) fn read(row: &impl Columns, at: usize) -> error::Result<Option<Self>> {
        if row.uuid_or_null(at)?.is_none() {
            return Ok(None);
        }
        let unknown = || impossible("a policy that this release does not know");
        Ok(Some(Self {
            conversation: Conversation {
                id: row.conversation(at)?,
                name: row.text_or_null(at + 1)?,
                topic: row.text_or_null(at + 14)?,
                history: HistoryPolicy::parse(&row.text(at + 2)?).ok_or_else(unknown)?,
                join: JoinPolicy::parse(&row.text(at + 3)?).ok_or_else(unknown)?,
                last_seq: row.seq(at + 4)?,
                member_count: row.count(at + 6)?,
                created_at: row.time(at + 10)?,
            },
            message_count: row.count(at + 5)?,
            last_position: Position(row.count(at + 7)?),
            members_version: row.int(at + 8)?,
            settings_seq: row.seq(at + 9)?,
            pair: row.user_or_null(at + 11)?.zip(row.user_or_null(at + 12)?),
            deleted: row.int_or_null(at + 13)?.is_some(),
        }))
    }

    /// A direct conversation that is not written yet.
    pub(in crate::store) fn new_direct(
        id: ConversationId,
        one: UserId,
        other: UserId,
        now: Timestamp,
    ) -> Self {
        Self {
            conversation: Conversation {
                id,
                name: None,
                topic: None,
                history: HistoryPolicy::FromJoin,
                join: JoinPolicy::Invite,
                last_seq: Seq::ZERO,
                member_count: if one == other { 1 } else { 2 },
                created_at: now,
            },
            message_count: 0,
            last_position: Position(0),
            members_version: 1,
            settings_seq: Seq::ZERO,
            pair: Some((one.min(other), one.max(other))),
            deleted: false,
        }
    }

    pub(in crate::store) fn id(&self) -> ConversationId {
        self.conversation.id
    }

    pub(in crate::store) fn kind(&self) -> ConversationKind {
        self.conversation.id.kind()
    }

    /// The other user of a direct conversation (the same user in a conversation with oneself).
    pub(in crate::store) fn peer_of(&self, user: UserId) -> Option<UserId> {
        self.pair.map(|(low, high)| if user == low { high } else { low })
    }
}

/// The refusal for a user who is not a member: an open conversation must be joined first; any other does not
/// exist for this user.
pub(in crate::store) fn outsider(stored: Option<&ConversationRow>) -> Refusal {
    match stored {
        Some(stored) if !stored.deleted && stored.conversation.join == JoinPolicy::Open => Refusal::NotMember,
        Some(_) | None => Refusal::NotFound,
    }
}

/// A membership with the counters beside it.
#[derive(Debug, Clone)]
pub(in crate::store) struct Membership {
    pub member: Member,
    /// The number of messages that need no reading: those up to the read position, and later ones whose
    /// content was erased.
    pub read_count: u64,
    /// The newest event that gave a role, muted, or lifted that.
    pub role_seq: Seq,
}

impl Membership {
    /// Reads a row whose columns begin at column `at`; `None` when an outer join found none.
    pub(in crate::store) fn read(row: &impl Columns, at: usize) -> error::Result<Option<Self>> {
        let Some(user) = row.user_or_null(at)? else { return Ok(None) };
        Ok(Some(Self {
            member: Member {
                user,
                role: Role::from_stored(i16::try_from(row.int(at + 1)?).unwrap_or_default()),
                joined_seq: row.seq(at + 2)?,
                delivered_seq: row.seq(at + 3)?,
                read_seq: row.seq(at + 4)?,
                muted_until: row.int_or_null(at + 7)?.map(Timestamp::from_unix_ms),
            },
            read_count: row.count(at + 5)?,
            role_seq: row.seq(at + 6)?,
        }))
    }
}
