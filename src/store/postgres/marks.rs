//! Receipts: how far devices have received and users have read.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use super::PostgresStore;
use super::link::Link;
use super::roster::rosters_of;
use super::work::{unrefused, write};
use crate::domain::{ConversationId, ConversationKind, Seq, UserId};
use crate::store::shared::columns::Columns;
use crate::store::shared::roster::Roster;
use crate::store::sql;
use crate::store::{Mark, Marked, StoreError};

const MARK: &str = "SELECT user_id, conversation, delivered, read FROM tidings_mark($1, $2, $3, $4)";

/// The furthest positions asked for per member.
struct Asked {
    users: Vec<Uuid>,
    conversations: Vec<Uuid>,
    delivered: Vec<i64>,
    read: Vec<i64>,
    /// In which order the members were first named.
    order: HashMap<(UserId, ConversationId), usize>,
}

impl Asked {
    fn of(marks: &[Mark]) -> Self {
        let mut asked = Self {
            users: Vec::new(),
            conversations: Vec::new(),
            delivered: Vec::new(),
            read: Vec::new(),
            order: HashMap::new(),
        };
        for mark in marks {
            let at = *asked.order.entry((mark.user, mark.conversation)).or_insert_with(|| {
                asked.users.push(*mark.user.as_uuid());
                asked.conversations.push(*mark.conversation.as_uuid());
                asked.delivered.push(0);
                asked.read.push(0);
                asked.users.len() - 1
            });
            let read = mark.read.unwrap_or_default().as_stored();
            asked.read[at] = asked.read[at].max(read);
            asked.delivered[at] =
                asked.delivered[at].max(mark.delivered.unwrap_or_default().as_stored()).max(read);
        }
        asked
    }
}

pub(super) async fn mark(store: &PostgresStore, marks: &[Mark]) -> Result<Vec<Marked>, StoreError> {
    if marks.is_empty() {
        return Ok(Vec::new());
    }
    let asked = Asked::of(marks);
    let (marked, rosters) = unrefused(write!(store, |link| in_transaction(link, store, &asked)))?;
    for (conversation, roster) in rosters {
        store.rosters.keep(conversation, roster).await;
    }
    Ok(marked)
}

async fn in_transaction(
    link: &mut Link,
    store: &PostgresStore,
    asked: &Asked,
) -> sql::Result<(Vec<Marked>, HashMap<ConversationId, Roster>)> {
    let statement = sqlx::query(MARK)
        .bind(&asked.users)
        .bind(&asked.conversations)
        .bind(&asked.delivered)
        .bind(&asked.read);
    let mut moved = Vec::new();
    for row in link.all(statement).await? {
        moved.push((row.user(0)?, row.conversation(1)?, row.seq(2)?, row.seq(3)?));
    }
    moved.sort_unstable_by_key(|(user, id, ..)| asked.order.get(&(*user, *id)).copied());
    let ids: Vec<ConversationId> = moved.iter().map(|(_, id, ..)| *id).collect();
    let rosters = rosters_of(link, &store.rosters, &ids).await?;
    let known = |seq: Seq| Some(seq).filter(|seq| *seq > Seq::ZERO);
    let marked = moved
        .into_iter()
        .map(|(user, conversation, delivered, read)| {
            let audience = match (conversation.kind(), rosters.get(&conversation)) {
                (ConversationKind::Direct | ConversationKind::Group, Some(roster)) => {
                    Arc::clone(&roster.users)
                }
                (_, _) => [user].into(),
            };
            let mark = Mark { user, conversation, delivered: known(delivered), read: known(read) };
            Marked { mark, audience }
        })
        .collect();
    Ok((marked, rosters))
}
