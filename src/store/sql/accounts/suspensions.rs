//! Suspensions of accounts.

use uuid::Uuid;

use super::{read_user, revocations};
use crate::domain::{AccountState, Refusal, RevocationKind, Suspension, Timestamp, UserId};
use crate::store::shared::columns::Columns;
use crate::store::shared::part::Part;
use crate::store::sql::page::page;
use crate::store::sql::{Connection, Decision, Result, Sql, job, statement, values};
use crate::store::{JobKind, Page, Revocation, SuspendedUser};

/// The columns that [`read`] reads, from a table named `s`.
pub(in crate::store::sql) const PARTS: &[Part] = &[Part::same("suspension_columns", "s.ends_at, s.reason")];

/// A suspension from its columns, beginning at `at`; `None` when there is no row.
pub(super) fn read(row: &impl Columns, at: usize) -> Result<Option<Suspension>> {
    let Some(until) = row.int_or_null(at)? else { return Ok(None) };
    Ok(Some(Suspension { until: Timestamp::from_unix_ms(until), reason: row.text_or_null(at + 1)? }))
}

const STATE: Sql = statement!(
    "SELECT {suspension_columns} FROM users u LEFT JOIN suspensions s ON s.user_id = u.id \
     WHERE u.id = $1 AND u.erased_at IS NULL"
);

pub(super) async fn state<C: Connection>(connection: &mut C, user: UserId) -> Result<AccountState> {
    match connection.optional(&STATE, values![user]).await? {
        Some(row) => Ok(AccountState::Living(read(&row, 0)?)),
        None => Ok(AccountState::Gone),
    }
}

const PRESENT: Sql =
    statement!("SELECT {suspension_columns} FROM suspensions s WHERE s.user_id = $1 AND s.ends_at > $2");

/// The suspension that keeps a user out at `now`.
pub(super) async fn of<C: Connection>(
    connection: &mut C,
    user: UserId,
    now: Timestamp,
) -> Result<Option<Suspension>> {
    match connection.optional(&PRESENT, values![user, now]).await? {
        Some(row) => read(&row, 0),
        None => Ok(None),
    }
}

const LIVING: Sql = statement!("SELECT 1 FROM users WHERE id = $1 AND erased_at IS NULL {lock}");
const SET: Sql = statement!(
    "INSERT INTO suspensions (user_id, suspended_at, ends_at, reason) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (user_id) DO UPDATE SET suspended_at = excluded.suspended_at, ends_at = excluded.ends_at, \
     reason = excluded.reason",
);

pub(super) async fn suspend<C: Connection>(
    connection: &mut C,
    user: UserId,
    suspension: &Suspension,
    removes_content: bool,
    now: Timestamp,
) -> Decision<Revocation> {
    connection.optional(&LIVING, values![user]).await?.ok_or(Refusal::NotFound)?;
    connection.run(&SET, values![user, now, suspension.until, suspension.reason.as_deref()]).await?;
    if removes_content {
        job::begin(connection, JobKind::Content, *user.as_uuid(), now).await?;
    }
    changed(connection, user, now).await
}

const LIFT: Sql = statement!("DELETE FROM suspensions WHERE user_id = $1");

pub(super) async fn lift<C: Connection>(
    connection: &mut C,
    user: UserId,
    now: Timestamp,
) -> Decision<Revocation> {
    connection.optional(&LIVING, values![user]).await?.ok_or(Refusal::NotFound)?;
    connection.run(&LIFT, values![user]).await?;
    changed(connection, user, now).await
}

/// Writes an entry that makes every node look at the suspension.
async fn changed<C: Connection>(connection: &mut C, user: UserId, now: Timestamp) -> Decision<Revocation> {
    let revocation = Revocation { user, family: None, at: now, kind: RevocationKind::Suspension };
    revocations::write(connection, &revocation).await?;
    Ok(revocation)
}

const LIST: Sql = statement!(
    "SELECT {user_columns}, {suspension_columns}, s.suspended_at FROM suspensions s JOIN users u ON u.id = s.user_id \
     WHERE s.user_id > $1 ORDER BY s.user_id LIMIT $2"
);

/// A page of suspensions, by user, those among them whose time is over too.
pub(super) async fn list<C: Connection>(
    connection: &mut C,
    after: Option<UserId>,
    limit: usize,
) -> Result<Page<SuspendedUser, UserId>> {
    let after = after.map_or_else(Uuid::nil, |user| *user.as_uuid());
    let rows = connection.all(&LIST, values![after, limit as i64 + 1]).await?;
    let suspended = |row: &C::Row| -> Result<Option<SuspendedUser>> {
        let Some(suspension) = read(row, 5)? else { return Ok(None) };
        Ok(Some(SuspendedUser { user: read_user(row, 0)?, suspension, suspended_at: row.time(7)? }))
    };
    page(&rows, limit, suspended, |suspended| suspended.user.id)
}
