//! Edits, deletions and reactions.

use super::{Made, Request, storable};
use crate::domain::{ClientId, EventKind, Refusal, Seq, UserId, permissions};
use crate::store::postgres::link::Link;
use crate::store::shared::columns::Columns;
use crate::store::shared::room::Room;
use crate::store::sql::Stop;

/// How many different reactions one message may have.
const MOST_REACTIONS: i64 = 100;

/// The message that a change is about.
struct Target {
    seq: Seq,
    sender: UserId,
    client_id: ClientId,
    body: Option<String>,
    deleted: bool,
    edit_seq: Option<Seq>,
    delete_seq: Option<Seq>,
}

/// The message at `seq` if the actor, a member, may see it.
async fn target(request: &mut Request<'_>, seq: Seq) -> Result<Target, Stop> {
    let visible = request.member()?.member.first_visible(request.room.conversation.history);
    let row = request
        .link
        .optional(
            sqlx::query(
                "SELECT seq, sender, client_id, body, deleted, edit_seq, delete_seq FROM events \
         WHERE conversation = $1 AND seq = $2 AND kind = 0",
            )
            .bind(*request.room.id().as_uuid())
            .bind(seq.as_stored()),
        )
        .await?;
    let row = row.filter(|_| seq >= visible).ok_or(Refusal::NotFound)?;
    Ok(Target {
        seq: row.seq(0)?,
        sender: row.user(1)?,
        client_id: row.client_id(2)?,
        body: row.text_or_null(3)?,
        deleted: row.flag(4)?,
        edit_seq: row.int_or_null(5)?.map(Seq::from_stored),
        delete_seq: row.int_or_null(6)?.map(Seq::from_stored),
    })
}

/// New words do not pass a block, whichever way they come.
async fn not_blocked(link: &mut Link, room: &Room) -> Result<(), Stop> {
    let Some((low, high)) = room.pair else { return Ok(()) };
    let row = link
        .one(
            sqlx::query(
                "SELECT EXISTS (SELECT 1 FROM blocks WHERE blocker = $1 AND blocked = $2) \
         OR EXISTS (SELECT 1 FROM blocks WHERE blocker = $2 AND blocked = $1)",
            )
            .bind(*low.as_uuid())
            .bind(*high.as_uuid()),
        )
        .await?;
    if row.flag(0)? { Err(Refusal::Blocked.into()) } else { Ok(()) }
}

pub(super) async fn edit(mut request: Request<'_>, seq: Seq, body: &str) -> Result<Made, Stop> {
    let message = target(&mut request, seq).await?;
    permissions::may_edit(request.actor, message.sender)?;
    if message.deleted {
        return Err(Refusal::NotFound.into());
    }
    if message.body.as_deref() == Some(body) {
        return Ok(Made::before(message.edit_seq.unwrap_or(message.seq)));
    }
    storable("body", body)?;
    not_blocked(request.link, &request.room).await?;
    let (actor, now) = (request.actor, request.now);
    let mut journal = request.journal().await?;
    let edit_seq = journal.record(actor, EventKind::Edit { target: seq, body: Some(body.to_owned()) });
    journal.link.run(sqlx::query(
        "UPDATE events SET body = $3, edited_at = $4, edit_seq = $5 WHERE conversation = $1 AND seq = $2",
    )
    .bind(*journal.room.id().as_uuid())
    .bind(seq.as_stored())
    .bind(body)
    .bind(now.as_unix_ms())
    .bind(edit_seq.as_stored())
    ).await?;
    Ok(Made { seq: edit_seq, recorded: journal.close().await? })
}

