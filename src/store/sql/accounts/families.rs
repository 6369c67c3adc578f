//! Sign-ins (families of refresh tokens), and what ended.

use crate::domain::{FamilyId, Timestamp, UserId};
use crate::store::shared::columns::Columns;
use crate::store::sql::{Connection, Result, Sql, locking, values};
use crate::store::{Family, FamilyRotation, NewFamily, Revocation, RevocationCursor};

/// Most revocations answered at once.
const PAGE: i64 = 1_000;

const FORGET_ENDED_TOKENS: Sql = Sql::same(
    "DELETE FROM spent_tokens WHERE family IN (SELECT id FROM families WHERE user_id = $1 AND expires_at <= $2)",
);
const FORGET_ENDED: Sql = Sql::same("DELETE FROM families WHERE user_id = $1 AND expires_at <= $2");
const INSERT: Sql =
    Sql::same("INSERT INTO families (id, user_id, token_hash, expires_at) VALUES ($1, $2, $3, $4)");

pub(super) async fn add<C: Connection>(connection: &mut C, new: &NewFamily, now: Timestamp) -> Result<()> {
    // Sign-ins that nobody renewed go when their user signs in again, so they cannot pile up.
    connection.run(&FORGET_ENDED_TOKENS, values![new.user, now]).await?;
    connection.run(&FORGET_ENDED, values![new.user, now]).await?;
    connection.run(&INSERT, values![new.id, new.user, &new.token_hash, new.expires_at]).await?;
    Ok(())
}

/// Of two that present one token at once the second waits here, and then finds it spent.
const NEWEST: Sql = locking!(
    "SELECT id, user_id, expires_at FROM families WHERE token_hash = $1 AND revoked_at IS NULL AND expires_at > $2"
);
const FORGET_SPENT: Sql = Sql::same("DELETE FROM spent_tokens WHERE family = $1 AND expires_at <= $2");
const SPEND: Sql = Sql::same("INSERT INTO spent_tokens (token_hash, family, expires_at) VALUES ($1, $2, $3)");
const ROTATE: Sql = Sql::same("UPDATE families SET token_hash = $2, expires_at = $3 WHERE id = $1");

pub(super) async fn rotate<C: Connection>(
    connection: &mut C,
    presented: &[u8; 32],
    replacement: &[u8; 32],
    expires_at: Timestamp,
    now: Timestamp,
) -> Result<FamilyRotation> {
    let newest = connection.optional(&NEWEST, values![presented, now]).await?;
    let Some(row) = newest else { return reused(connection, presented, now).await };
    let family = Family { id: FamilyId::from_uuid(row.uuid(0)?), user: row.user(1)? };
    connection.run(&FORGET_SPENT, values![family.id, now]).await?;
    connection.run(&SPEND, values![presented, family.id, row.int(2)?]).await?;
    connection.run(&ROTATE, values![family.id, replacement, expires_at]).await?;
    Ok(FamilyRotation::Rotated(family))
}

const SPENT: Sql = Sql::same(
    "SELECT f.id, f.user_id FROM spent_tokens s JOIN families f ON f.id = s.family \
     WHERE s.token_hash = $1 AND s.expires_at > $2 AND f.revoked_at IS NULL",
);

/// A token that was rotated away: two hold the sign-in, and nobody can tell which of them is the owner.
async fn reused<C: Connection>(
    connection: &mut C,
    presented: &[u8; 32],
    now: Timestamp,
) -> Result<FamilyRotation> {
    let spent = connection.optional(&SPENT, values![presented, now]).await?;
    let Some(row) = spent else { return Ok(FamilyRotation::Refused) };
    let family = Family { id: FamilyId::from_uuid(row.uuid(0)?), user: row.user(1)? };
    revoke(connection, family.user, Some(family.id), now).await?;
    Ok(FamilyRotation::Reused(family))
}

const END: Sql = Sql::same(
    "UPDATE families SET revoked_at = $3 WHERE user_id = $1 AND id = coalesce($2, id) AND revoked_at IS NULL",
);

pub(super) async fn revoke<C: Connection>(
    connection: &mut C,
    user: UserId,
    family: Option<FamilyId>,
    now: Timestamp,
) -> Result<Revocation> {
    connection.run(&END, values![user, family, now]).await?;
    let revocation = Revocation { user, family, at: now, final_: false };
    write(connection, &revocation).await?;
    Ok(revocation)
}

const END_OTHERS: Sql = Sql::same(
    "UPDATE families SET revoked_at = $3 \
     WHERE user_id = $1 AND id IS DISTINCT FROM $2 AND revoked_at IS NULL RETURNING id",
);

pub(super) async fn revoke_others<C: Connection>(
    connection: &mut C,
    user: UserId,
    keep: Option<FamilyId>,
    now: Timestamp,
) -> Result<Vec<Revocation>> {
    let rows = connection.all(&END_OTHERS, values![user, keep, now]).await?;
    let mut revocations = Vec::with_capacity(rows.len());
    for row in &rows {
        let family = Some(FamilyId::from_uuid(row.uuid(0)?));
        let revocation = Revocation { user, family, at: now, final_: false };
        write(connection, &revocation).await?;
        revocations.push(revocation);
    }
    Ok(revocations)
}

/// Numbers are given in the order of commits, so that whoever reads by them misses none: in Postgres the row of the counter
/// is locked until the commit.
const WRITE: Sql = Sql {
    postgres: "WITH next AS (UPDATE meta SET value = value + 1 WHERE name = 'revocations' RETURNING value) \
               INSERT INTO revocations (id, user_id, family, at, is_final) SELECT value, $1, $2, $3, $4 FROM next",
    sqlite: "INSERT INTO revocations (user_id, family, at, is_final) VALUES ($1, $2, $3, $4)",
};

pub(in crate::store) async fn write<C: Connection>(
    connection: &mut C,
    revocation: &Revocation,
) -> Result<()> {
    let row = values![revocation.user, revocation.family, revocation.at, revocation.final_];
    connection.run(&WRITE, row).await.map(|_| ())
}

const AFTER: Sql =
    Sql::same("SELECT id, user_id, family, at, is_final FROM revocations WHERE id > $1 ORDER BY id LIMIT $2");

pub(super) async fn revocations<C: Connection>(
    connection: &mut C,
    cursor: RevocationCursor,
) -> Result<(Vec<Revocation>, RevocationCursor)> {
    let from = i64::try_from(cursor).unwrap_or(i64::MAX);
    let rows = connection.all(&AFTER, values![from, PAGE]).await?;
    let mut next = cursor;
    let mut revocations = Vec::with_capacity(rows.len());
    for row in &rows {
        next = row.count(0)?;
        revocations.push(Revocation {
            user: row.user(1)?,
            family: row.uuid_or_null(2)?.map(FamilyId::from_uuid),
            at: row.time(3)?,
            final_: row.flag(4)?,
        });
    }
    Ok((revocations, next))
}

const FORGET: Sql = Sql::same("DELETE FROM revocations WHERE at < $1");

pub(super) async fn forget<C: Connection>(connection: &mut C, before: Timestamp) -> Result<()> {
    connection.run(&FORGET, values![before]).await.map(|_| ())
}
