//! Passwords that an operator sets for a user who has lost theirs.

use super::users::keep_password;
use crate::domain::{Refusal, UserId};
use crate::store::shared::columns::Columns;
use crate::store::sql::{Connection, Decision, Result, Sql, statement, values};

const HAS_NAME: Sql =
    statement!("SELECT username IS NOT NULL FROM users WHERE id = $1 AND erased_at IS NULL {lock}");
const SET: Sql = statement!(
    "INSERT INTO one_time_passwords (user_id, ends_at, used) VALUES ($1, {clock_ms} + $2, 0) \
     ON CONFLICT (user_id) DO UPDATE SET ends_at = excluded.ends_at, used = 0",
);

/// Replaces the password.
pub(super) async fn set<C: Connection>(
    connection: &mut C,
    user: UserId,
    hash: &str,
    lasts_ms: i64,
) -> Decision<()> {
    let row = connection.optional(&HAS_NAME, values![user]).await?.ok_or(Refusal::NotFound)?;
    if !row.flag(0)? {
        return Err(
            Refusal::Conflict("this account has no username, so nobody signs in to it by password").into()
        );
    }
    keep_password(connection, user, hash).await?;
    connection.run(&SET, values![user, lasts_ms]).await?;
    Ok(())
}

const TAKE: Sql =
    statement!("UPDATE one_time_passwords SET used = 1 WHERE user_id = $1 AND used = 0 RETURNING user_id");

/// Whether it had signed nobody in before.
pub(super) async fn take<C: Connection>(connection: &mut C, user: UserId) -> Result<bool> {
    Ok(connection.optional(&TAKE, values![user]).await?.is_some())
}
