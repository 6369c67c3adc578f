//! A conversation's row and a member's row, as operations read them inside their transaction.

use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::failure::impossible;
use super::rows::Columns;
use crate::domain::{
    Conversation, ConversationId, ConversationKind, HistoryPolicy, JoinPolicy, Member, Position, Refusal,
    Role, Seq, Timestamp, UserId,
};

/// The columns that [`Room::read`] reads, from a table named `c`.
macro_rules! room_columns {
    () => {
        "c.id, c.name, c.history, c.join_policy, c.last_seq, c.message_count, c.member_count, c.last_position, \
         c.members_version, c.settings_seq, c.created_at, c.low, c.high, c.deleted_at"
    };
}
pub(super) use room_columns;

/// How many columns [`room_columns`] names.
pub(super) const ROOM_COLUMNS: usize = 14;

/// The columns that [`Membership::read`] reads, from a table named `m`.
macro_rules! member_columns {
    () => {
        "m.user, m.role, m.joined_seq, m.delivered_seq, m.read_seq, m.read_count, m.role_seq"
    };
}
pub(super) use member_columns;

/// How many columns [`member_columns`] names.
pub(super) const MEMBER_COLUMNS: usize = 7;

/// A conversation with the counters that operations move.
#[derive(Debug, Clone)]
pub(super) struct Room {
    pub conversation: Conversation,
    pub message_count: u64,
    pub last_position: Position,
    /// Grows with every change of who is a member.
    pub members_version: i64,
    /// The event that set the present settings; zero when they are those of its making.
    pub settings_seq: Seq,
    /// The two users of a direct conversation.
    pub pair: Option<(UserId, UserId)>,
    pub deleted: bool,
}

impl Room {
    /// Reads a row whose [`room_columns`] begin at column `at`; `None` when an outer join found none.
    pub(super) fn read(row: &SqliteRow, at: usize) -> sqlx::Result<Option<Self>> {
        if row.uuid_or_null(at)?.is_none() {
            return Ok(None);
        }
        let unknown = || impossible("a policy that this release does not know");
        Ok(Some(Self {
            conversation: Conversation {
                id: row.conversation(at)?,
                name: row.text_or_null(at + 1)?,
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

    /// A direct conversation that is yet to be written.
    pub(super) fn new_direct(id: ConversationId, one: UserId, other: UserId, now: Timestamp) -> Self {
        Self {
            conversation: Conversation {
                id,
                name: None,
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

    pub(super) fn id(&self) -> ConversationId {
        self.conversation.id
    }

    pub(super) fn kind(&self) -> ConversationKind {
        self.conversation.id.kind()
    }

    /// The other user of a direct conversation (oneself in a conversation with oneself).
    pub(super) fn peer_of(&self, user: UserId) -> Option<UserId> {
        self.pair.map(|(low, high)| if user == low { high } else { low })
    }
}

/// What somebody who is no member is told: of an open conversation that one has to join, of any other that there is none.
pub(super) fn outsider(room: Option<&Room>) -> Refusal {
    match room {
        Some(room) if !room.deleted && room.conversation.join == JoinPolicy::Open => Refusal::NotMember,
        Some(_) | None => Refusal::NotFound,
    }
}

/// A membership with the counters beside it.
#[derive(Debug, Clone)]
pub(super) struct Membership {
    pub member: Member,
    /// How many messages lie up to the read position.
    pub read_count: u64,
    /// The event that gave the role.
    pub role_seq: Seq,
}

impl Membership {
    /// Reads a row whose [`member_columns`] begin at column `at`; `None` when an outer join found none.
    pub(super) fn read(row: &SqliteRow, at: usize) -> sqlx::Result<Option<Self>> {
        let Some(user) = row.user_or_null(at)? else { return Ok(None) };
        Ok(Some(Self {
            member: Member {
                user,
                role: Role::from_stored(i16::try_from(row.int(at + 1)?).unwrap_or_default()),
                joined_seq: row.seq(at + 2)?,
                delivered_seq: row.seq(at + 3)?,
                read_seq: row.seq(at + 4)?,
            },
            read_count: row.count(at + 5)?,
            role_seq: row.seq(at + 6)?,
        }))
    }
}

/// A conversation that is not deleted and the membership of `user` in it.
pub(super) async fn room_of(
    connection: &mut SqliteConnection,
    id: ConversationId,
    user: UserId,
) -> sqlx::Result<(Option<Room>, Option<Membership>)> {
    let row = sqlx::query(concat!(
        "SELECT ",
        room_columns!(),
        ", ",
        member_columns!(),
        " FROM conversations c LEFT JOIN members m ON m.conversation = c.id AND m.user = ?2 \
         WHERE c.id = ?1 AND c.deleted_at IS NULL"
    ))
    .bind(*id.as_uuid())
    .bind(*user.as_uuid())
    .fetch_optional(connection)
    .await?;
    match row {
        None => Ok((None, None)),
        Some(row) => Ok((Room::read(&row, 0)?, Membership::read(&row, ROOM_COLUMNS)?)),
    }
}

/// A conversation and the membership of `user`, or what an outsider is told.
pub(super) async fn membership_of(
    connection: &mut SqliteConnection,
    id: ConversationId,
    user: UserId,
) -> Result<(Room, Membership), super::failure::Stop> {
    match room_of(connection, id, user).await? {
        (Some(room), Some(membership)) => Ok((room, membership)),
        (room, _) => Err(outsider(room.as_ref()).into()),
    }
}

/// The membership of `user`.
pub(super) async fn membership(
    connection: &mut SqliteConnection,
    conversation: ConversationId,
    user: UserId,
) -> sqlx::Result<Option<Membership>> {
    let row = sqlx::query(concat!(
        "SELECT ",
        member_columns!(),
        " FROM members m WHERE m.user = ?1 AND m.conversation = ?2"
    ))
    .bind(*user.as_uuid())
    .bind(*conversation.as_uuid())
    .fetch_optional(connection)
    .await?;
    row.map_or(Ok(None), |row| Membership::read(&row, 0))
}
