//! Open conversations, as somebody sees them who is no member: one, a page of the channels, and a preview.

use uuid::Uuid;

use super::look::conversation_of;
use crate::domain::{Conversation, ConversationId, HistoryPolicy, JoinPolicy, Position, Seq, UserId};
use crate::store::shared::columns::Columns;
use crate::store::shared::conversation::{CONVERSATION_COLUMNS, ConversationRow};
use crate::store::sql::page::page;
use crate::store::sql::range::{Key, Question};
use crate::store::sql::{Connection, Result, Sql, statement, values};
use crate::store::{ChannelOrder, ChannelPlace, HistoryQuery, MessageView, OpenChannel, Page, Preview};

/// Above every other letter.
const LAST_LETTER: char = char::MAX;

const OPEN: Sql = statement!(
    "SELECT {conversation_columns} FROM conversations c WHERE c.id = $1 AND c.join_policy = $2 AND c.deleted_at IS NULL"
);

/// A conversation that anybody may join.
pub(super) async fn open<C: Connection>(
    connection: &mut C,
    id: ConversationId,
) -> Result<Option<Conversation>> {
    let row = connection.optional(&OPEN, values![id, JoinPolicy::Open.as_str()]).await?;
    let stored = row.map(|row| ConversationRow::read(&row, 0)).transpose()?.flatten();
    Ok(stored.map(|stored| stored.conversation))
}

/// Places are found by an index, each conversation and the user's membership by their keys.
const BY_ACTIVITY: Sql = statement!(
    "SELECT {conversation_columns}, m.user_id, o.active_at FROM ( \
         SELECT o.conversation, o.active_at FROM open_channels o WHERE (o.active_at, o.conversation) < ($2, $3) \
         ORDER BY o.active_at DESC, o.conversation DESC LIMIT $4 \
     ) o CROSS JOIN conversations c LEFT JOIN members m ON m.user_id = $1 AND m.conversation = c.id \
     WHERE c.id = o.conversation ORDER BY o.active_at DESC, o.conversation DESC"
);
const BY_NAME: Sql = statement!(
    "SELECT {conversation_columns}, m.user_id, o.name_key FROM ( \
         SELECT o.conversation, o.name_key FROM open_channels o \
         WHERE (o.name_key, o.conversation) > ($2, $3) AND o.name_key < $5 ORDER BY o.name_key, o.conversation LIMIT $4 \
     ) o CROSS JOIN conversations c LEFT JOIN members m ON m.user_id = $1 AND m.conversation = c.id \
     WHERE c.id = o.conversation ORDER BY o.name_key, o.conversation"
);

pub(super) async fn channels<C: Connection>(
    connection: &mut C,
    user: UserId,
    order: &ChannelOrder,
    after: Option<&ChannelPlace>,
    limit: usize,
) -> Result<Page<OpenChannel, ChannelPlace>> {
    let most = limit as i64 + 1;
    match order {
        ChannelOrder::Activity => {
            let (active_at, id) = match after {
                Some(ChannelPlace::Activity(active_at, id)) => (*active_at, *id.as_uuid()),
                _ => (i64::MAX, Uuid::max()),
            };
            let rows = connection.all(&BY_ACTIVITY, values![user, active_at, id, most]).await?;
            page(&rows, limit, |row| channel(row, activity), |channel| channel.place.clone())
        }
        ChannelOrder::Name(prefix) => {
            let prefix = prefix.replace('\0', "").to_ascii_lowercase();
            let beyond = format!("{prefix}{LAST_LETTER}");
            let (name, id) = match after {
                Some(ChannelPlace::Name(name, id)) if *name >= prefix => (name.as_str(), *id.as_uuid()),
                _ => (prefix.as_str(), Uuid::nil()),
            };
            let asked = values![user, name, id, most, beyond.as_str()];
            let rows = connection.all(&BY_NAME, asked).await?;
            page(&rows, limit, |row| channel(row, name_of), |channel| channel.place.clone())
        }
    }
}

fn channel<R: Columns>(
    row: &R,
    place: fn(&R, usize, ConversationId) -> Result<ChannelPlace>,
) -> Result<Option<OpenChannel>> {
    let Some(stored) = ConversationRow::read(row, 0)? else { return Ok(None) };
    let is_member = row.user_or_null(CONVERSATION_COLUMNS)?.is_some();
    let place = place(row, CONVERSATION_COLUMNS + 1, stored.id())?;
    Ok(Some(OpenChannel { conversation: stored.conversation, is_member, place }))
}

fn activity(row: &impl Columns, at: usize, id: ConversationId) -> Result<ChannelPlace> {
    Ok(ChannelPlace::Activity(row.int(at)?, id))
}

fn name_of(row: &impl Columns, at: usize, id: ConversationId) -> Result<ChannelPlace> {
    Ok(ChannelPlace::Name(row.text(at)?, id))
}

pub(super) async fn preview<C: Connection>(
    connection: &mut C,
    user: UserId,
    id: ConversationId,
    limit: usize,
) -> Result<Option<Preview>> {
    let Some(before) = open(connection, id).await? else { return Ok(None) };
    let messages = newest(connection, user, &before, limit).await?;
    // After the messages: where anybody may join and read everything now, anybody may see what was said
    // before. The other way round the messages could be of later than the closing of the conversation.
    let (Some(stored), membership) = conversation_of(connection, id, user).await? else { return Ok(None) };
    let conversation = stored.conversation;
    if conversation.join != JoinPolicy::Open {
        return Ok(None);
    }
    let shown = conversation.history == HistoryPolicy::All;
    let messages = if shown { messages } else { Vec::new() };
    Ok(Some(Preview { conversation, is_member: membership.is_some(), messages }))
}

/// Content of the messages in a preview, at most.
const PREVIEW_BYTES: usize = 256 * 1024;

/// The newest messages of a conversation in which a newcomer would see them all.
async fn newest<C: Connection>(
    connection: &mut C,
    user: UserId,
    conversation: &Conversation,
    limit: usize,
) -> Result<Vec<MessageView>> {
    if conversation.history != HistoryPolicy::All {
        return Ok(Vec::new());
    }
    let (first, last) = (Seq::ZERO.next(), conversation.last_seq);
    let key = Key { conversation: conversation.id, user, first, last, blanked: Position(0) };
    let query = HistoryQuery {
        conversation: conversation.id,
        before: None,
        after: None,
        limit,
        max_bytes: PREVIEW_BYTES,
    };
    let seen = query.read(connection, &key).await?;
    Ok(seen.map(|seen| seen.answer.messages).unwrap_or_default())
}
