//! Who is in a group: read once, kept as long as the conversation's version of its membership stands.
//!
//! An entry is right exactly when its version equals the one that the asking transaction read, so the cache can be old
//! but never wrong. Entries are put in after their transaction is committed. Bounded by members held, not by groups.

use std::sync::Arc;

use moka::future::Cache;
use sqlx::sqlite::SqliteConnection;

use super::rows::{Columns, MultiRow};
use super::state::Room;
use crate::domain::{Audience, ConversationId, ConversationKind, EventKind, Seq, UserId};

/// The members of one direct or group conversation as of a version.
#[derive(Debug, Clone)]
pub(super) struct Roster {
    pub version: i64,
    pub users: Arc<[UserId]>,
    joined: Arc<[Seq]>,
}

impl Roster {
    pub(super) fn new(version: i64, members: &[(UserId, Seq)]) -> Self {
        Self {
            version,
            users: members.iter().map(|(user, _)| *user).collect(),
            joined: members.iter().map(|(_, joined)| *joined).collect(),
        }
    }

    /// The members of a direct conversation, as long as neither account is erased.
    pub(super) fn of_pair(version: i64, (low, high): (UserId, UserId)) -> Self {
        let members = [(low, Seq::ZERO), (high, Seq::ZERO)];
        Self::new(version, if low == high { &members[..1] } else { &members })
    }

    pub(super) fn members(&self) -> impl Iterator<Item = (UserId, Seq)> + '_ {
        self.users.iter().copied().zip(self.joined.iter().copied())
    }

    /// Those of the members who were there when `seq` was given: a later member is not told of what came before.
    pub(super) fn present_at(&self, seq: Seq) -> Arc<[UserId]> {
        if self.joined.iter().all(|joined| *joined <= seq) {
            Arc::clone(&self.users)
        } else {
            self.members().filter(|(_, joined)| *joined <= seq).map(|(user, _)| user).collect()
        }
    }
}

/// Who is to be told of an event, given who is there to hear it.
pub(super) fn audience(kind: ConversationKind, event: &EventKind, present: &Arc<[UserId]>) -> Audience {
    let users = match (kind, event) {
        (
            ConversationKind::Channel,
            EventKind::MemberJoined { user, .. } | EventKind::MemberLeft { user, .. },
        ) => Arc::from([*user]),
        (ConversationKind::Channel, _) => Arc::from([]),
        // Whoever leaves hears that they did: their devices stop showing the conversation.
        (_, EventKind::MemberLeft { user, .. }) if !present.contains(user) => {
            present.iter().copied().chain([*user]).collect()
        }
        (_, _) => Arc::clone(present),
    };
    Audience { users }
}

/// The cache of group memberships.
#[derive(Debug)]
pub(super) struct Rosters(Cache<ConversationId, Roster>);

static MEMBERS: MultiRow = MultiRow::new(
    "WITH k (conversation) AS (VALUES ",
    1,
    ") SELECT m.conversation, m.user, m.joined_seq FROM k CROSS JOIN members m ON m.conversation = k.conversation \
     ORDER BY m.conversation, m.user",
);

impl Rosters {
    pub(super) fn new(most_members: u64) -> Self {
        let weigh =
            |_: &ConversationId, roster: &Roster| u32::try_from(roster.users.len() + 4).unwrap_or(u32::MAX);
        Self(Cache::builder().max_capacity(most_members).weigher(weigh).build())
    }

    /// Keeps what a committed transaction knows, unless something newer is there.
    pub(super) async fn keep(&self, conversation: ConversationId, roster: Roster) {
        if self.0.get(&conversation).await.is_none_or(|known| known.version < roster.version) {
            self.0.insert(conversation, roster).await;
        }
    }

    async fn known(&self, room: &Room) -> Option<Roster> {
        if let Some(pair) = room.pair
            && room.conversation.member_count == if pair.0 == pair.1 { 1 } else { 2 }
        {
            return Some(Roster::of_pair(room.members_version, pair));
        }
        self.0.get(&room.id()).await.filter(|roster| roster.version == room.members_version)
    }

    /// The rosters of these direct and group conversations, in their order, as the transaction sees them. Channels have
    /// an empty one.
    pub(super) async fn of(
        &self,
        connection: &mut SqliteConnection,
        rooms: &[&Room],
    ) -> sqlx::Result<Vec<Roster>> {
        let mut rosters = Vec::with_capacity(rooms.len());
        let mut missing = Vec::new();
        for (at, room) in rooms.iter().enumerate() {
            let known = match room.kind() {
                ConversationKind::Channel => Some(Roster::new(room.members_version, &[])),
                ConversationKind::Direct | ConversationKind::Group => self.known(room).await,
            };
            if known.is_none() {
                missing.push((room.id(), at));
            }
            rosters.push(known.unwrap_or_else(|| Roster::new(room.members_version, &[])));
        }
        if missing.is_empty() {
            return Ok(rosters);
        }
        missing.sort_unstable();
        let rows = MEMBERS.fetch(connection, &missing, |query, (id, _)| query.bind(*id.as_uuid())).await?;
        let mut members = std::collections::HashMap::<ConversationId, Vec<(UserId, Seq)>>::new();
        for row in &rows {
            members.entry(row.conversation(0)?).or_default().push((row.user(1)?, row.seq(2)?));
        }
        for (id, at) in missing {
            if let Some(members) = members.get(&id) {
                rosters[at] = Roster::new(rooms[at].members_version, members);
            }
        }
        Ok(rosters)
    }
}
