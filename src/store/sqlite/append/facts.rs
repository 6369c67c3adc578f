//! What deciding on a batch needs to know, read in four statements at most.

use std::collections::{HashMap, HashSet};

use sqlx::sqlite::SqliteConnection;

use crate::domain::{ClientId, ConversationId, ConversationKind, Seq, Timestamp, UserId};
use crate::store::shared::columns::Columns;
use crate::store::shared::room::{ROOM_COLUMNS, Room};
use crate::store::shared::roster::{Roster, Rosters};
use crate::store::sql;
use crate::store::sqlite::roster::rosters_of;
use crate::store::sqlite::rows::MultiRow;
use crate::store::sqlite::state::room_columns;
use crate::store::{NewMessage, Target};

/// A send that is in the log already.
#[derive(Debug, Clone, Copy)]
pub(super) struct Earlier {
    pub conversation: ConversationId,
    pub seq: Seq,
    pub sent_at: Timestamp,
    /// `None`: its content is gone, and with it what a repetition could be compared to.
    pub fingerprint: Option<i64>,
}

/// One sender's standing in one conversation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    /// The join event, when a member.
    pub joined_seq: Option<Seq>,
    /// The sender's account is there and not erased.
    pub sender_lives: bool,
    /// In a direct conversation: the other account is there and not erased.
    pub peer_lives: bool,
    /// In a direct conversation: one has blocked the other.
    pub blocked: bool,
}

#[derive(Debug, Default)]
pub(super) struct Facts {
    /// The newest position taken.
    pub last_position: u64,
    pub earlier: HashMap<(UserId, ClientId), Earlier>,
    pub rooms: HashMap<ConversationId, Room>,
    pub standings: HashMap<(ConversationId, UserId), Standing>,
    pub rosters: HashMap<ConversationId, Roster>,
    /// Messages that replies name and that are there.
    pub replied: HashSet<(ConversationId, Seq)>,
}

static SENDS: MultiRow = MultiRow::new(
    "WITH k (sender, client_id) AS (VALUES ",
    2,
    ") SELECT s.sender, s.client_id, s.conversation, s.seq, s.sent_at, s.fingerprint \
     FROM k CROSS JOIN sends s ON s.sender = k.sender AND s.client_id = k.client_id",
);

macro_rules! peer {
    () => {
        "coalesce(k.other, iif(c.low = k.sender, c.high, c.low))"
    };
}

static STANDINGS: MultiRow = MultiRow::new(
    "WITH k (conversation, sender, other) AS (VALUES ",
    3,
    concat!(
        ") SELECT ",
        room_columns!(),
        ", k.conversation, k.sender, m.joined_seq, \
         (SELECT u.erased_at IS NULL FROM users u WHERE u.id = k.sender), \
         (SELECT u.erased_at IS NULL FROM users u WHERE u.id = ",
        peer!(),
        "), EXISTS (SELECT 1 FROM blocks b WHERE b.blocker = k.sender AND b.blocked = ",
        peer!(),
        ") OR EXISTS (SELECT 1 FROM blocks b WHERE b.blocked = k.sender AND b.blocker = ",
        peer!(),
        "), (SELECT max(value, coalesce((SELECT max(position) FROM events), 0)) \
             FROM meta WHERE name = 'position_floor') \
         FROM k LEFT JOIN conversations c ON c.id = k.conversation AND c.deleted_at IS NULL \
                LEFT JOIN members m ON m.user_id = k.sender AND m.conversation = k.conversation \
         WHERE k.sender IS NOT NULL"
    ),
);

static REPLIED: MultiRow = MultiRow::new(
    "WITH k (conversation, seq) AS (VALUES ",
    2,
    ") SELECT e.conversation, e.seq FROM k \
     CROSS JOIN events e ON e.conversation = k.conversation AND e.seq = k.seq AND e.kind = 0",
);

impl Facts {
    pub(super) async fn read(
        connection: &mut SqliteConnection,
        rosters: &Rosters,
        batch: &[NewMessage],
    ) -> sql::Result<Self> {
        let mut facts = Self::default();
        facts.read_earlier(connection, batch).await?;
        facts.read_standings(connection, batch).await?;
        facts.read_replied(connection, batch).await?;
        let rooms: Vec<&Room> = facts.rooms.values().collect();
        let read = rosters_of(rosters, connection, &rooms).await?;
        facts.rosters = rooms.iter().map(|room| room.id()).zip(read).collect();
        Ok(facts)
    }

    /// The rosters worth keeping once this transaction is committed.
    pub(super) fn groups(&self) -> Vec<(ConversationId, Roster)> {
        let groups = self.rosters.iter().filter(|(id, _)| id.kind() == ConversationKind::Group);
        groups.map(|(id, roster)| (*id, roster.clone())).collect()
    }

    async fn read_earlier(
        &mut self,
        connection: &mut SqliteConnection,
        batch: &[NewMessage],
    ) -> sql::Result<()> {
        let rows = SENDS.fetch(connection, batch, |query, new| {
            query.bind(*new.sender.as_uuid()).bind(*new.client_id.as_uuid())
        });
        for row in rows.await? {
            let earlier = Earlier {
                conversation: row.conversation(2)?,
                seq: row.seq(3)?,
                sent_at: row.time(4)?,
                fingerprint: row.int_or_null(5)?,
            };
            self.earlier.insert((row.user(0)?, row.client_id(1)?), earlier);
        }
        Ok(())
    }

    async fn read_standings(
        &mut self,
        connection: &mut SqliteConnection,
        batch: &[NewMessage],
    ) -> sql::Result<()> {
        let mut asked: Vec<(ConversationId, UserId, Option<UserId>)> = Vec::with_capacity(batch.len());
        let mut seen = HashSet::with_capacity(batch.len());
        for new in batch {
            let other = match new.target {
                Target::User(other) => Some(other),
                Target::Conversation(_) => None,
            };
            let key = (new.target.conversation(new.sender), new.sender, other);
            if seen.insert(key) {
                asked.push(key);
            }
        }
        let rows = STANDINGS.fetch(connection, &asked, |query, (conversation, sender, other)| {
            query
                .bind(*conversation.as_uuid())
                .bind(*sender.as_uuid())
                .bind(other.map(|user| *user.as_uuid()))
        });
        for row in rows.await? {
            let at = ROOM_COLUMNS;
            if let Some(room) = Room::read(&row, 0)? {
                self.rooms.insert(room.id(), room);
            }
            let standing = Standing {
                joined_seq: row.int_or_null(at + 2)?.map(Seq::from_stored),
                sender_lives: row.int_or_null(at + 3)? == Some(1),
                peer_lives: row.int_or_null(at + 4)? == Some(1),
                blocked: row.flag(at + 5)?,
            };
            self.standings.insert((row.conversation(at)?, row.user(at + 1)?), standing);
            self.last_position = row.count(at + 6)?;
        }
        Ok(())
    }

    async fn read_replied(
        &mut self,
        connection: &mut SqliteConnection,
        batch: &[NewMessage],
    ) -> sql::Result<()> {
        let named: Vec<_> = batch
            .iter()
            .filter_map(|new| new.content.reply_to.map(|seq| (new.target.conversation(new.sender), seq)))
            .collect();
        if named.is_empty() {
            return Ok(());
        }
        let rows = REPLIED
            .fetch(connection, &named, |query, (id, seq)| query.bind(*id.as_uuid()).bind(seq.as_stored()));
        for row in rows.await? {
            self.replied.insert((row.conversation(0)?, row.seq(1)?));
        }
        Ok(())
    }
}
