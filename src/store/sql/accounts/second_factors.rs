//! Second factors of sign-ins by password.

use crate::domain::{Refusal, SecondFactor, UserId};
use crate::store::shared::columns::Columns;
use crate::store::sql::{Connection, Decision, Result, Sql, statement, values};

const FIND: Sql = statement!("SELECT secret, used_step FROM second_factors WHERE user_id = $1");

pub(super) async fn find<C: Connection>(connection: &mut C, user: UserId) -> Result<Option<SecondFactor>> {
    let row = connection.optional(&FIND, values![user]).await?;
    let read = |row: &C::Row| {
        let used_step = u64::try_from(row.int(1)?).unwrap_or_default();
        Ok(SecondFactor { secret: row.text(0)?, used_step })
    };
    row.as_ref().map(read).transpose()
}

const HAS_PASSWORD: Sql = statement!(
    "SELECT EXISTS (SELECT 1 FROM credentials c WHERE c.user_id = u.id) FROM users u \
     WHERE u.id = $1 AND u.erased_at IS NULL {lock}"
);
const SET: Sql = statement!(
    "INSERT INTO second_factors (user_id, secret, used_step) VALUES ($1, $2, 0) \
     ON CONFLICT (user_id) DO UPDATE SET secret = excluded.secret, used_step = 0",
);

/// Replaces a factor that is not confirmed.
pub(super) async fn begin<C: Connection>(connection: &mut C, user: UserId, secret: &str) -> Decision<()> {
    let row = connection.optional(&HAS_PASSWORD, values![user]).await?.ok_or(Refusal::NotFound)?;
    if !row.flag(0)? {
        return Err(Refusal::Conflict("this account has no password; claim it first").into());
    }
    if find(connection, user).await?.is_some_and(|factor| factor.is_confirmed()) {
        return Err(Refusal::Conflict("there is a second factor; end it first").into());
    }
    connection.run(&SET, values![user, secret]).await?;
    Ok(())
}

const USE: Sql = statement!(
    "UPDATE second_factors SET used_step = $3 WHERE user_id = $1 AND secret = $2 AND used_step < $3 RETURNING user_id",
);

/// Takes a code of this secret by its step; false when a code of that step or a later one was taken before.
pub(super) async fn take_code<C: Connection>(
    connection: &mut C,
    user: UserId,
    secret: &str,
    step: u64,
) -> Result<bool> {
    let step = i64::try_from(step).unwrap_or(i64::MAX);
    Ok(connection.optional(&USE, values![user, secret, step]).await?.is_some())
}

const END: Sql = statement!("DELETE FROM second_factors WHERE user_id = $1 RETURNING user_id");

/// Whether there was one.
pub(super) async fn end<C: Connection>(connection: &mut C, user: UserId) -> Result<bool> {
    Ok(connection.optional(&END, values![user]).await?.is_some())
}
