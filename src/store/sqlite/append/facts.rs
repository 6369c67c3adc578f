//! The facts for deciding on a batch: a few small statements per message, and each fact is read once.

use std::collections::{HashMap, HashSet};

use crate::domain::permissions::Sending;
use crate::domain::{ClientId, ConsentRules, ConversationId, ConversationKind, Seq, Timestamp, UserId};
use crate::store::shared::columns::Columns;
use crate::store::shared::conversation::{CONVERSATION_COLUMNS, ConversationRow};
use crate::store::shared::roster::{Roster, Rosters};
use crate::store::sql::{self, Sql, permissions, statement, values};
use crate::store::sqlite::positions::{Positions, Tables};
use crate::store::{NewMessage, Target};

/// A send that is in the log already.
#[derive(Debug, Clone, Copy)]
pub(super) struct Earlier {
    pub conversation: ConversationId,
    pub seq: Seq,
    pub sent_at: Timestamp,
    /// `None`: its content is erased, so a repetition cannot be compared with it.
    pub fingerprint: Option<i64>,
}

/// The rights of one sender in one conversation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    /// The join event, when a member.
    pub joined_seq: Option<Seq>,
    /// The facts for the rule of sending.
    pub sending: Sending,
}

#[derive(Debug, Default)]
pub(super) struct Facts {
    /// How the events get their positions.
    pub positions: Positions,
    pub earlier: HashMap<(UserId, ClientId), Earlier>,
    pub conversations: HashMap<ConversationId, ConversationRow>,
    pub standings: HashMap<(ConversationId, UserId), Standing>,
    pub rosters: HashMap<ConversationId, Roster>,
    /// Messages that replies name and that exist.
    pub replied: HashSet<(ConversationId, Seq)>,
}

const POSITION: Sql = statement!(sqlite: "SELECT {given_position}");

const SENT: Sql = statement!(sqlite:
    "SELECT conversation, seq, sent_at, fingerprint FROM sends WHERE sender = $1 AND client_id = $2",
);

/// The conversation, if there is one, and the sender in it.
const STANDING: Sql = statement!(
    sqlite: "SELECT {conversation_columns}, m.joined_seq, {sending $2 c.peer $1} \
             FROM ( \
                 SELECT c.*, coalesce($3, iif(c.low = $2, c.high, c.low)) AS peer \
                 FROM (SELECT 1) LEFT JOIN conversations c ON c.id = $1 AND c.deleted_at IS NULL \
             ) c LEFT JOIN members m ON m.user_id = $2 AND m.conversation = $1"
);

const REPLIED: Sql =
    statement!(sqlite: "SELECT 1 FROM events WHERE conversation = $1 AND seq = $2 AND kind = {message}");

impl Facts {
    pub(super) async fn read<C: Tables>(
        connection: &mut C,
        rosters: &Rosters,
        batch: &[NewMessage],
        consent: &ConsentRules,
    ) -> sql::Result<Self> {
        let positions = Positions::of::<C>(connection.one(&POSITION, &[]).await?.count(0)?);
        let mut facts = Self { positions, ..Self::default() };
        for new in batch {
            facts.read_earlier(connection, new).await?;
            facts.read_standing(connection, new, consent).await?;
            facts.read_replied(connection, new).await?;
        }
        for (id, stored) in &facts.conversations {
            facts.rosters.insert(*id, roster_of(connection, rosters, stored).await?);
        }
        Ok(facts)
    }

    /// The rosters to cache once this transaction is committed.
    pub(super) fn groups(&self) -> Vec<(ConversationId, Roster)> {
        let groups = self.rosters.iter().filter(|(id, _)| id.kind() == ConversationKind::Group);
        groups.map(|(id, roster)| (*id, roster.clone())).collect()
    }

    async fn read_earlier<C: Tables>(&mut self, connection: &mut C, new: &NewMessage) -> sql::Result<()> {
        if let Some(row) = connection.optional(&SENT, values![new.sender, new.client_id]).await? {
            let earlier = Earlier {
                conversation: row.conversation(0)?,
                seq: row.seq(1)?,
                sent_at: row.time(2)?,
                fingerprint: row.int_or_null(3)?,
            };
            self.earlier.insert((new.sender, new.client_id), earlier);
        }
        Ok(())
    }

    async fn read_standing<C: Tables>(
        &mut self,
        connection: &mut C,
        new: &NewMessage,
        consent: &ConsentRules,
    ) -> sql::Result<()> {
        let id = new.target.conversation(new.sender);
        let other = match new.target {
            Target::User(other) => Some(other),
            Target::Conversation(_) => None,
        };
        // If the conversation does not exist yet, only a sender who names the other user can identify it.
        let told = other.is_none() || self.conversations.contains_key(&id);
        if told && self.standings.contains_key(&(id, new.sender)) {
            return Ok(());
        }
        let row = connection.one(&STANDING, values![id, new.sender, other]).await?;
        if let Some(stored) = ConversationRow::read(&row, 0)? {
            self.conversations.insert(id, stored);
        }
        let at = CONVERSATION_COLUMNS;
        let standing = Standing {
            joined_seq: row.int_or_null(at)?.map(Seq::from_stored),
            sending: permissions::sending(&row, at + 1, consent)?,
        };
        self.standings.insert((id, new.sender), standing);
        Ok(())
    }

    async fn read_replied<C: Tables>(&mut self, connection: &mut C, new: &NewMessage) -> sql::Result<()> {
        let Some(seq) = new.content.reply_to else { return Ok(()) };
        let id = new.target.conversation(new.sender);
        if connection.optional(&REPLIED, values![id, seq]).await?.is_some() {
            self.replied.insert((id, seq));
        }
        Ok(())
    }
}

/// The members of a direct or group conversation; empty for a channel.
async fn roster_of<C: Tables>(
    connection: &mut C,
    rosters: &Rosters,
    stored: &ConversationRow,
) -> sql::Result<Roster> {
    if stored.kind() == ConversationKind::Channel {
        return Ok(Roster::new(stored.members_version, &[]));
    }
    if let Some(known) = rosters.known(stored) {
        return Ok(known);
    }
    let read = sql::conversations::roster_of(connection, stored.id(), None).await?;
    Ok(read.unwrap_or_else(|| Roster::new(stored.members_version, &[])))
}