pub(super) async fn delete(mut request: Request<'_>, seq: Seq) -> Result<Made, Stop> {
    let message = target(&mut request, seq).await?;
    let role = request.member()?.member.role;
    permissions::may_delete(&request.room.conversation, request.actor, role, message.sender)?;
    if message.deleted {
        return Ok(Made::before(message.delete_seq.unwrap_or(message.seq)));
    }
    let actor = request.actor;
    let mut journal = request.journal().await?;
    let delete_seq = journal.record(actor, EventKind::Delete { target: seq });
    let conversation = *journal.room.id().as_uuid();
    // A short text can be guessed from its hash: with the content goes what was made of it.
    let blank = sqlx::query(
        "WITH message AS ( \
             UPDATE events SET body = NULL, extra = NULL, deleted = true, delete_seq = $3 WHERE conversation = $1 AND seq = $2 \
         ), edits AS ( \
             UPDATE events SET body = NULL WHERE conversation = $1 AND target_seq = $2 AND kind = 1 \
         ), counts AS ( \
             DELETE FROM reaction_counts WHERE conversation = $1 AND seq = $2 \
         ) \
         UPDATE sends SET fingerprint = NULL WHERE sender = $4 AND client_id = $5",
    );
    let blank = blank.bind(conversation).bind(seq.as_stored()).bind(delete_seq.as_stored());
    let blank = blank.bind(*message.sender.as_uuid()).bind(*message.client_id.as_uuid());
    journal.link.run(blank).await?;
    Ok(Made { seq: delete_seq, recorded: journal.close().await? })
}

pub(super) async fn react(mut request: Request<'_>, seq: Seq, emoji: &str, on: bool) -> Result<Made, Stop> {
    let message = target(&mut request, seq).await?;
    if message.deleted {
        return Err(Refusal::NotFound.into());
    }
    storable("emoji", emoji)?;
    let (actor, id) = (request.actor, *request.room.id().as_uuid());
    let said = request.link.optional(sqlx::query(
        "SELECT is_on, event_seq FROM reactions WHERE user_id = $1 AND conversation = $2 AND seq = $3 AND emoji = $4",
    )
    .bind(*actor.as_uuid())
    .bind(id)
    .bind(seq.as_stored())
    .bind(emoji)
    ).await?;
    match said {
        Some(row) if row.flag(0)? == on => return Ok(Made::before(row.seq(1)?)),
        // Never given: it has been off since the message came.
        None if !on => return Ok(Made::before(message.seq)),
        Some(_) | None => {}
    }
    if on {
        not_blocked(request.link, &request.room).await?;
        room_for_another(&mut request, seq, emoji).await?;
    }
    let mut journal = request.journal().await?;
    let event_seq = journal.record(actor, EventKind::Reaction { target: seq, emoji: emoji.to_owned(), on });
    let counted = sqlx::query(if on { REACTED } else { UNREACTED });
    let counted = counted.bind(*actor.as_uuid()).bind(id).bind(seq.as_stored()).bind(emoji);
    journal.link.run(counted.bind(on).bind(event_seq.as_stored())).await?;
    Ok(Made { seq: event_seq, recorded: journal.close().await? })
}

macro_rules! said {
    () => {
        "WITH said AS ( \
             INSERT INTO reactions (user_id, conversation, seq, emoji, is_on, event_seq) VALUES ($1, $2, $3, $4, $5, $6) \
             ON CONFLICT (user_id, conversation, seq, emoji) \
             DO UPDATE SET is_on = excluded.is_on, event_seq = excluded.event_seq \
         )"
    };
}

const REACTED: &str = concat!(
    said!(),
    " INSERT INTO reaction_counts (conversation, seq, emoji, count, first_seq) VALUES ($2, $3, $4, 1, $6) \
     ON CONFLICT (conversation, seq, emoji) DO UPDATE SET count = reaction_counts.count + 1"
);

const UNREACTED: &str = concat!(
    said!(),
    ", last AS (DELETE FROM reaction_counts WHERE conversation = $2 AND seq = $3 AND emoji = $4 AND count <= 1) \
     UPDATE reaction_counts SET count = count - 1 WHERE conversation = $2 AND seq = $3 AND emoji = $4 AND count > 1"
);

/// A history page carries every reaction of its messages, so their number is bounded.
async fn room_for_another(request: &mut Request<'_>, seq: Seq, emoji: &str) -> Result<(), Stop> {
    let row = request
        .link
        .one(
            sqlx::query(
                "SELECT count(*) FROM reaction_counts WHERE conversation = $1 AND seq = $2 AND emoji <> $3",
            )
            .bind(*request.room.id().as_uuid())
            .bind(seq.as_stored())
            .bind(emoji),
        )
        .await?;
    if row.int(0)? < MOST_REACTIONS {
        Ok(())
    } else {
        Err(Refusal::TooLarge("the message has too many different reactions").into())
    }
}
