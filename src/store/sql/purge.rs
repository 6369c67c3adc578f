//! Removes the content of a deleted conversation: a job, in steps that hold their rows only briefly. The
//! transaction that deletes the conversation writes the job (on Postgres `tidings_record`).

use serde::{Deserialize, Serialize};

use super::job::{Job, Stepped};
use super::{Connection, Decision, Sql, statement, values};
use crate::domain::Seq;
use crate::store::shared::codec::BLANK_REACTION;
use crate::store::shared::columns::Columns;
use crate::store::{Purged, Step};

/// The maximum number of events that one step processes.
const STEP: u64 = 500;

const END: Sql = statement!("SELECT id, last_seq FROM conversations WHERE id = $1");

/// Keys and reactions are deleted first, while the events still name them.
const BLANK: [Sql; 4] = [
    statement! {
        postgres: "UPDATE sends s SET fingerprint = NULL FROM events e \
                   WHERE e.conversation = $1 AND e.seq BETWEEN $2 AND $3 AND e.kind IN ({message}, {edit}) \
                   AND s.sender = e.sender AND s.client_id = e.client_id",
        sqlite: "UPDATE sends SET fingerprint = NULL FROM (SELECT sender, client_id FROM events \
                 WHERE conversation = $1 AND seq BETWEEN $2 AND $3 AND kind IN ({message}, {edit})) v \
                 WHERE sends.sender = v.sender AND sends.client_id = v.client_id",
    },
    statement! {
        postgres: "DELETE FROM reactions r USING events e \
                   WHERE e.conversation = $1 AND e.seq BETWEEN $2 AND $3 AND e.kind = {reaction} \
                   AND r.user_id = e.sender AND r.conversation = e.conversation AND r.seq = e.target_seq",
        sqlite: "DELETE FROM reactions WHERE (user_id, conversation, seq) IN (SELECT sender, conversation, target_seq FROM events \
                 WHERE conversation = $1 AND seq BETWEEN $2 AND $3 AND kind = {reaction})",
    },
    statement!("DELETE FROM reaction_counts WHERE conversation = $1 AND seq BETWEEN $2 AND $3"),
    // Earlier names and topics of the conversation, and reasons of bans, are removed too; the last ones went
    // with the deletion.
    statement! {
        postgres: "UPDATE events SET \
                   body = CASE WHEN kind IN ({message}, {edit}) THEN NULL ELSE body END, deleted = deleted OR kind = {message}, \
                   extra = CASE kind WHEN {message} THEN NULL WHEN {edit} THEN NULL WHEN {reaction} THEN $4 ELSE (extra::jsonb - 'name' - 'topic' - 'reason')::text END \
                   WHERE conversation = $1 AND seq BETWEEN $2 AND $3 AND kind IN ({message}, {edit}, {reaction}, {changed})",
        sqlite: "UPDATE events SET \
                 body = CASE WHEN kind IN ({message}, {edit}) THEN NULL ELSE body END, deleted = deleted OR kind = {message}, \
                 extra = CASE kind WHEN {message} THEN NULL WHEN {edit} THEN NULL WHEN {reaction} THEN $4 ELSE json_remove(extra, '$.name', '$.topic', '$.reason') END \
                 WHERE conversation = $1 AND seq BETWEEN $2 AND $3 AND kind IN ({message}, {edit}, {reaction}, {changed})",
    },
];

/// The progress of a purge.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct State {
    /// The content is removed up to this seq.
    purged_seq: u64,
}

/// One step.
pub(super) async fn step<C: Connection>(connection: &mut C, job: &mut Job) -> Decision<Stepped> {
    let state: State = job.state()?;
    let row = connection.one(&END, values![job.subject]).await?;
    let (conversation, end) = (row.conversation(0)?, row.seq(1)?);
    let before = Seq::new(state.purged_seq).unwrap_or(Seq::ZERO);
    let (first, last) = (before.next(), before.plus(STEP).min(end));
    for sql in &BLANK {
        connection.run(sql, values![conversation, first, last, BLANK_REACTION]).await?;
    }
    job.keep(&State { purged_seq: last.get() })?;
    let left = end.get() - last.get();
    let events = last.get().saturating_sub(before.get());
    let step = if left > 0 { Step::More } else { Step::Done };
    Ok(Stepped { purged: Some(Purged { conversation, events, left }), ..Stepped::from(step) })
}
