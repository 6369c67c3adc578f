//! Recording changes of one conversation: one event after the other in memory, written in one statement at the end.
//!
//! The caller's transaction holds the conversation's lock, so nobody can come between.

use std::sync::Arc;

use uuid::Uuid;

use super::link::Link;
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
    pub link: &'c mut Link,
    pub room: Room,
    /// Who hears of it; empty for channels, whose subscribers do.
    present: Vec<(UserId, Seq)>,
    now: Timestamp,
    recorded: Vec<(Event, Arc<[UserId]>)>,
    joined: Vec<(UserId, Role, Seq)>,
    left: Vec<(UserId, Seq)>,
    roles: Vec<(UserId, Role, Seq)>,
}

/// What a closed journal leaves for after the commit.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    pub committed: Vec<Committed>,
    pub rosters: Vec<(ConversationId, Roster)>,
}

impl<'c> Journal<'c> {
    pub(super) async fn open(
        link: &'c mut Link,
        rosters: &Rosters,
        room: Room,
        now: Timestamp,
    ) -> sql::Result<Self> {
        let present = rosters_of(link, rosters, &[room.id()]).await?;
        let present = present.get(&room.id()).map_or_else(Vec::new, |roster| roster.members().collect());
        Ok(Self {
            link,
            room,
            present,
            now,
            recorded: Vec::new(),
            joined: Vec::new(),
            left: Vec::new(),
            roles: Vec::new(),
        })
    }

    /// Notes one event by `sender` and answers its seq.
    pub(super) fn record(&mut self, sender: UserId, kind: EventKind) -> Seq {
        let seq = self.room.conversation.last_seq.next();
        let present: Arc<[UserId]> = self.present.iter().map(|(user, _)| *user).collect();
        let event = Event { conversation: self.room.id(), seq, sender, sent_at: self.now, kind };
        self.recorded.push((event, present));
        self.room.conversation.last_seq = seq;
        seq
    }

    /// Makes `user` a member, who has read everything so far.
    pub(super) fn join(&mut self, sender: UserId, user: UserId, role: Role) -> Seq {
        let joined_seq = self.room.conversation.last_seq.next();
        if self.room.kind() != ConversationKind::Channel {
            self.present.push((user, joined_seq));
        }
        self.record(sender, EventKind::MemberJoined { user, role });
        self.joined.push((user, role, joined_seq));
        self.room.conversation.member_count += 1;
        self.room.members_version += 1;
        joined_seq
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
        let seq = self.record(sender, EventKind::MemberLeft { user, reason });
        self.left.push((user, seq));
        self.room.conversation.member_count = self.room.conversation.member_count.saturating_sub(1);
        self.room.members_version += 1;
        if role == Role::Owner
            && let Some(heir) = self.longest_standing(user).await?
        {
            self.give_role(sender, heir, Role::Owner);
        }
        Ok(seq)
    }

    async fn longest_standing(&mut self, leaving: UserId) -> sql::Result<Option<UserId>> {
        let statement = sqlx::query(
            "SELECT user_id FROM members WHERE conversation = $1 AND role < 2 AND user_id <> $2 \
             ORDER BY role DESC, joined_seq, user_id LIMIT 1",
        );
        let row = self.link.optional(statement.bind(*self.room.id().as_uuid()).bind(*leaving.as_uuid()));
        row.await?.map(|row| row.user(0)).transpose()
    }

    /// Changes a member's role.
    pub(super) fn give_role(&mut self, sender: UserId, user: UserId, role: Role) -> Seq {
        let changes = Changes { role: Some((user, role)), ..Changes::default() };
        let seq = self.record(sender, EventKind::ConversationChanged(changes));
        self.roles.push((user, role, seq));
        seq
    }

    /// Writes the events, the memberships, and the conversation's counters and settings.
    pub(super) async fn close(mut self) -> sql::Result<Recorded> {
        let position = self.write().await?;
        let mut previous = self.room.last_position;
        let mut committed = Vec::with_capacity(self.recorded.len());
        let kind = self.room.kind();
        for (event, present) in self.recorded {
            let audience = audience(kind, &event.kind, &present);
            committed.push(Committed { event: Arc::new(event), position, previous, audience });
            previous = position;
        }
        let group = kind == ConversationKind::Group;
        let rosters = group
            .then(|| (self.room.id(), Roster::new(self.room.members_version, &self.present)))
            .into_iter()
            .collect();
        Ok(Recorded { committed, rosters })
    }

