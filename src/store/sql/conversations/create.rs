//! Creates a conversation with its members.

use std::collections::BTreeSet;

use crate::domain::permissions::{Block, is_blocked};
use crate::domain::{
    Adding, Approach, ConsentRules, Conversation, ConversationId, ConversationKind, Limits, Openness,
    Position, Refusal, Role, Seq, Timestamp, UserId, how_to_add, may_approach, quotas as permitted,
};
use crate::store::shared::columns::Columns;
use crate::store::shared::content::without_nul;
use crate::store::shared::conversation::ConversationRow;
use crate::store::sql::journal::{Journal, Recorded, Recorder};
use crate::store::sql::{
    self, Backend, Connection, Error, Sql, Stop, Value, invitations, quotas, statement, values,
};
use crate::store::{Created, NewConversation, Outcome};

/// The transaction takes its number before it reads accounts, so an erasure of one of them waits for it.
const THERE: Sql =
    statement!("SELECT (SELECT deleted_at IS NOT NULL FROM conversations WHERE id = $1), {taken_position}");

/// The accounts among some users that are not erased, the blocks between them and the creator, and in how
/// many groups and channels they are; whether the creator is a contact of theirs, and whose messages they
/// take.
const INVITED: Sql = statement!(
    "SELECT {has_blocked $1 u.id}, {has_blocked u.id $1}, u.id, {groups_of u.id $3}, \
     {knows u.id $1}, {chosen_messages u.id}, {chosen_groups u.id} FROM users u WHERE u.id {one_of $2} AND u.erased_at IS NULL"
);

/// A conversation without events, at version 1 of its membership.
const INSERT: Sql = statement!(
    "INSERT INTO conversations (id, kind, name, history, join_policy, member_count, created_at, low, high, topic, last_seq, \
     message_count, last_position, members_version, settings_seq) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, 0, 0, 1, 0)"
);

/// A member of a direct conversation. No event records the join, so later reads find these members by their
/// position.
const PAIR: Sql = statement!(
    postgres: "INSERT INTO members (user_id, conversation, role, joined_seq, role_seq, delivered_seq, read_seq, read_count, \
               changed_position) SELECT user_id, $1, 0, 0, 0, 0, 0, 0, {next_position} FROM unnest($2::uuid[]) AS v (user_id)",
    sqlite: "INSERT INTO members (user_id, conversation, role, joined_seq, role_seq, delivered_seq, read_seq, read_count, \
             changed_position) VALUES ($2, $1, 0, 0, 0, 0, 0, 0, {next_position})",
);

#[derive(Debug)]
struct Asked {
    new: NewConversation,
    now: Timestamp,
    limits: Limits,
    consent: ConsentRules,
}

impl Asked {
    fn others(&self) -> BTreeSet<UserId> {
        self.new.members.iter().copied().filter(|user| *user != self.new.creator).collect()
    }

    /// Checks whether the conversation is allowed.
    fn possible(&self, others: &BTreeSet<UserId>) -> Result<(), Refusal> {
        let new = &self.new;
        without_nul("name", new.name.as_deref().unwrap_or_default())?;
        without_nul("topic", new.topic.as_deref().unwrap_or_default())?;
        match new.id.kind() {
            ConversationKind::Direct => {
                let other = new.members.first().copied().filter(|_| new.members.len() == 1);
                let other = other
                    .ok_or(Refusal::Invalid("members: a direct conversation has exactly one other".into()))?;
                if ConversationId::direct(new.creator, other) == new.id {
                    Ok(())
                } else {
                    Err(Refusal::Invalid("members: do not belong to this direct conversation".into()))
                }
            }
            ConversationKind::Group if others.len() + 1 > self.limits.group_members => {
                Err(Refusal::TooLarge("too many members for a group"))
            }
            ConversationKind::Group | ConversationKind::Channel => Ok(()),
        }
    }

    fn stored(&self) -> ConversationRow {
        let (new, now) = (&self.new, self.now);
        if new.id.kind() == ConversationKind::Direct {
            let other = self.others().first().copied().unwrap_or(new.creator);
            return ConversationRow::new_direct(new.id, new.creator, other, now);
        }
        ConversationRow {
            conversation: Conversation {
                id: new.id,
                name: new.name.clone(),
                topic: new.topic.clone().filter(|topic| !topic.is_empty()),
                history: new.history,
                join: new.join,
                last_seq: Seq::ZERO,
                member_count: 0,
                created_at: now,
            },
            message_count: 0,
            last_position: Position(0),
            members_version: 1,
            settings_seq: Seq::ZERO,
            pair: None,
            deleted: false,
        }
    }
}

