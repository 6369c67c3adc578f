//! Removes the remaining data of an erased account, as a job in small steps that hold each row only briefly:
//! memberships, then content, then reactions. Each step may be repeated. [`super::accounts`] does the part
//! that happens at once.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::job::{Job, Stepped};
use super::journal::Recorder;
use super::{Batch, Connection, Decision, Result, Sql, Value, batch, change, statement, values};
use crate::domain::{Timestamp, UserId};
use crate::store::Step;
use crate::store::shared::codec::BLANK_REACTION;
use crate::store::shared::columns::Columns;

/// The maximum number of messages or reactions erased in one step.
const ITEMS: i64 = 200;
/// An erasure that waits longer than this for older transactions makes one pass before they end, and one pass
/// after.
const PATIENCE_MS: i64 = 1_000;

/// The progress of an erasure.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct State {
    stage: Stage,
    /// Every transaction that saw the account before its erasure began before this position.
    bound: Option<i64>,
    /// This pass began after all of those had ended, so it is the last one.
    settled: bool,
    /// One pass is already complete.
    again: bool,
    /// The client id of the last erased message.
    after: Uuid,
}

#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stage {
    #[default]
    Waiting,
    Memberships,
    Messages,
    Reactions,
}

/// What a job removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Everything of an erased account.
    Account,
    /// Messages and reactions of a suspended account.
    Content,
}

/// A node learns of a suspension within a second. Until then it accepts messages of the account, so the last
/// pass over its content begins later than that.
const UNAWARE_MS: i64 = 5_000;

/// One step.
pub(super) async fn step<C: Connection + Recorder>(
    connection: &mut C,
    job: &mut Job,
    scope: Scope,
    now: Timestamp,
) -> Decision<Stepped> {
    let mut state: State = job.state()?;
    let user = UserId::from_uuid(job.subject);
    let mut stepped = Stepped::from(Step::More);
    match state.stage {
        Stage::Waiting => stepped.step = outlast_older(connection, &mut state, job, scope, now).await?,
        Stage::Memberships if scope == Scope::Content => state.stage = Stage::Messages,
        Stage::Memberships => match change::end_memberships(connection, user, now).await? {
            Some(ended) => {
                for recorded in ended {
                    stepped.committed.extend(recorded.committed);
                    stepped.rosters.extend(recorded.roster);
                }
            }
            None => state.stage = Stage::Messages,
        },
        Stage::Messages => match messages(connection, user, state.after).await? {
            Some(after) => state.after = after,
            None => state.stage = Stage::Reactions,
        },
        Stage::Reactions if reactions(connection, user).await? => {}
        Stage::Reactions if state.settled => stepped.step = Step::Done,
        Stage::Reactions => state = State { bound: state.bound, again: true, ..State::default() },
    }
    job.keep(&state)?;
    Ok(stepped)
}

/// SQLite has one writer. So every transaction that saw the account has ended when the account is erased.
const BOUND: Sql = statement!("SELECT {taken_position}");
const SETTLED: Sql = statement! {
    postgres: "SELECT tidings_end() > $1",
    sqlite: "SELECT TRUE",
    model: "SELECT tidings_end() > $1",
};

/// Waits until every transaction that may have seen the account has ended; later steps then find everything
/// that those transactions wrote. Each transaction takes its number before it reads the account, so their
/// numbers are below one that is taken now. A transaction that stays open, in any database of the server,
/// delays the end of the erasure; the existing data is removed in the meantime.
async fn outlast_older<C: Connection>(
    connection: &mut C,
    state: &mut State,
    job: &Job,
    scope: Scope,
    now: Timestamp,
) -> Result<Step> {
    if scope == Scope::Content && now.ms_since(job.begun_at) < UNAWARE_MS {
        if state.again {
            return Ok(Step::Later);
        }
        state.stage = Stage::Memberships;
        return Ok(Step::More);
    }
    let Some(bound) = state.bound else {
        state.bound = Some(connection.one(&BOUND, values![]).await?.int(0)?);
        return Ok(Step::More);
    };
    state.settled = connection.one(&SETTLED, values![bound]).await?.flag(0)?;
    let patient = state.again || now.ms_since(job.begun_at) < PATIENCE_MS;
    if !state.settled && patient {
        return Ok(Step::Later);
    }
    state.stage = Stage::Memberships;
    Ok(Step::More)
}

/// Locks conversations in the same order as all other code. SQLite's writer is alone.
const LOCK_ALL: Sql = statement! {
    postgres: "SELECT 1 FROM conversations WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE",
    sqlite: "SELECT 1 WHERE FALSE {lock}",
};

const SOME_MESSAGES: Sql = statement!(
    "SELECT conversation, seq, client_id FROM sends WHERE sender = $1 AND client_id > $2 ORDER BY client_id LIMIT $3",
);