    async fn write(&mut self) -> sql::Result<Position> {
        let room = &self.room;
        let (mut seqs, mut kinds, mut senders) = (Vec::new(), Vec::new(), Vec::<Uuid>::new());
        let (mut targets, mut extras, mut bodies) = (Vec::new(), Vec::new(), Vec::new());
        for (event, _) in &self.recorded {
            let encoded = encode(&event.kind)?;
            seqs.push(event.seq.as_stored());
            kinds.push(encoded.kind as i16);
            senders.push(*event.sender.as_uuid());
            targets.push(encoded.target);
            extras.push(encoded.extra);
            bodies.push(encoded.body);
        }
        let statement = sqlx::query(WRITE)
            .bind(*room.id().as_uuid())
            .bind(self.now.as_unix_ms())
            .bind(room.message_count as i64)
            .bind(seqs)
            .bind(kinds)
            .bind(senders)
            .bind(targets)
            .bind(extras)
            .bind(bodies)
            .bind(self.joined.iter().map(|(user, ..)| *user.as_uuid()).collect::<Vec<_>>())
            .bind(self.joined.iter().map(|(_, role, _)| role.as_stored()).collect::<Vec<_>>())
            .bind(self.joined.iter().map(|(.., seq)| seq.as_stored()).collect::<Vec<_>>())
            .bind(self.left.iter().map(|(user, _)| *user.as_uuid()).collect::<Vec<_>>())
            .bind(self.left.iter().map(|(_, seq)| seq.as_stored()).collect::<Vec<_>>())
            .bind(self.roles.iter().map(|(user, ..)| *user.as_uuid()).collect::<Vec<_>>())
            .bind(self.roles.iter().map(|(_, role, _)| role.as_stored()).collect::<Vec<_>>())
            .bind(self.roles.iter().map(|(.., seq)| seq.as_stored()).collect::<Vec<_>>())
            .bind(room.conversation.last_seq.as_stored())
            .bind(room.conversation.member_count as i64)
            .bind(room.members_version)
            .bind(room.conversation.name.as_deref())
            .bind(room.conversation.history.as_str())
            .bind(room.conversation.join.as_str())
            .bind(room.settings_seq.as_stored())
            .bind(room.last_position.0 as i64);
        Ok(Position(self.link.one(statement).await?.count(0)?))
    }
}

const WRITE: &str = "\
WITH p AS MATERIALIZED (SELECT greatest(tidings_position(), $25) AS position), \
written AS ( \
    INSERT INTO events (conversation, seq, txid, kind, sender, sent_at, target_seq, messages_before, extra, body) \
    SELECT $1, b.seq, p.position, b.kind, b.sender, $2, b.target, $3, b.extra, b.body \
    FROM p, unnest($4::bigint[], $5::smallint[], $6::uuid[], $7::bigint[], $8::text[], $9::text[]) \
        AS b (seq, kind, sender, target, extra, body) \
), joined AS ( \
    INSERT INTO members (user_id, conversation, role, joined_seq, role_seq, delivered_seq, read_seq, read_count, changed_txid) \
    SELECT b.user_id, $1, b.role, b.seq, b.seq, b.seq, b.seq, $3, p.position \
    FROM p, unnest($10::uuid[], $11::smallint[], $12::bigint[]) AS b (user_id, role, seq) \
), back AS ( \
    DELETE FROM departures WHERE conversation = $1 AND user_id = ANY ($10) \
), gone AS ( \
    DELETE FROM members WHERE conversation = $1 AND user_id = ANY ($13) \
), departed AS ( \
    INSERT INTO departures (user_id, conversation, left_seq) \
    SELECT b.user_id, $1, b.seq FROM unnest($13::uuid[], $14::bigint[]) AS b (user_id, seq) \
    ON CONFLICT (user_id, conversation) DO UPDATE SET left_seq = excluded.left_seq \
), roles AS ( \
    UPDATE members m SET role = b.role, role_seq = b.seq \
    FROM unnest($15::uuid[], $16::smallint[], $17::bigint[]) AS b (user_id, role, seq) \
    WHERE m.conversation = $1 AND m.user_id = b.user_id \
), room AS ( \
    UPDATE conversations SET last_seq = $18, last_txid = p.position, member_count = $19, members_version = $20, name = $21, \
        history = $22, join_policy = $23, settings_seq = $24 FROM p WHERE id = $1 \
) \
SELECT position FROM p";