pub(super) async fn create<B: Backend>(
    backend: &B,
    new: &NewConversation,
    now: Timestamp,
) -> Outcome<Created> {
    let asked = Asked { new: new.clone(), now, limits: *backend.limits(), consent: *backend.consent() };
    let made = backend.write(asked, |connection, asked| Box::pin(make(connection, asked))).await?;
    let (existed, recorded) = match made {
        Ok(Made::Existed) => (true, None),
        Ok(Made::Direct) => (false, None),
        Ok(Made::Recorded(recorded, invited)) => (false, Some((recorded, invited))),
        Err(refusal) => return Ok(Err(refusal)),
    };
    let Some((recorded, invited)) = recorded else {
        return Ok(Ok(Created { existed, committed: Vec::new(), invited: Vec::new() }));
    };
    backend.rosters().keep(recorded.roster);
    Ok(Ok(Created { existed, committed: recorded.committed, invited }))
}

enum Made {
    Existed,
    /// Its members are informed with its first message.
    Direct,
    /// With those who are only invited.
    Recorded(Recorded, Vec<UserId>),
}

async fn make<C: Connection + Recorder>(connection: &mut C, asked: &Asked) -> Result<Made, Stop> {
    let new = &asked.new;
    match connection.one(&THERE, values![new.id]).await?.int_or_null(0)? {
        Some(0) => return Ok(Made::Existed),
        Some(_) => return Err(Refusal::NotFound.into()),
        None => {}
    }
    let others = asked.others();
    asked.possible(&others)?;
    let everyone: Vec<UserId> = [new.creator].into_iter().chain(others.iter().copied()).collect();
    let strangers = may_meet(connection, asked, &everyone).await?;
    let stored = asked.stored();
    insert(connection, &stored).await?;
    if new.id.kind() == ConversationKind::Direct {
        let pair: BTreeSet<_> = everyone.iter().map(|user| *user.as_uuid()).collect();
        connection.each(&PAIR, values![new.id, Value::uuids(pair)]).await?;
        return Ok(Made::Direct);
    }
    let most = asked.limits.invitations_per_day;
    quotas::add_people(connection, new.creator, others.len(), most, asked.now).await?;
    let mut journal = Journal::new(new.creator, &stored, None, asked.now);
    journal.join(new.creator, new.creator, Role::Owner);
    for user in others.difference(&strangers) {
        journal.join(new.creator, *user, Role::Member);
    }
    let written = connection.write(&journal).await?;
    let written =
        written.ok_or_else(|| Error::impossible("a conversation just made was changed by another"))?;
    for user in &strangers {
        let asks = (new.id, *user, new.creator);
        invitations::invite_uncounted(connection, asks, asked.now, &asked.consent).await?;
    }
    Ok(Made::Recorded(journal.close(written), strangers.into_iter().collect()))
}

/// Checks that every member has an account and room for a further conversation, and that no member has a
/// block with the creator. Returns those who have to be invited.
async fn may_meet<C: Connection>(
    connection: &mut C,
    asked: &Asked,
    everyone: &[UserId],
) -> Result<BTreeSet<UserId>, Stop> {
    let mut strangers = BTreeSet::new();
    let (new, most) = (&asked.new, asked.limits.conversations);
    let counts = new.id.kind() != ConversationKind::Direct;
    let ids = Value::uuids(everyone.iter().map(|user| *user.as_uuid()));
    let living =
        connection.each(&INVITED, values![new.creator, ids, if counts { most as i64 } else { 0 }]).await?;
    if living.len() < everyone.len() {
        return Err(Refusal::NotFound.into());
    }
    for row in &living {
        let block = Block { by_actor: row.flag(0)?, by_other: row.flag(1)? };
        if is_blocked(block) {
            return Err(Refusal::Blocked.into());
        }
        let own = row.user(2)? == new.creator;
        if new.id.kind() == ConversationKind::Direct && !own {
            let takes = row.int_or_null(5)?.map_or(asked.consent.defaults.messages, Openness::from_stored);
            may_approach(Approach { known: row.flag(4)?, takes, ..Approach::welcome() })?;
        }
        if counts {
            let groups = row.int_or_null(6)?.map_or(asked.consent.defaults.groups, Openness::from_stored);
            if !own && how_to_add(groups, row.flag(4)?)? == Adding::Invited {
                strangers.insert(row.user(2)?);
                continue;
            }
            permitted::may_be_in_one_more(row.count(3)?, most, own)?;
        }
    }
    Ok(strangers)
}

/// Writes the row of a conversation without events.
pub(in crate::store) async fn insert<C: Connection>(
    connection: &mut C,
    stored: &ConversationRow,
) -> sql::Result<()> {
    let conversation = &stored.conversation;
    let values = values![
        stored.id(),
        i64::from(stored.kind().as_bits()),
        conversation.name.as_deref(),
        conversation.history.as_str(),
        conversation.join.as_str(),
        conversation.member_count as i64,
        conversation.created_at,
        stored.pair.map(|(low, _)| low),
        stored.pair.map(|(_, high)| high),
        conversation.topic.as_deref()
    ];
    connection.run(&INSERT, values).await.map(|_| ())
}
