//! Erasing an account, in steps that each hold the writer for a moment only. Every step may be repeated.

use sqlx::sqlite::{SqliteConnection, SqliteRow};

use crate::domain::{Committed, Refusal, Timestamp, UserId};
use crate::store::shared::codec::BLANK_REACTION;
use crate::store::shared::columns::Columns;
use crate::store::sql::accounts::{Erase, families};
use crate::store::sql::{self, Stop};
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::checkpoint::checkpoint;
use crate::store::sqlite::lane::{Phase, Transaction};
use crate::store::sqlite::rows::MultiRow;
use crate::store::{Outcome, Revocation};

/// Messages or reactions blanked in one step.
const ITEMS: i64 = 200;

/// Runs `$work` on the writing connection, in one transaction.
macro_rules! write {
    ($store:expr, |$connection:ident| $work:expr) => {{
        let phase = Phase::default();
        let work = async {
            let mut transaction: Transaction = $store.writer.begin().await?;
            let $connection: &mut SqliteConnection = &mut transaction;
            let worked = $work.await.map_err(Stop::from);
            transaction.finish(worked, &phase).await
        };
        phase.bound($store.timeout, work).await
    }};
}

impl Erase for SqliteStore {
    async fn erase(&self, user: UserId, now: Timestamp) -> Outcome<Vec<Committed>> {
        erase(self, user, now).await
    }
}

async fn erase(store: &SqliteStore, user: UserId, now: Timestamp) -> Outcome<Vec<Committed>> {
    if let Err(refusal) = write!(store, |connection| account(connection, user, now))? {
        return Ok(Err(refusal));
    }
    let mut committed = Vec::new();
    while let Some(ended) =
        write!(store, |connection| sql::change::end_memberships(connection, user, now))?.unwrap_or_default()
    {
        for recorded in ended {
            if let Some((conversation, roster)) = recorded.roster {
                store.rosters.keep(conversation, roster).await;
            }
            committed.extend(recorded.committed);
        }
    }
    let mut after = Some(Vec::new());
    while let Some(from) = after {
        after = write!(store, |connection| messages(connection, user, &from))?.unwrap_or_default();
    }
    while write!(store, |connection| reactions(connection, user))?.unwrap_or_default() {}
    checkpoint(store).await?;
    Ok(Ok(committed))
}

/// The profile, and everything that lets anybody in or keeps anybody out.
async fn account(connection: &mut SqliteConnection, user: UserId, now: Timestamp) -> Result<(), Stop> {
    let row = sqlx::query("SELECT erased_at IS NOT NULL FROM users WHERE id = ?1")
        .bind(*user.as_uuid())
        .fetch_optional(&mut *connection)
        .await?;
    if row.ok_or(Refusal::NotFound)?.flag(0)? {
        return Ok(());
    }
    for statement in [
        "UPDATE users SET username = NULL, display_name = 'deleted', guest = 0, erased_at = ?2 WHERE id = ?1",
        "DELETE FROM credentials WHERE user_id = ?1",
        "DELETE FROM devices WHERE user_id = ?1",
        "DELETE FROM spent_tokens WHERE family IN (SELECT id FROM families WHERE user_id = ?1)",
        "DELETE FROM families WHERE user_id = ?1",
        "DELETE FROM blocks WHERE blocker = ?1",
        "DELETE FROM blocks WHERE blocked = ?1",
    ] {
        sqlx::query(statement).bind(*user.as_uuid()).bind(now.as_unix_ms()).execute(&mut *connection).await?;
    }
    let revocation = Revocation { user, family: None, at: now, final_: true };
    Ok(families::write(connection, &revocation).await?)
}

static MESSAGES: MultiRow = MultiRow::new(
    "WITH v (conversation, seq) AS (VALUES ",
    2,
    ") UPDATE events SET body = NULL, extra = NULL, deleted = 1 FROM v \
     WHERE events.conversation = v.conversation AND events.seq = v.seq",
);
static EDITS: MultiRow = MultiRow::new(
    "WITH v (conversation, seq) AS (VALUES ",
    2,
    ") UPDATE events SET body = NULL FROM v \
     WHERE events.conversation = v.conversation AND events.target_seq = v.seq AND events.kind = 1",
);
static COUNTS: MultiRow = MultiRow::new(
    "WITH v (conversation, seq) AS (VALUES ",
    2,
    ") DELETE FROM reaction_counts WHERE (conversation, seq) IN (SELECT conversation, seq FROM v)",
);

