//! Sign-ins (families of refresh tokens), and what ended.

use crate::domain::{FamilyId, Timestamp, UserId};
use crate::store::postgres::link::Link;
use crate::store::shared::columns::Columns;
use crate::store::sql;
use crate::store::{Family, FamilyRotation, NewFamily, Revocation, RevocationCursor};

/// Most revocations answered at once.
const PAGE: i64 = 1_000;

pub(super) async fn add(link: &mut Link, new: &NewFamily, now: Timestamp) -> sql::Result<()> {
    // Sign-ins that nobody renewed go when their user signs in again, so they cannot pile up.
    for statement in [
        "DELETE FROM spent_tokens WHERE family IN (SELECT id FROM families WHERE user_id = $1 AND expires_at <= $2)",
        "DELETE FROM families WHERE user_id = $1 AND expires_at <= $2",
    ] {
        link.run(sqlx::query(statement).bind(*new.user.as_uuid()).bind(now.as_unix_ms())).await?;
    }
    link.run(
        sqlx::query("INSERT INTO families (id, user_id, token_hash, expires_at) VALUES ($1, $2, $3, $4)")
            .bind(*new.id.as_uuid())
            .bind(*new.user.as_uuid())
            .bind(new.token_hash.as_slice())
            .bind(new.expires_at.as_unix_ms()),
    )
    .await?;
    Ok(())
}

pub(super) async fn rotate(
    link: &mut Link,
    presented: &[u8; 32],
    replacement: &[u8; 32],
    expires_at: Timestamp,
    now: Timestamp,
) -> sql::Result<FamilyRotation> {
    // Of two that present one token at once the second waits here, and then finds it spent.
    let newest = link.optional(sqlx::query(
        "SELECT id, user_id, expires_at FROM families WHERE token_hash = $1 AND revoked_at IS NULL AND expires_at > $2 \
         FOR NO KEY UPDATE",
    )
    .bind(presented.as_slice())
    .bind(now.as_unix_ms())
    ).await?;
    let Some(row) = newest else { return reused(link, presented, now).await };
    let family = Family { id: FamilyId::from_uuid(row.uuid(0)?), user: row.user(1)? };
    link.run(
        sqlx::query("DELETE FROM spent_tokens WHERE family = $1 AND expires_at <= $2")
            .bind(*family.id.as_uuid())
            .bind(now.as_unix_ms()),
    )
    .await?;
    link.run(
        sqlx::query("INSERT INTO spent_tokens (token_hash, family, expires_at) VALUES ($1, $2, $3)")
            .bind(presented.as_slice())
            .bind(*family.id.as_uuid())
            .bind(row.int(2)?),
    )
    .await?;
    link.run(
        sqlx::query("UPDATE families SET token_hash = $2, expires_at = $3 WHERE id = $1")
            .bind(*family.id.as_uuid())
            .bind(replacement.as_slice())
            .bind(expires_at.as_unix_ms()),
    )
    .await?;
    Ok(FamilyRotation::Rotated(family))
}

/// A token that was rotated away: two hold the sign-in, and nobody can tell which of them is the owner.
async fn reused(link: &mut Link, presented: &[u8; 32], now: Timestamp) -> sql::Result<FamilyRotation> {
    let spent = link
        .optional(
            sqlx::query(
                "SELECT f.id, f.user_id FROM spent_tokens s JOIN families f ON f.id = s.family \
         WHERE s.token_hash = $1 AND s.expires_at > $2 AND f.revoked_at IS NULL",
            )
            .bind(presented.as_slice())
            .bind(now.as_unix_ms()),
        )
        .await?;
    let Some(row) = spent else { return Ok(FamilyRotation::Refused) };
    let family = Family { id: FamilyId::from_uuid(row.uuid(0)?), user: row.user(1)? };
    revoke(link, family.user, Some(family.id), now).await?;
    Ok(FamilyRotation::Reused(family))
}

pub(super) async fn revoke(
    link: &mut Link,
    user: UserId,
    family: Option<FamilyId>,
    now: Timestamp,
) -> sql::Result<Revocation> {
    link.run(sqlx::query("UPDATE families SET revoked_at = $3 WHERE user_id = $1 AND id = coalesce($2, id) AND revoked_at IS NULL")
        .bind(*user.as_uuid())
        .bind(family.map(|family| *family.as_uuid()))
        .bind(now.as_unix_ms())
        ).await?;
    let revocation = Revocation { user, family, at: now, final_: false };
    write(link, &revocation).await?;
    Ok(revocation)
}

pub(super) async fn revoke_others(
    link: &mut Link,
    user: UserId,
    keep: Option<FamilyId>,
    now: Timestamp,
) -> sql::Result<Vec<Revocation>> {
    let rows = link.all(sqlx::query(
        "UPDATE families SET revoked_at = $3 WHERE user_id = $1 AND id IS DISTINCT FROM $2 AND revoked_at IS NULL RETURNING id",
    )
    .bind(*user.as_uuid())
    .bind(keep.map(|family| *family.as_uuid()))
    .bind(now.as_unix_ms())
    ).await?;
    let mut revocations = Vec::with_capacity(rows.len());
    for row in &rows {
        let family = Some(FamilyId::from_uuid(row.uuid(0)?));
        let revocation = Revocation { user, family, at: now, final_: false };
        write(link, &revocation).await?;
        revocations.push(revocation);
    }
    Ok(revocations)
}

pub(super) async fn write(link: &mut Link, revocation: &Revocation) -> sql::Result<()> {
    link.run(
        sqlx::query(
            "WITH next AS (UPDATE meta SET value = value + 1 WHERE name = 'revocations' RETURNING value) \
         INSERT INTO revocations (id, user_id, family, at, is_final) SELECT value, $1, $2, $3, $4 FROM next",
        )
        .bind(*revocation.user.as_uuid())
        .bind(revocation.family.map(|family| *family.as_uuid()))
        .bind(revocation.at.as_unix_ms())
        .bind(revocation.final_),
    )
    .await?;
    Ok(())
}

pub(super) async fn revocations(
    link: &mut Link,
    cursor: RevocationCursor,
) -> sql::Result<(Vec<Revocation>, RevocationCursor)> {
    let rows = link.all(sqlx::query(
        "SELECT id, user_id, family, at, is_final FROM revocations WHERE id > $1 ORDER BY id LIMIT $2",
    )
    .bind(i64::try_from(cursor).unwrap_or(i64::MAX))
    .bind(PAGE)
    ).await?;
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

pub(super) async fn forget(link: &mut Link, before: Timestamp) -> sql::Result<()> {
    link.run(sqlx::query("DELETE FROM revocations WHERE at < $1").bind(before.as_unix_ms())).await?;
    Ok(())
}
