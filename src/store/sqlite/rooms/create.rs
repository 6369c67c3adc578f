//! Making a conversation with its members.

use std::collections::BTreeSet;

use sqlx::sqlite::SqliteConnection;

use super::insert::{NewMember, insert_members, insert_rooms};
use super::invited;
use crate::domain::{
    Conversation, ConversationId, ConversationKind, Position, Refusal, Role, Seq, Timestamp, UserId,
};
use crate::store::shared::columns::Columns;
use crate::store::shared::room::Room;
use crate::store::sql::{self, Stop};
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::journal::{Journal, Recorded};
use crate::store::sqlite::lane::Phase;
use crate::store::sqlite::position;
use crate::store::{Created, NewConversation, Outcome};

pub(in crate::store::sqlite) async fn create(
    store: &SqliteStore,
    new: &NewConversation,
    now: Timestamp,
) -> Outcome<Created> {
    let phase = Phase::default();
    let work = async {
        let mut transaction = store.writer.begin().await?;
        let worked = in_transaction(store, &mut transaction, new, now).await;
        transaction.finish(worked, &phase).await
    };
    let recorded = match phase.bound(store.timeout, work).await? {
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
    store: &SqliteStore,
    connection: &mut SqliteConnection,
    new: &NewConversation,
    now: Timestamp,
) -> Result<Option<Recorded>, Stop> {
    let there = sqlx::query("SELECT deleted_at IS NOT NULL FROM conversations WHERE id = ?1")
        .bind(*new.id.as_uuid())
        .fetch_optional(&mut *connection)
        .await?;
    match there.map(|row| row.flag(0)).transpose()? {
        Some(true) => return Err(Refusal::NotFound.into()),
        Some(false) => return Ok(None),
        None => {}
    }
    if new.name.as_ref().is_some_and(|name| name.contains('\0')) {
        return Err(Refusal::Invalid("name: must not contain the character NUL".into()).into());
    }
    let others: BTreeSet<UserId> = new.members.iter().copied().filter(|user| *user != new.creator).collect();
    may_be_made(store, new, &others)?;
    let everyone: Vec<UserId> = [new.creator].into_iter().chain(others.iter().copied()).collect();
    let living = invited(connection, new.creator, &everyone).await?;
    if living.len() < everyone.len() {
        return Err(Refusal::NotFound.into());
    }
    let direct = new.id.kind() == ConversationKind::Direct;
    if living.iter().any(|user| user.blocks_actor || (direct && user.blocked_by_actor)) {
        return Err(Refusal::Blocked.into());
    }
    if direct {
        let other = others.first().copied().unwrap_or(new.creator);
        return Ok(Some(make_direct(connection, new.id, new.creator, other, now).await?));
    }
    Ok(Some(make_room(store, connection, new, &others, now).await?))
}

fn may_be_made(store: &SqliteStore, new: &NewConversation, others: &BTreeSet<UserId>) -> Result<(), Refusal> {
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
    connection: &mut SqliteConnection,
    id: ConversationId,
    one: UserId,
    other: UserId,
    now: Timestamp,
) -> sql::Result<Recorded> {
    let room = Room::new_direct(id, one, other, now);
    let changed_position = position::take(connection).await?;
    let users: BTreeSet<UserId> = [one, other].into();
    let members: Vec<NewMember> = users
        .into_iter()
        .map(|user| NewMember {
            user,
            conversation: id,
            role: Role::Member,
            joined_seq: Seq::ZERO,
            read_count: 0,
            changed_position,
        })
        .collect();
    insert_rooms(connection, &[room]).await?;
    insert_members(connection, &members).await?;
    Ok(Recorded::default())
}

async fn make_room(
    store: &SqliteStore,
    connection: &mut SqliteConnection,
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
    insert_rooms(connection, std::slice::from_ref(&room)).await?;
    let mut journal = Journal::open(connection, &store.rosters, room, now).await?;
    journal.join(new.creator, new.creator, Role::Owner).await?;
    for user in others {
        journal.join(new.creator, *user, Role::Member).await?;
    }
    journal.close().await
}
