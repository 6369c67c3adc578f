//! The part of erasing an account that is done before the answer, in one transaction: the profile and all
//! credentials are deleted, and every sign-in is revoked. A job does the rest.

use super::revocations;
use crate::domain::{Refusal, Timestamp, UserId};
use crate::store::shared::columns::Columns;
use crate::store::sql::{Connection, Decision, Sql, job, statement, values};
use crate::store::{JobKind, Revocation, RevocationKind};

const STANDING: Sql = statement!("SELECT erased_at FROM users WHERE id = $1 {lock}");
const ACCOUNT: [Sql; 16] = [
    statement!(
        "UPDATE users SET username = NULL, display_name = 'deleted', guest = $3, erased_at = $2 WHERE id = $1",
    ),
    statement!("DELETE FROM name_words WHERE user_id = $1"),
    statement!("DELETE FROM credentials WHERE user_id = $1"),
    statement!("DELETE FROM one_time_passwords WHERE user_id = $1"),
    statement!("DELETE FROM second_factors WHERE user_id = $1"),
    statement!("DELETE FROM devices WHERE user_id = $1"),
    statement!("DELETE FROM spent_tokens WHERE family IN (SELECT id FROM families WHERE user_id = $1)"),
    statement!("DELETE FROM families WHERE user_id = $1"),
    statement!("DELETE FROM contacts WHERE user_id = $1"),
    statement!("DELETE FROM contacts WHERE contact = $1"),
    statement!("DELETE FROM privacy WHERE user_id = $1"),
    statement!("DELETE FROM invitations WHERE user_id = $1"),
    statement!("DELETE FROM invited WHERE user_id = $1"),
    statement!("DELETE FROM suspensions WHERE user_id = $1"),
    statement!("DELETE FROM blocks WHERE blocker = $1"),
    statement!("DELETE FROM blocks WHERE blocked = $1"),
];

/// Deletes the profile, the credentials and the blocks; the job does the rest.
pub(in crate::store) async fn erase<C: Connection>(
    connection: &mut C,
    user: UserId,
    now: Timestamp,
) -> Decision<Revocation> {
    let row = connection.optional(&STANDING, values![user]).await?.ok_or(Refusal::NotFound)?;
    if let Some(erased_at) = row.int_or_null(0)? {
        let at = Timestamp::from_unix_ms(erased_at);
        return Ok(Revocation { user, family: None, at, kind: RevocationKind::Erasure });
    }
    for statement in &ACCOUNT {
        connection.run(statement, values![user, now, false]).await?;
    }
    let revocation = Revocation { user, family: None, at: now, kind: RevocationKind::Erasure };
    revocations::write(connection, &revocation).await?;
    job::begin(connection, JobKind::Erasure, *user.as_uuid(), now).await?;
    Ok(revocation)
}
