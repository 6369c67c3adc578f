//! Erases guests who have not been there for long, as a job that goes over all accounts by their age.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::job::{Job, Stepped};
use super::{Connection, Decision, Error, Result, Sql, accounts, statement, values};
use crate::domain::{Timestamp, UserId};
use crate::store::shared::columns::Columns;
use crate::store::{JobKind, Step};

/// The number of accounts that a step looks at, and the maximum number of guests that it erases.
const LOOKED_AT: i64 = 200;
const ERASED: usize = 10;

/// How far the job has come.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    before: i64,
    created_at: i64,
    id: Uuid,
}

const BEGIN: Sql = statement!(
    "INSERT INTO jobs (kind, subject, begun_at, due_at, state) VALUES ($1, $2, $3, $3, $4) ON CONFLICT DO NOTHING",
);

/// Writes the job, unless it is there.
pub(super) async fn begin<C: Connection>(
    connection: &mut C,
    before: Timestamp,
    now: Timestamp,
) -> Result<()> {
    let state = State { before: before.as_unix_ms(), created_at: i64::MIN, id: Uuid::nil() };
    let state = serde_json::to_string(&state).map_err(Error::unstorable)?;
    let row = values![JobKind::Guests.as_str(), Uuid::nil(), now, state.as_str()];
    connection.run(&BEGIN, row).await.map(|_| ())
}

const SOME: Sql = statement!(
    "SELECT u.id, u.created_at, u.guest, coalesce((SELECT max(f.used_at) FROM families f WHERE f.user_id = u.id), 0) \
     FROM users u WHERE u.erased_at IS NULL AND u.created_at < $1 AND (u.created_at, u.id) > ($2, $3) \
     ORDER BY u.created_at, u.id LIMIT $4"
);

pub(super) async fn step<C: Connection>(
    connection: &mut C,
    job: &mut Job,
    now: Timestamp,
) -> Decision<Stepped> {
    let mut state: State = job.state()?;
    let rows = connection.all(&SOME, values![state.before, state.created_at, state.id, LOOKED_AT]).await?;
    let mut erased = 0;
    for row in &rows {
        if erased == ERASED {
            break;
        }
        let (id, created_at) = (row.uuid(0)?, row.int(1)?);
        if row.flag(2)? && row.int(3)? < state.before {
            accounts::erase_account(connection, UserId::from_uuid(id), now).await?;
            erased += 1;
        }
        (state.created_at, state.id) = (created_at, id);
    }
    job.keep(&state)?;
    Ok(Stepped::from(if rows.is_empty() { Step::Done } else { Step::More }))
}
