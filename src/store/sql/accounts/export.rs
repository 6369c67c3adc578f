//! All data of a user as lines of JSON, one section after another, each ordered by its key.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::users;
use crate::domain::{EventKind, FamilyId, JsonText, Role, Timestamp, UserId, Username};
use crate::store::shared::codec::decode;
use crate::store::shared::columns::{Columns, impossible};
use crate::store::sql::{Connection, Result, Sql, statement, values};

/// Lines, and the place to continue from.
type Step = (Vec<String>, Option<String>);

/// One step that begins at the place `after`: a section's name and the last key of it.
pub(super) async fn export<C: Connection>(
    connection: &mut C,
    user: UserId,
    after: Option<&str>,
    limit: usize,
) -> Result<Step> {
    let (section, key) = after.map_or(("profile", ""), |after| after.split_once(':').unwrap_or((after, "")));
    // No key has the character NUL, and Postgres accepts no text with it.
    let section = if key.contains('\0') { "" } else { section };
    match section {
        "profile" => profile(connection, user).await,
        "sessions" => sessions(connection, user, key, limit).await,
        "conversations" => conversations(connection, user, key, limit).await,
        "messages" => messages(connection, user, key, limit).await,
        "reactions" => reactions(connection, user, key, limit).await,
        "blocks" => blocks(connection, user).await,
        _ => Ok((Vec::new(), None)),
    }
}

/// The id of a key; the lowest id when the key is none.
fn id_key(key: &str) -> Uuid {
    Uuid::try_parse(key).unwrap_or_default()
}

fn next(section: &str, following: &str, last: Option<String>, lines: usize, limit: usize) -> Option<String> {
    match last {
        Some(key) if lines == limit => Some(format!("{section}:{key}")),
        Some(_) | None => Some(following.to_owned()),
    }
}

async fn profile<C: Connection>(connection: &mut C, user: UserId) -> Result<Step> {
    let Some(user) = users::find(connection, user).await? else { return Ok((Vec::new(), None)) };
    let line = json!({
        "type": "profile",
        "id": user.id.to_string(),
        "username": user.username.as_ref().map(Username::as_str),
        "display_name": user.display_name,
        "guest": user.guest,
        "created_at": user.created_at.to_string(),
    });
    Ok((vec![line.to_string()], Some("sessions".to_owned())))
}

/// Ended ones too, as long as they are kept.
const SESSIONS: Sql = statement!(
    "SELECT id, device_name, network, created_at, used_at, revoked_at FROM families \
     WHERE user_id = $1 AND id > $2 ORDER BY id LIMIT $3",
);

async fn sessions<C: Connection>(connection: &mut C, user: UserId, key: &str, limit: usize) -> Result<Step> {
    let rows = connection.all(&SESSIONS, values![user, id_key(key), limit as i64]).await?;
    let line = |row: &C::Row| {
        let ended_at = row.int_or_null(5)?.map(|at| Timestamp::from_unix_ms(at).to_string());
        let line = json!({
            "type": "session",
            "session": FamilyId::from_uuid(row.uuid(0)?).to_string(),
            "device_name": row.text_or_null(1)?,
            "network": row.text(2)?,
            "created_at": row.time(3)?.to_string(),
            "last_used_at": row.time(4)?.to_string(),
            "ended_at": ended_at,
        });
        Ok(line.to_string())
    };
    let lines: Vec<String> = rows.iter().map(line).collect::<Result<_>>()?;
    let last = rows.last().map(|row| row.uuid(0)).transpose()?.map(|id| id.simple().to_string());
    let next = next("sessions", "conversations", last, lines.len(), limit);
    Ok((lines, next))
}

/// SQLite joins the tables in the order of the text.
const CONVERSATIONS: Sql = statement!(
    "SELECT c.id, c.name, m.role, m.joined_seq, m.delivered_seq, m.read_seq, c.topic \
     FROM members m CROSS JOIN conversations c \
     WHERE c.id = m.conversation AND m.user_id = $1 AND m.conversation > $2 AND c.deleted_at IS NULL \
     ORDER BY m.conversation LIMIT $3",
);

