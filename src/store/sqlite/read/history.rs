//! Pages of messages with their reactions.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sqlx::sqlite::{SqliteConnection, SqliteRow};

use crate::domain::{ConversationId, Event, Seq, UserId};
use crate::store::shared::codec::{decode, event_columns};
use crate::store::shared::columns::Columns;
use crate::store::sql::{self, Stop};
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::lane::Phase;
use crate::store::sqlite::state::membership_of;
use crate::store::{HistoryPage, HistoryQuery, MessageView, Outcome, ReactionCount};

pub(in crate::store::sqlite) async fn history(
    store: &SqliteStore,
    user: UserId,
    query: HistoryQuery,
) -> Outcome<HistoryPage> {
    let work = async {
        let mut transaction = store.reader.begin().await?;
        let worked = in_snapshot(&mut transaction, user, query).await;
        transaction.end(worked).await
    };
    Phase::default().bound(store.timeout, work).await
}

async fn in_snapshot(
    connection: &mut SqliteConnection,
    user: UserId,
    query: HistoryQuery,
) -> Result<HistoryPage, Stop> {
    let (room, membership) = membership_of(connection, query.conversation, user).await?;
    let visible = membership.member.first_visible(room.conversation.history);
    let limit = query.limit.max(1);
    let (mut rows, backwards) = match (query.before, query.after) {
        (None, Some(after)) => {
            let first = visible.max(after.next());
            (page(connection, FORWARDS, query.conversation, first, Seq::MAX, limit).await?, false)
        }
        (before, _) => {
            let last = before.map_or(Seq::MAX, Seq::previous);
            (page(connection, BACKWARDS, query.conversation, visible, last, limit).await?, true)
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

const FORWARDS: &str = concat!(
    "SELECT ",
    event_columns!(),
    " FROM events e WHERE e.conversation = ?1 AND e.seq BETWEEN ?2 AND ?3 AND e.kind = 0 ORDER BY e.seq LIMIT ?4"
);
const BACKWARDS: &str = concat!(
    "SELECT ",
    event_columns!(),
    " FROM events e WHERE e.conversation = ?1 AND e.seq BETWEEN ?2 AND ?3 AND e.kind = 0 ORDER BY e.seq DESC LIMIT ?4"
);

/// One row more than the page holds tells whether more lie beyond.
async fn page(
    connection: &mut SqliteConnection,
    statement: &'static str,
    conversation: ConversationId,
    first: Seq,
    last: Seq,
    limit: usize,
) -> sql::Result<Vec<SqliteRow>> {
    let rows = sqlx::query(statement)
        .bind(*conversation.as_uuid())
        .bind(first.as_stored())
        .bind(last.as_stored())
        .bind(limit as i64 + 1)
        .fetch_all(connection);
    Ok(rows.await?)
}

async fn reactions(
    connection: &mut SqliteConnection,
    user: UserId,
    conversation: ConversationId,
    events: &[Event],
) -> sql::Result<HashMap<Seq, Vec<ReactionCount>>> {
    let (Some(first), Some(last)) = (events.first(), events.last()) else { return Ok(HashMap::new()) };
    let counts = sqlx::query(
        "SELECT seq, emoji, count FROM reaction_counts WHERE conversation = ?1 AND seq BETWEEN ?2 AND ?3 \
         ORDER BY seq, first_seq",
    )
    .bind(*conversation.as_uuid())
    .bind(first.seq.as_stored())
    .bind(last.seq.as_stored())
    .fetch_all(&mut *connection)
    .await?;
    if counts.is_empty() {
        return Ok(HashMap::new());
    }
    let own = sqlx::query(
        "SELECT seq, emoji FROM reactions \
         WHERE user_id = ?4 AND conversation = ?1 AND seq BETWEEN ?2 AND ?3 AND is_on = 1",
    )
    .bind(*conversation.as_uuid())
    .bind(first.seq.as_stored())
    .bind(last.seq.as_stored())
    .bind(*user.as_uuid())
    .fetch_all(connection)
    .await?;
    let own = own.iter().map(|row| Ok((row.seq(0)?, row.text(1)?))).collect::<sql::Result<HashSet<_>>>()?;
    let mut reactions = HashMap::<Seq, Vec<ReactionCount>>::new();
    for row in &counts {
        let (seq, emoji) = (row.seq(0)?, row.text(1)?);
        let me = own.contains(&(seq, emoji.clone()));
        reactions.entry(seq).or_default().push(ReactionCount { emoji, count: row.count(2)?, me });
    }
    Ok(reactions)
}
