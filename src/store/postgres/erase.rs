//! Erasing an account, in steps that each hold rows for a moment only. Every step may be repeated.

use std::time::Duration;

use uuid::Uuid;

use crate::domain::{Committed, Refusal, Timestamp, UserId};
use crate::store::postgres::PostgresStore;
use crate::store::postgres::link::Link;
use crate::store::postgres::rows::Pg;
use crate::store::postgres::work::{read, unrefused, write};
use crate::store::shared::codec::BLANK_REACTION;
use crate::store::shared::columns::Columns;
use crate::store::sql::accounts::{Erase, families};
use crate::store::sql::{self, Stop};
use crate::store::{Outcome, Revocation, StoreError};

/// Messages or reactions blanked in one step.
const ITEMS: i64 = 200;
/// Between two looks at whether older transactions have ended.
const LOOK: Duration = Duration::from_millis(5);

impl Erase for PostgresStore {
    async fn erase(&self, user: UserId, now: Timestamp) -> Outcome<Vec<Committed>> {
        erase(self, user, now).await
    }
}

async fn erase(store: &PostgresStore, user: UserId, now: Timestamp) -> Outcome<Vec<Committed>> {
    if let Err(refusal) = write!(store, |link| account(link, user, now))? {
        return Ok(Err(refusal));
    }
    outlast_older(store).await?;
    let mut committed = Vec::new();
    while let Some(ended) = unrefused(write!(store, |link| sql::change::end_memberships(link, user, now)))? {
        for recorded in ended {
            if let Some((conversation, roster)) = recorded.roster {
                store.rosters.keep(conversation, roster).await;
            }
            committed.extend(recorded.committed);
        }
    }
    let mut after = Some(Uuid::nil());
    while let Some(from) = after {
        after = unrefused(write!(store, |link| messages(link, user, from)))?;
    }
    while unrefused(write!(store, |link| reactions(link, user)))? {}
    Ok(Ok(committed))
}

/// The profile, and everything that lets anybody in or keeps anybody out.
async fn account(link: &mut Link, user: UserId, now: Timestamp) -> Result<(), Stop> {
    let id = *user.as_uuid();
    let erased = sqlx::query("SELECT erased_at IS NOT NULL FROM users WHERE id = $1 FOR NO KEY UPDATE");
    if link.optional(erased.bind(id)).await?.ok_or(Refusal::NotFound)?.flag(0)? {
        return Ok(());
    }
    let profile = sqlx::query(
        "WITH password AS (DELETE FROM credentials WHERE user_id = $1), \
              device AS (DELETE FROM devices WHERE user_id = $1), \
              spent AS (DELETE FROM spent_tokens WHERE family IN (SELECT id FROM families WHERE user_id = $1)), \
              family AS (DELETE FROM families WHERE user_id = $1), \
              block AS (DELETE FROM blocks WHERE blocker = $1 OR blocked = $1) \
         UPDATE users SET username = NULL, display_name = 'deleted', guest = false, erased_at = $2 WHERE id = $1",
    );
    link.run(profile.bind(id).bind(now.as_unix_ms())).await?;
    let revocation = Revocation { user, family: None, at: now, final_: true };
    Ok(families::write(link, &revocation).await?)
}