async fn conversations<C: Connection>(
    connection: &mut C,
    user: UserId,
    key: &str,
    limit: usize,
) -> Result<Step> {
    let rows = connection.all(&CONVERSATIONS, values![user, id_key(key), limit as i64]).await?;
    let line = |row: &C::Row| {
        let role = Role::from_stored(i16::try_from(row.int(2)?).unwrap_or_default());
        let line = json!({
            "type": "conversation",
            "conversation": row.conversation(0)?.to_string(),
            "kind": row.conversation(0)?.kind().as_str(),
            "name": row.text_or_null(1)?,
            "topic": row.text_or_null(6)?,
            "role": role.as_str(),
            "joined_seq": row.int(3)?,
            "delivered_seq": row.int(4)?,
            "read_seq": row.int(5)?,
        });
        Ok(line.to_string())
    };
    let lines: Vec<String> = rows.iter().map(line).collect::<Result<_>>()?;
    let last = rows.last().map(|row| row.uuid(0)).transpose()?.map(|id| id.simple().to_string());
    let next = next("conversations", "messages", last, lines.len(), limit);
    Ok((lines, next))
}

/// The table has keys of edits too; they are skipped.
const MESSAGES: Sql = statement!(
    "SELECT {event_columns} FROM sends s CROSS JOIN events e WHERE e.conversation = s.conversation AND e.seq = s.seq AND e.kind = {message} \
     AND e.client_id = s.client_id AND s.sender = $1 AND s.client_id > $2 ORDER BY s.client_id LIMIT $3"
);

async fn messages<C: Connection>(connection: &mut C, user: UserId, key: &str, limit: usize) -> Result<Step> {
    let rows = connection.all(&MESSAGES, values![user, id_key(key), limit as i64]).await?;
    let lines: Vec<String> = rows.iter().map(message).collect::<Result<_>>()?;
    let last =
        rows.last().map(|row| row.client_id(5)).transpose()?.map(|id| id.as_uuid().simple().to_string());
    let next = next("messages", "reactions", last, lines.len(), limit);
    Ok((lines, next))
}

fn message(row: &impl Columns) -> Result<String> {
    let event = decode(row)?;
    let EventKind::Message(message) = &event.kind else {
        return Err(impossible("a send that names no message"));
    };
    let value =
        |json: &Option<JsonText>| json.as_ref().and_then(|text| serde_json::from_str::<Json>(&text.0).ok());
    let mentions: Vec<String> = message.content.mentions.iter().map(UserId::to_string).collect();
    let line = json!({
        "type": "message",
        "conversation": event.conversation.to_string(),
        "seq": event.seq.get(),
        "message_id": message.id(event.sender).to_string(),
        "client_id": message.client_id.to_string(),
        "sent_at": event.sent_at.to_string(),
        "edited_at": message.edited_at.map(|at| at.to_string()),
        "deleted": message.deleted,
        "body": message.content.body,
        "reply_to": message.content.reply_to.map(crate::domain::Seq::get),
        "mentions": mentions,
        "attachments": value(&message.content.attachments),
        "data": value(&message.content.data),
    });
    Ok(line.to_string())
}

const REACTIONS: Sql = statement!(
    "SELECT conversation, seq, emoji, is_on FROM reactions \
     WHERE user_id = $1 AND (conversation, seq, emoji) > ($2, $3, $4) ORDER BY conversation, seq, emoji LIMIT $5",
);

async fn reactions<C: Connection>(connection: &mut C, user: UserId, key: &str, limit: usize) -> Result<Step> {
    let mut parts = key.splitn(3, ':');
    let id = id_key(parts.next().unwrap_or_default());
    let seq: i64 = parts.next().and_then(|seq| seq.parse().ok()).unwrap_or_default();
    let emoji = parts.next().unwrap_or_default();
    let rows = connection.all(&REACTIONS, values![user, id, seq, emoji, limit as i64]).await?;
    let line = |row: &C::Row| {
        let line = json!({
            "type": "reaction",
            "conversation": row.conversation(0)?.to_string(),
            "seq": row.int(1)?,
            "emoji": row.text(2)?,
            "on": row.flag(3)?,
        });
        Ok(line.to_string())
    };
    let lines: Vec<String> = rows.iter().map(line).collect::<Result<_>>()?;
    let last = match rows.last() {
        Some(row) => Some(format!("{}:{}:{}", row.uuid(0)?.simple(), row.int(1)?, row.text(2)?)),
        None => None,
    };
    let next = next("reactions", "blocks", last, lines.len(), limit);
    Ok((lines, next))
}

async fn blocks<C: Connection>(connection: &mut C, user: UserId) -> Result<Step> {
    let blocked = users::blocks(connection, user).await?;
    let line = |user: &UserId| json!({ "type": "block", "user": user.to_string() }).to_string();
    Ok((blocked.iter().map(line).collect(), None))
}
