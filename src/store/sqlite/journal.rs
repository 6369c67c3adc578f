//! Recording changes of one conversation: one event after the other inside the caller's transaction.

use std::sync::Arc;

use sqlx::sqlite::SqliteConnection;

use super::position;
use super::rooms::insert::{NewMember, insert_members};
use super::roster::rosters_of;
use crate::domain::{
    Changes, Committed, ConversationId, ConversationKind, Event, EventKind, LeaveReason, Position, Role, Seq,
    Timestamp, UserId,
};
use crate::store::shared::codec::encode;
use crate::store::shared::columns::Columns;
use crate::store::shared::room::Room;
use crate::store::shared::roster::{Roster, Rosters, audience};
use crate::store::sql;

/// A conversation being changed.
pub(super) struct Journal<'c> {
    pub connection: &'c mut SqliteConnection,
    pub room: Room,
    /// Who hears of it; empty for channels, whose subscribers do.
    present: Vec<(UserId, Seq)>,
    last_position: u64,
    now: Timestamp,
    committed: Vec<Committed>,
}

/// What a closed journal leaves for after the commit.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    pub committed: Vec<Committed>,
    pub rosters: Vec<(ConversationId, Roster)>,
}

impl<'c> Journal<'c> {
    pub(super) async fn open(
        connection: &'c mut SqliteConnection,
        rosters: &Rosters,
        room: Room,
        now: Timestamp,
    ) -> sql::Result<Self> {
        let present = rosters_of(rosters, connection, &[&room]).await?;
        let present = present.first().map_or_else(Vec::new, |roster| roster.members().collect());
        let last_position = position::last(connection).await?;
        Ok(Self { connection, room, present, last_position, now, committed: Vec::new() })
    }

    /// Writes one event by `sender` and answers its seq.
    pub(super) async fn record(&mut self, sender: UserId, kind: EventKind) -> sql::Result<Seq> {
        let encoded = encode(&kind)?;
        let seq = self.room.conversation.last_seq.next();
        self.last_position += 1;
        sqlx::query(
            "INSERT INTO events (position, conversation, seq, kind, sender, sent_at, target_seq, messages_before, extra, body) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )
        .bind(self.last_position as i64)
        .bind(*self.room.id().as_uuid())
        .bind(seq.as_stored())
        .bind(encoded.kind)
        .bind(*sender.as_uuid())
        .bind(self.now.as_unix_ms())
        .bind(encoded.target)
        .bind(self.room.message_count as i64)
        .bind(encoded.extra)
        .bind(encoded.body)
        .execute(&mut *self.connection)
        .await?;
        let present: Arc<[UserId]> = self.present.iter().map(|(user, _)| *user).collect();
        self.committed.push(Committed {
            audience: audience(self.room.kind(), &kind, &present),
            event: Arc::new(Event { conversation: self.room.id(), seq, sender, sent_at: self.now, kind }),
            position: Position(self.last_position),
            previous: self.room.last_position,
        });
        self.room.conversation.last_seq = seq;
        self.room.last_position = Position(self.last_position);
        Ok(seq)
    }

    /// Makes `user` a member, who has read everything so far.
    pub(super) async fn join(&mut self, sender: UserId, user: UserId, role: Role) -> sql::Result<Seq> {
        let joined_seq = self.room.conversation.last_seq.next();
        if self.room.kind() != ConversationKind::Channel {
            self.present.push((user, joined_seq));
        }
        self.record(sender, EventKind::MemberJoined { user, role }).await?;
        let member = NewMember {
            user,
            conversation: self.room.id(),
            role,
            joined_seq,
            read_count: self.room.message_count,
            changed_position: self.last_position,
        };
        insert_members(self.connection, &[member]).await?;
        sqlx::query("DELETE FROM departures WHERE user_id = ?1 AND conversation = ?2")
            .bind(*user.as_uuid())
            .bind(*self.room.id().as_uuid())
            .execute(&mut *self.connection)
            .await?;
        self.room.conversation.member_count += 1;
        self.room.members_version += 1;
        Ok(joined_seq)
    }

    /// Ends a membership; the longest-standing admin, else member, takes over from an owner.
    pub(super) async fn leave(
        &mut self,
        sender: UserId,
        user: UserId,
        role: Role,
        reason: LeaveReason,
    ) -> sql::Result<Seq> {
        self.present.retain(|(member, _)| *member != user);
        let seq = self.record(sender, EventKind::MemberLeft { user, reason }).await?;
        sqlx::query("DELETE FROM members WHERE user_id = ?1 AND conversation = ?2")
            .bind(*user.as_uuid())
            .bind(*self.room.id().as_uuid())
            .execute(&mut *self.connection)
            .await?;
        sqlx::query(
            "INSERT OR REPLACE INTO departures (user_id, conversation, left_seq) VALUES (?1, ?2, ?3)",
        )
        .bind(*user.as_uuid())
        .bind(*self.room.id().as_uuid())
        .bind(seq.as_stored())
        .execute(&mut *self.connection)
        .await?;
        self.room.conversation.member_count = self.room.conversation.member_count.saturating_sub(1);
        self.room.members_version += 1;
        if role == Role::Owner
            && let Some(heir) = self.longest_standing().await?
        {
            self.give_role(sender, heir, Role::Owner).await?;
        }
        Ok(seq)
    }

    async fn longest_standing(&mut self) -> sql::Result<Option<UserId>> {
        for role in [Role::Admin, Role::Member] {
            let row = sqlx::query(
                "SELECT user_id FROM members WHERE conversation = ?1 AND role = ?2 ORDER BY joined_seq, user_id LIMIT 1",
            )
            .bind(*self.room.id().as_uuid())
            .bind(role.as_stored())
            .fetch_optional(&mut *self.connection)
            .await?;
            if let Some(row) = row {
                return row.user(0).map(Some);
            }
        }
        Ok(None)
    }

    /// Changes a member's role.
    pub(super) async fn give_role(&mut self, sender: UserId, user: UserId, role: Role) -> sql::Result<Seq> {
        let changes = Changes { role: Some((user, role)), ..Changes::default() };
        let seq = self.record(sender, EventKind::ConversationChanged(changes)).await?;
        sqlx::query("UPDATE members SET role = ?3, role_seq = ?4 WHERE user_id = ?1 AND conversation = ?2")
            .bind(*user.as_uuid())
            .bind(*self.room.id().as_uuid())
            .bind(role.as_stored())
            .bind(seq.as_stored())
            .execute(&mut *self.connection)
            .await?;
        Ok(seq)
    }

    /// Writes the conversation's counters and settings.
    pub(super) async fn close(self) -> sql::Result<Recorded> {
        let room = &self.room;
        sqlx::query(
            "UPDATE conversations SET last_seq = ?2, last_position = ?3, member_count = ?4, members_version = ?5, \
             name = ?6, history = ?7, join_policy = ?8, settings_seq = ?9 WHERE id = ?1",
        )
        .bind(*room.id().as_uuid())
        .bind(room.conversation.last_seq.as_stored())
        .bind(room.last_position.0 as i64)
        .bind(room.conversation.member_count as i64)
        .bind(room.members_version)
        .bind(room.conversation.name.as_deref())
        .bind(room.conversation.history.as_str())
        .bind(room.conversation.join.as_str())
        .bind(room.settings_seq.as_stored())
        .execute(&mut *self.connection)
        .await?;
        let group = room.kind() == ConversationKind::Group;
        let rosters = group
            .then(|| (room.id(), Roster::new(room.members_version, &self.present)))
            .into_iter()
            .collect();
        Ok(Recorded { committed: self.committed, rosters })
    }
}