/// Blanks some messages, after the one under client id `after`; answers where to go on.
async fn messages(
    connection: &mut SqliteConnection,
    user: UserId,
    after: &[u8],
) -> sql::Result<Option<Vec<u8>>> {
    let rows = sqlx::query(
        "SELECT conversation, seq, client_id FROM sends WHERE sender = ?1 AND client_id > ?2 ORDER BY client_id LIMIT ?3",
    )
    .bind(*user.as_uuid())
    .bind(after)
    .bind(ITEMS)
    .fetch_all(&mut *connection)
    .await?;
    let Some(last) = rows.last() else { return Ok(None) };
    let last = last.client_id(2)?.as_uuid().as_bytes().to_vec();
    let found: Vec<_> =
        rows.iter().map(|row| Ok((row.conversation(0)?, row.seq(1)?))).collect::<sql::Result<_>>()?;
    for statement in [&MESSAGES, &EDITS, &COUNTS] {
        statement
            .execute(connection, &found, |query, (id, seq)| query.bind(*id.as_uuid()).bind(seq.as_stored()))
            .await?;
    }
    sqlx::query(
        "UPDATE sends SET fingerprint = NULL WHERE sender = ?1 AND client_id > ?2 AND client_id <= ?3",
    )
    .bind(*user.as_uuid())
    .bind(after)
    .bind(last.as_slice())
    .execute(connection)
    .await?;
    Ok(Some(last))
}

static GIVEN: MultiRow = MultiRow::new(
    "WITH v (conversation, seq, emoji, user_id, blank) AS (VALUES ",
    5,
    ") UPDATE events SET extra = v.blank FROM v WHERE events.conversation = v.conversation \
     AND events.target_seq = v.seq AND events.sender = v.user_id AND events.kind = 3",
);
static UNCOUNT: MultiRow = MultiRow::new(
    "WITH v (conversation, seq, emoji, user_id, blank) AS (VALUES ",
    5,
    ") UPDATE reaction_counts SET count = count - 1 FROM v JOIN reactions r ON r.user_id = v.user_id \
     AND r.conversation = v.conversation AND r.seq = v.seq AND r.emoji = v.emoji AND r.is_on = 1 \
     WHERE reaction_counts.conversation = v.conversation AND reaction_counts.seq = v.seq \
     AND reaction_counts.emoji = v.emoji",
);
static EMPTIED: MultiRow = MultiRow::new(
    "WITH v (conversation, seq, emoji, user_id, blank) AS (VALUES ",
    5,
    ") DELETE FROM reaction_counts WHERE (conversation, seq, emoji) IN (SELECT conversation, seq, emoji FROM v) \
     AND count <= 0",
);
static REACTIONS: MultiRow = MultiRow::new(
    "WITH v (conversation, seq, emoji, user_id, blank) AS (VALUES ",
    5,
    ") DELETE FROM reactions WHERE (user_id, conversation, seq, emoji) IN (SELECT user_id, conversation, seq, emoji FROM v)",
);

/// Takes some reactions back, from the counts, the table and the log; false when there are none left.
async fn reactions(connection: &mut SqliteConnection, user: UserId) -> sql::Result<bool> {
    let rows = sqlx::query("SELECT conversation, seq, emoji FROM reactions WHERE user_id = ?1 LIMIT ?2")
        .bind(*user.as_uuid())
        .bind(ITEMS)
        .fetch_all(&mut *connection)
        .await?;
    let read = |row: &SqliteRow| Ok((row.conversation(0)?, row.seq(1)?, row.text(2)?));
    let found: Vec<_> = rows.iter().map(read).collect::<sql::Result<_>>()?;
    for statement in [&GIVEN, &UNCOUNT, &EMPTIED, &REACTIONS] {
        statement
            .execute(connection, &found, |query, (id, seq, emoji)| {
                query
                    .bind(*id.as_uuid())
                    .bind(seq.as_stored())
                    .bind(emoji.as_str())
                    .bind(*user.as_uuid())
                    .bind(BLANK_REACTION)
            })
            .await?;
    }
    Ok(!found.is_empty())
}
