//! Pages of messages with their reactions.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::SqliteStore;
use super::connection::Connection;
use super::row::Row;
use crate::domain::{ConversationId, Event, Seq, UserId};
use crate::store::shared::codec::decode;
use crate::store::shared::columns::Columns;
use crate::store::sql::authorize::key;
use crate::store::sql::{self, Backend, Connection as _, Sql, Stop, statement, values};
use crate::store::{HistoryPage, HistoryQuery, MessageView, Outcome, ReactionCount};

pub(super) async fn history(store: &SqliteStore, user: UserId, query: HistoryQuery) -> Outcome<HistoryPage> {
    let read = store
        .read((user, query), |connection, (user, query)| Box::pin(in_snapshot(connection, *user, *query)));
    read.await
}

async fn in_snapshot(
    connection: &mut Connection,
    user: UserId,
    query: HistoryQuery,
) -> Result<HistoryPage, Stop> {
    let visible = key(connection, query.conversation, user).await?.first;
    let limit = query.limit.max(1);
    let (mut rows, backwards) = match (query.before, query.after) {
        (None, Some(after)) => {
            let first = visible.max(after.next());
            (page(connection, &FORWARDS, query.conversation, first, Seq::MAX, limit).await?, false)
        }
        (before, _) => {
            let last = before.map_or(Seq::MAX, Seq::previous);
            (page(connection, &BACKWARDS, query.conversation, visible, last, limit).await?, true)
        }
    };
    let more = rows.len() > limit;
    rows.truncate(limit);
    if backwards {
        rows.reverse();
    }
    let events = rows.iter().map(decode).collect::<sql::Result<Vec<Event>>>()?;
    let mut reactions = reactions(connection, user, query.conversation, &events).await?;
    let messages = events
        .into_iter()
        .map(|event| MessageView {
            reactions: reactions.remove(&event.seq).unwrap_or_default(),
            event: Arc::new(event),
        })
        .collect();
    Ok(HistoryPage { messages, more })
}

const FORWARDS: Sql = statement!(
    sqlite: "SELECT {event_columns} FROM events e WHERE e.conversation = $1 AND e.seq BETWEEN $2 AND $3 AND e.kind = {message} ORDER BY e.seq LIMIT $4"
);
const BACKWARDS: Sql = statement!(
    sqlite: "SELECT {event_columns} FROM events e WHERE e.conversation = $1 AND e.seq BETWEEN $2 AND $3 AND e.kind = {message} ORDER BY e.seq DESC LIMIT $4"
);

const COUNTS: Sql = statement!(sqlite:
    "SELECT seq, emoji, count FROM reaction_counts WHERE conversation = $1 AND seq BETWEEN $2 AND $3 ORDER BY seq, first_seq",
);
const OWN: Sql = statement!(sqlite:
    "SELECT seq, emoji FROM reactions WHERE user_id = $4 AND conversation = $1 AND seq BETWEEN $2 AND $3 AND is_on = 1",
);

/// One row more than the page holds tells whether more lie beyond.
async fn page(
    connection: &mut Connection,
    sql: &Sql,
    conversation: ConversationId,
    first: Seq,
    last: Seq,
    limit: usize,
) -> sql::Result<Vec<Row>> {
    connection.all(sql, values![conversation, first, last, limit as i64 + 1]).await
}

async fn reactions(
    connection: &mut Connection,
    user: UserId,
    conversation: ConversationId,
    events: &[Event],
) -> sql::Result<HashMap<Seq, Vec<ReactionCount>>> {
    let (Some(first), Some(last)) = (events.first(), events.last()) else { return Ok(HashMap::new()) };
    let values = values![conversation, first.seq, last.seq, user];
    let counts = connection.all(&COUNTS, values).await?;
    if counts.is_empty() {
        return Ok(HashMap::new());
    }
    let own = connection.all(&OWN, values).await?;
    let own = own.iter().map(|row| Ok((row.seq(0)?, row.text(1)?))).collect::<sql::Result<HashSet<_>>>()?;
    let mut reactions = HashMap::<Seq, Vec<ReactionCount>>::new();
    for row in &counts {
        let (seq, emoji) = (row.seq(0)?, row.text(1)?);
        let me = own.contains(&(seq, emoji.clone()));
        reactions.entry(seq).or_default().push(ReactionCount { emoji, count: row.count(2)?, me });
    }
    Ok(reactions)
}