/// Waits until every transaction that may have seen the account alive has ended. Each takes its number before it looks, so
/// those have numbers below one that is taken now; what they leave behind is found by the steps that follow.
async fn outlast_older(store: &PostgresStore) -> Result<(), StoreError> {
    let newest = unrefused(write!(store, |link| bound(link, "SELECT pg_current_xact_id()::text::bigint")))?;
    let wait = async {
        loop {
            let oldest = unrefused(read!(store, reader, |link| {
                bound(link, "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
            }))?;
            if oldest > newest {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    let late = || StoreError::indefinite("a transaction does not end; erase again");
    tokio::time::timeout(store.timeout, wait).await.unwrap_or_else(|_| Err(late()))
}

async fn bound(link: &mut Link, text: &'static str) -> sql::Result<u64> {
    link.one(sqlx::query(text)).await?.count(0)
}

/// Conversations are marked so that a replica is read only when it has lost the content too.
const BLANK: &str = "\
WITH v AS MATERIALIZED (SELECT * FROM unnest($1::uuid[], $2::bigint[]) AS v (conversation, seq)), \
marked AS ( \
    UPDATE conversations SET blanked_txid = tidings_position() WHERE id = ANY ($1) \
), edits AS ( \
    UPDATE events e SET body = NULL FROM v WHERE e.conversation = v.conversation AND e.target_seq = v.seq AND e.kind = 1 \
), counts AS ( \
    DELETE FROM reaction_counts c USING v WHERE c.conversation = v.conversation AND c.seq = v.seq \
), keys AS ( \
    UPDATE sends SET fingerprint = NULL WHERE sender = $3 AND client_id = ANY ($4) \
) \
UPDATE events e SET body = NULL, extra = NULL, deleted = true FROM v \
WHERE e.conversation = v.conversation AND e.seq = v.seq";

/// Locks conversations in the order that everybody keeps.
async fn lock_all(link: &mut Link, ids: &[Uuid]) -> sql::Result<()> {
    let statement =
        sqlx::query("SELECT 1 FROM conversations WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE");
    link.run(statement.bind(ids)).await.map(|_| ())
}

/// Blanks some messages, after the one under client id `after`; answers where to go on.
async fn messages(link: &mut Link, user: UserId, after: Uuid) -> sql::Result<Option<Uuid>> {
    let some = sqlx::query(
        "SELECT conversation, seq, client_id FROM sends WHERE sender = $1 AND client_id > $2 ORDER BY client_id LIMIT $3",
    );
    let rows = link.all(some.bind(*user.as_uuid()).bind(after).bind(ITEMS)).await?;
    let Some(last) = rows.last() else { return Ok(None) };
    let last = last.uuid(2)?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.uuid(0)).collect::<sql::Result<_>>()?;
    let seqs: Vec<i64> = rows.iter().map(|row| row.int(1)).collect::<sql::Result<_>>()?;
    let keys: Vec<Uuid> = rows.iter().map(|row| row.uuid(2)).collect::<sql::Result<_>>()?;
    lock_all(link, &ids).await?;
    link.run(sqlx::query(BLANK).bind(ids).bind(seqs).bind(*user.as_uuid()).bind(keys)).await?;
    Ok(Some(last))
}

const TAKE_BACK: &str = "\
WITH v AS MATERIALIZED (SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[]) AS v (conversation, seq, emoji)), \
marked AS ( \
    UPDATE conversations SET blanked_txid = tidings_position() WHERE id = ANY ($1) \
), given AS ( \
    UPDATE events e SET extra = $5 FROM (SELECT DISTINCT v.conversation, v.seq FROM v) v \
    WHERE e.conversation = v.conversation AND e.target_seq = v.seq AND e.sender = $4 AND e.kind = 3 \
), said AS ( \
    DELETE FROM reactions r USING v \
    WHERE r.user_id = $4 AND r.conversation = v.conversation AND r.seq = v.seq AND r.emoji = v.emoji \
    RETURNING r.conversation, r.seq, r.emoji, r.is_on \
), emptied AS ( \
    DELETE FROM reaction_counts c USING said s \
    WHERE s.is_on AND c.conversation = s.conversation AND c.seq = s.seq AND c.emoji = s.emoji AND c.count <= 1 \
) \
UPDATE reaction_counts c SET count = c.count - 1 FROM said s \
WHERE s.is_on AND c.conversation = s.conversation AND c.seq = s.seq AND c.emoji = s.emoji AND c.count > 1";

/// Takes some reactions back, from the counts, the table and the log; false when there are none left.
async fn reactions(link: &mut Link, user: UserId) -> sql::Result<bool> {
    let some = sqlx::query("SELECT conversation, seq, emoji FROM reactions WHERE user_id = $1 LIMIT $2");
    let rows = link.all(some.bind(*user.as_uuid()).bind(ITEMS)).await?;
    if rows.is_empty() {
        return Ok(false);
    }
    let ids: Vec<Uuid> = rows.iter().map(|row| row.uuid(0)).collect::<sql::Result<_>>()?;
    let seqs: Vec<i64> = rows.iter().map(|row| row.int(1)).collect::<sql::Result<_>>()?;
    let emoji: Vec<String> = rows.iter().map(|row: &Pg| row.text(2)).collect::<sql::Result<_>>()?;
    lock_all(link, &ids).await?;
    let statement = sqlx::query(TAKE_BACK).bind(ids).bind(seqs).bind(emoji);
    link.run(statement.bind(*user.as_uuid()).bind(BLANK_REACTION)).await?;
    Ok(true)
}
