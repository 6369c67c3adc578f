//! Making a conversation with its members.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::invited;
use crate::domain::{
    Conversation, ConversationId, ConversationKind, Position, Refusal, Role, Seq, Timestamp, UserId,
};
use crate::store::postgres::PostgresStore;
use crate::store::postgres::journal::{Journal, Recorded};
use crate::store::postgres::link::Link;
use crate::store::postgres::work::write;
use crate::store::shared::columns::Columns;
use crate::store::shared::room::Room;
use crate::store::sql::{self, Stop};
use crate::store::{Created, NewConversation, Outcome};

pub(in crate::store::postgres) async fn create(
    store: &PostgresStore,
    new: &NewConversation,
    now: Timestamp,
) -> Outcome<Created> {
    let recorded = match write!(store, |link| in_transaction(store, link, new, now))? {
        Ok(recorded) => recorded,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let Some(recorded) = recorded else { return Ok(Ok(Created { existed: true, committed: Vec::new() })) };
    for (conversation, roster) in recorded.rosters {
        store.rosters.keep(conversation, roster).await;
    }
    Ok(Ok(Created { existed: false, committed: recorded.committed }))
}

/// `None` when it was there already.
async fn in_transaction(
    store: &PostgresStore,
    link: &mut Link,
    new: &NewConversation,
    now: Timestamp,
) -> Result<Option<Recorded>, Stop> {
    // The transaction takes its number before it looks at accounts: whoever erases one waits for it.
    let there = sqlx::query(
        "SELECT (SELECT deleted_at IS NOT NULL FROM conversations WHERE id = $1), tidings_position()",
    );
    let there = link.one(there.bind(*new.id.as_uuid())).await?.int_or_null(0)?;
    match there {
        Some(0) => return Ok(None),
        Some(_) => return Err(Refusal::NotFound.into()),
        None => {}
    }
    if new.name.as_ref().is_some_and(|name| name.contains('\0')) {
        return Err(Refusal::Invalid("name: must not contain the character NUL".into()).into());
    }
    let others: BTreeSet<UserId> = new.members.iter().copied().filter(|user| *user != new.creator).collect();
    may_be_made(store, new, &others)?;
    let everyone: Vec<UserId> = [new.creator].into_iter().chain(others.iter().copied()).collect();
    let living = invited(link, new.creator, &everyone).await?;
    if living.len() < everyone.len() {
        return Err(Refusal::NotFound.into());
    }
    let direct = new.id.kind() == ConversationKind::Direct;
    if living.iter().any(|user| user.blocks_actor || (direct && user.blocked_by_actor)) {
        return Err(Refusal::Blocked.into());
    }
    if direct {
        let other = others.first().copied().unwrap_or(new.creator);
        return Ok(Some(make_direct(link, new.id, new.creator, other, now).await?));
    }
    Ok(Some(make_room(store, link, new, &others, now).await?))
}

fn may_be_made(
    store: &PostgresStore,
    new: &NewConversation,
    others: &BTreeSet<UserId>,
) -> Result<(), Refusal> {
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
        ConversationKind::Group if others.len() + 1 > store.limits.group_members => {
            Err(Refusal::TooLarge("too many members for a group"))
        }
        ConversationKind::Group | ConversationKind::Channel => Ok(()),
    }
}

async fn make_direct(
    link: &mut Link,
    id: ConversationId,
    one: UserId,
    other: UserId,
    now: Timestamp,
) -> sql::Result<Recorded> {
    insert_room(link, &Room::new_direct(id, one, other, now)).await?;
    let users: BTreeSet<Uuid> = [*one.as_uuid(), *other.as_uuid()].into();
    let members = sqlx::query(
        "INSERT INTO members (user_id, conversation, role, joined_seq, role_seq, delivered_seq, read_seq, read_count, \
         changed_txid) SELECT user_id, $1, 0, 0, 0, 0, 0, 0, tidings_position() FROM unnest($2::uuid[]) AS v (user_id)",
    );
    link.run(members.bind(*id.as_uuid()).bind(users.into_iter().collect::<Vec<_>>())).await?;
    Ok(Recorded::default())
}

/// Inserts a conversation without events, at version 1 of its membership.
async fn insert_room(link: &mut Link, room: &Room) -> sql::Result<()> {
    let statement = sqlx::query(
        "INSERT INTO conversations (id, kind, name, history, join_policy, member_count, created_at, low, high, last_seq, \
         message_count, last_txid, members_version, settings_seq) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, 0, 0, 1, 0)",
    )
    .bind(*room.id().as_uuid())
    .bind(i16::from(room.kind().as_bits()))
    .bind(room.conversation.name.as_deref())
    .bind(room.conversation.history.as_str())
    .bind(room.conversation.join.as_str())
    .bind(room.conversation.member_count as i64)
    .bind(room.conversation.created_at.as_unix_ms())
    .bind(room.pair.map(|(low, _)| *low.as_uuid()))
    .bind(room.pair.map(|(_, high)| *high.as_uuid()));
    link.run(statement).await.map(|_| ())
}

async fn make_room(
    store: &PostgresStore,
    link: &mut Link,
    new: &NewConversation,
    others: &BTreeSet<UserId>,
    now: Timestamp,
) -> sql::Result<Recorded> {
    let room = Room {
        conversation: Conversation {
            id: new.id,
            name: new.name.clone(),
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
    };
    insert_room(link, &room).await?;
    let mut journal = Journal::open(link, &store.rosters, room, now).await?;
    journal.join(new.creator, new.creator, Role::Owner);
    for user in others {
        journal.join(new.creator, *user, Role::Member);
    }
    journal.close().await
}