/// Marks conversations so that a replica is read only after it has also removed the content.
const BLANK: Batch = batch! {
    postgres: "\
        WITH v AS MATERIALIZED (SELECT * FROM unnest($1::uuid[], $2::bigint[]) AS v (conversation, seq)), \
        marked AS ( \
            UPDATE conversations SET blanked_position = tidings_position() WHERE id = ANY ($1) \
        ), edits AS ( \
            UPDATE events e SET body = NULL FROM v \
            WHERE e.conversation = v.conversation AND e.target_seq = v.seq AND e.kind = {edit} \
        ), counts AS ( \
            DELETE FROM reaction_counts c USING v WHERE c.conversation = v.conversation AND c.seq = v.seq \
        ), keys AS ( \
            UPDATE sends SET fingerprint = NULL WHERE sender = $4 AND client_id = ANY ($3) \
        ) \
        UPDATE events e SET body = NULL, extra = NULL, deleted = true FROM v \
        WHERE e.conversation = v.conversation AND e.seq = v.seq AND e.sender = $4 AND e.kind IN ({message}, {edit})",
    sqlite: [
        "UPDATE events SET body = NULL WHERE conversation = $1 AND target_seq = $2 AND kind = {edit}",
        "DELETE FROM reaction_counts WHERE conversation = $1 AND seq = $2",
        "UPDATE sends SET fingerprint = NULL WHERE sender = $4 AND client_id = $3",
        "UPDATE events SET body = NULL, extra = NULL, deleted = TRUE \
         WHERE conversation = $1 AND seq = $2 AND sender = $4 AND kind IN ({message}, {edit})",
    ],
    model: "UPDATE conversations SET blanked_position = tidings_position() WHERE id = $1",
};

/// Erases some messages, after the one with client id `after`; returns where to continue.
async fn messages<C: Connection>(connection: &mut C, user: UserId, after: Uuid) -> Result<Option<Uuid>> {
    let rows = connection.all(&SOME_MESSAGES, values![user, after, ITEMS]).await?;
    let Some(last) = rows.last() else { return Ok(None) };
    let last = last.uuid(2)?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.uuid(0)).collect::<Result<_>>()?;
    let seqs: Vec<i64> = rows.iter().map(|row| row.int(1)).collect::<Result<_>>()?;
    let keys: Vec<Uuid> = rows.iter().map(|row| row.uuid(2)).collect::<Result<_>>()?;
    let conversations = Value::uuids(ids);
    connection.run(&LOCK_ALL, std::slice::from_ref(&conversations)).await?;
    let (seqs, keys) = (Value::ints(seqs), Value::uuids(keys));
    connection.batch(&BLANK, &[conversations, seqs, keys, user.into()]).await?;
    Ok(Some(last))
}

const SOME_REACTIONS: Sql =
    statement!("SELECT conversation, seq, emoji FROM reactions WHERE user_id = $1 LIMIT $2");

const TAKE_BACK: Batch = batch! {
    postgres: "\
        WITH v AS MATERIALIZED ( \
            SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[]) AS v (conversation, seq, emoji) \
        ), marked AS ( \
            UPDATE conversations SET blanked_position = tidings_position() WHERE id = ANY ($1) \
        ), given AS ( \
            UPDATE events e SET extra = $5 FROM (SELECT DISTINCT v.conversation, v.seq FROM v) v \
            WHERE e.conversation = v.conversation AND e.target_seq = v.seq AND e.sender = $4 AND e.kind = {reaction} \
        ), said AS ( \
            DELETE FROM reactions r USING v \
            WHERE r.user_id = $4 AND r.conversation = v.conversation AND r.seq = v.seq AND r.emoji = v.emoji \
            RETURNING r.conversation, r.seq, r.emoji, r.is_on \
        ), emptied AS ( \
            DELETE FROM reaction_counts c USING said s \
            WHERE s.is_on AND c.conversation = s.conversation AND c.seq = s.seq AND c.emoji = s.emoji AND c.count <= 1 \
        ) \
        UPDATE reaction_counts c SET count = c.count - 1 FROM said s \
        WHERE s.is_on AND c.conversation = s.conversation AND c.seq = s.seq AND c.emoji = s.emoji AND c.count > 1",
    sqlite: [
        "UPDATE events SET extra = $5 WHERE conversation = $1 AND target_seq = $2 AND sender = $4 AND kind = {reaction}",
        "UPDATE reaction_counts SET count = count - 1 WHERE conversation = $1 AND seq = $2 AND emoji = $3 AND EXISTS ( \
             SELECT 1 FROM reactions WHERE user_id = $4 AND conversation = $1 AND seq = $2 AND emoji = $3 AND is_on = 1)",
        "DELETE FROM reaction_counts WHERE conversation = $1 AND seq = $2 AND emoji = $3 AND count <= 0",
        "DELETE FROM reactions WHERE user_id = $4 AND conversation = $1 AND seq = $2 AND emoji = $3",
    ],
    model: "UPDATE conversations SET blanked_position = tidings_position() WHERE id = $1",
};

/// Removes some reactions from the counts, the table and the log; false when none are left.
async fn reactions<C: Connection>(connection: &mut C, user: UserId) -> Result<bool> {
    let rows = connection.all(&SOME_REACTIONS, values![user, ITEMS]).await?;
    if rows.is_empty() {
        return Ok(false);
    }
    let ids: Vec<Uuid> = rows.iter().map(|row| row.uuid(0)).collect::<Result<_>>()?;
    let seqs: Vec<i64> = rows.iter().map(|row| row.int(1)).collect::<Result<_>>()?;
    let emoji = Value::Texts(rows.iter().map(|row| row.text(2).map(Some)).collect::<Result<_>>()?);
    let conversations = Value::uuids(ids);
    connection.run(&LOCK_ALL, std::slice::from_ref(&conversations)).await?;
    let seqs = Value::ints(seqs);
    connection.batch(&TAKE_BACK, &[conversations, seqs, emoji, user.into(), BLANK_REACTION.into()]).await?;
    Ok(true)
}
