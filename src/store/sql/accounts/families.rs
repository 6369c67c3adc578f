//! Sign-ins (families of refresh tokens) and revocations.

use std::time::Duration;

use super::{revocations, suspensions};
use crate::domain::{AddressPrefix, FamilyId, Refusal, RevocationKind, Timestamp, UserId};
use crate::store::shared::columns::Columns;
use crate::store::sql::{Connection, Decision, Result, Sql, statement, values};
use crate::store::{
    Family, FamilyRotation, ListedRevocation, NewFamily, Revocation, RevocationCursor, SignInView,
};

/// The maximum number of revocations in one answer.
const PAGE: i64 = 1_000;
/// The maximum number of sign-ins of one user. One more ends the one that would expire first.
const MOST_SIGN_INS: i64 = 100;

const FORGET_ENDED_TOKENS: Sql = statement!(
    "DELETE FROM spent_tokens WHERE family IN (SELECT id FROM families WHERE user_id = $1 AND expires_at <= $2)",
);
const FORGET_ENDED: Sql = statement!("DELETE FROM families WHERE user_id = $1 AND expires_at <= $2");
const INSERT: Sql = statement!(
    "INSERT INTO families (id, user_id, token_hash, expires_at, device_name, network, created_at, used_at, known, device_hash) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $7, TRUE, $8)",
);
const END_OLDEST: Sql = statement!(
    "UPDATE families SET revoked_at = $2 WHERE id IN ( \
         SELECT id FROM families WHERE user_id = $1 AND revoked_at IS NULL ORDER BY expires_at, id \
         LIMIT (SELECT CASE WHEN count(*) > $3 THEN count(*) - $3 ELSE 0 END \
                FROM families WHERE user_id = $1 AND revoked_at IS NULL)) \
     RETURNING id",
);

pub(super) async fn add<C: Connection>(
    connection: &mut C,
    new: &NewFamily,
    now: Timestamp,
) -> Result<Vec<Revocation>> {
    // Expired sign-ins are deleted when their user signs in again, so they cannot accumulate.
    connection.run(&FORGET_ENDED_TOKENS, values![new.user, now]).await?;
    connection.run(&FORGET_ENDED, values![new.user, now]).await?;
    let (device_name, network) = (new.device_name.as_deref(), new.network.as_str());
    let (id, token_hash, device_hash) = (new.id, &new.token_hash, new.device_hash.as_ref());
    let row = values![id, new.user, token_hash, new.expires_at, device_name, network, now, device_hash];
    connection.run(&INSERT, row).await?;
    let oldest = connection.all(&END_OLDEST, values![new.user, now, MOST_SIGN_INS]).await?;
    ended(connection, new.user, &oldest, now).await
}

const KNOWN: Sql = statement!(
    "SELECT 1 FROM families WHERE token_hash = $1 UNION ALL SELECT 1 FROM spent_tokens WHERE token_hash = $1",
);

/// Whether the token exists or existed. Presenting any other token writes nothing.
pub(super) async fn is_known<C: Connection>(connection: &mut C, presented: &[u8; 32]) -> Result<bool> {
    connection.optional(&KNOWN, values![presented]).await.map(|row| row.is_some())
}

/// If two requests present one token at once, the second waits here and then finds the token used.
const NEWEST: Sql = statement!(
    "SELECT id, user_id, \
         (SELECT s.ends_at FROM suspensions s WHERE s.user_id = families.user_id AND s.ends_at > $2), \
         (SELECT s.reason FROM suspensions s WHERE s.user_id = families.user_id) \
     FROM families WHERE token_hash = $1 AND revoked_at IS NULL AND expires_at > $2 {lock}"
);
const FORGET_SPENT: Sql = statement!("DELETE FROM spent_tokens WHERE family = $1 AND expires_at <= $2");
const SPEND: Sql = statement!(
    "INSERT INTO spent_tokens (token_hash, family, expires_at) SELECT token_hash, id, expires_at FROM families WHERE id = $1",
);
/// Uses the database's clock, which is one for all nodes.
const ROTATE: Sql = statement!(
    "UPDATE families SET previous_hash = token_hash, token_hash = $2, expires_at = $3, \
     rotated_at = {clock_ms}, used_at = $4, network = $5 WHERE id = $1"
);

pub(super) async fn rotate<C: Connection>(
    connection: &mut C,
    presented: &[u8; 32],
    replacement: &[u8; 32],
    expires_at: Timestamp,
    now: Timestamp,
    repeat_within: Duration,
    network: &AddressPrefix,
) -> Result<FamilyRotation> {
    let newest = connection.optional(&NEWEST, values![presented, now]).await?;
    let Some(row) = newest else {
        return spent(connection, presented, replacement, expires_at, now, repeat_within, network).await;
    };
    let family = Family { id: FamilyId::from_uuid(row.uuid(0)?), user: row.user(1)? };
    if let Some(suspension) = suspensions::read(&row, 2)? {
        return Ok(FamilyRotation::Suspended(suspension));
    }
    connection.run(&FORGET_SPENT, values![family.id, now]).await?;
    connection.run(&SPEND, values![family.id]).await?;
    connection.run(&ROTATE, values![family.id, replacement, expires_at, now, network.as_str()]).await?;
    Ok(FamilyRotation::Rotated(family))
}

const SPENT: Sql = statement!(
    "SELECT f.id, f.user_id FROM spent_tokens s JOIN families f ON f.id = s.family \
     WHERE s.token_hash = $1 AND s.expires_at > $2 AND f.revoked_at IS NULL",
);
const REPEATABLE: Sql = statement!(
    "SELECT 1 FROM families WHERE id = $1 AND previous_hash = $2 AND revoked_at IS NULL \
     AND {clock_ms} < rotated_at + $3 {lock}"
);
const REPLACE: Sql = statement!(
    "UPDATE families SET token_hash = $2, expires_at = $3, used_at = $4, network = $5 WHERE id = $1",
);

/// A token that was rotated before. The token before the newest may be presented again for a short time while
/// the newest was never presented, because the answer with the newest may have been lost. The newest token is
/// then invalid. Any other rotated token means that two devices have the sign-in, and the server cannot know
/// which one is the owner's.
async fn spent<C: Connection>(
    connection: &mut C,
    presented: &[u8; 32],
    replacement: &[u8; 32],
    expires_at: Timestamp,
    now: Timestamp,
    repeat_within: Duration,
    network: &AddressPrefix,
) -> Result<FamilyRotation> {
    let spent = connection.optional(&SPENT, values![presented, now]).await?;
    let Some(row) = spent else { return Ok(FamilyRotation::Refused) };
    let family = Family { id: FamilyId::from_uuid(row.uuid(0)?), user: row.user(1)? };
    if let Some(suspension) = suspensions::of(connection, family.user, now).await? {
        return Ok(FamilyRotation::Suspended(suspension));
    }
    let within_ms = i64::try_from(repeat_within.as_millis()).unwrap_or(i64::MAX);
    if connection.optional(&REPEATABLE, values![family.id, presented, within_ms]).await?.is_some() {
        rare!(RefreshRepeated);
        connection.run(&SPEND, values![family.id]).await?;
        connection.run(&REPLACE, values![family.id, replacement, expires_at, now, network.as_str()]).await?;
        return Ok(FamilyRotation::Rotated(family));
    }
    // A guest's device id is left: it is not what was stolen, and the owner's only way back.
    connection.run(&FORGET_DEVICE, values![family.user, family.id]).await?;
    let rows = connection.all(&END, values![family.user, Some(family.id), now]).await?;
    ended(connection, family.user, &rows, now).await?;
    Ok(FamilyRotation::Reused(family))
}

const END: Sql = statement!(
    "UPDATE families SET revoked_at = $3 WHERE user_id = $1 AND id = coalesce($2, id) AND revoked_at IS NULL RETURNING id",
);

const FORGET_DEVICE: Sql = statement!("UPDATE families SET known = FALSE WHERE user_id = $1 AND id = $2");
const FORGET_DEVICES: Sql =
    statement!("UPDATE families SET known = FALSE WHERE user_id = $1 AND id IS DISTINCT FROM $2 AND known");

/// The device ids of a guest's sign-ins: of one, or of all.
const FORGET_SECRETS: Sql = statement!(
    "DELETE FROM devices WHERE user_id = $1 AND device_hash IN \
     (SELECT device_hash FROM families WHERE user_id = $1 AND id = coalesce($2, id))",
);
const FORGET_OTHER_SECRETS: Sql = statement!(
    "DELETE FROM devices WHERE user_id = $1 AND device_hash IN \
     (SELECT device_hash FROM families WHERE user_id = $1 AND id IS DISTINCT FROM $2)",
);

/// All of a user's sign-ins end one by one, by their ids, so no clock decides which of them existed. Tokens
/// of another issuer belong to no sign-in; a revocation without a sign-in ends them by their `iat`.
pub(super) async fn revoke<C: Connection>(
    connection: &mut C,
    user: UserId,
    family: Option<FamilyId>,
    now: Timestamp,
) -> Result<Vec<Revocation>> {
    connection.run(&FORGET_SECRETS, values![user, family]).await?;
    let rows = connection.all(&END, values![user, family, now]).await?;
    if family.is_none() {
        connection.run(&FORGET_DEVICES, values![user, family]).await?;
    }
    let mut revocations = match family {
        // Written even if the sign-in is unknown, because its access tokens may still be valid.
        Some(_) => Vec::new(),
        None => ended(connection, user, &rows, now).await?,
    };
    let last = Revocation { user, family, at: now, kind: RevocationKind::Tokens };
    revocations::write(connection, &last).await?;
    revocations.push(last);
    Ok(revocations)
}

const END_OTHERS: Sql = statement!(
    "UPDATE families SET revoked_at = $3 \
     WHERE user_id = $1 AND id IS DISTINCT FROM $2 AND revoked_at IS NULL RETURNING id",
);

pub(super) async fn revoke_others<C: Connection>(
    connection: &mut C,
    user: UserId,
    keep: Option<FamilyId>,
    now: Timestamp,
) -> Result<Vec<Revocation>> {
    connection.run(&FORGET_DEVICES, values![user, keep]).await?;
    connection.run(&FORGET_OTHER_SECRETS, values![user, keep]).await?;
    let rows = connection.all(&END_OTHERS, values![user, keep, now]).await?;
    ended(connection, user, &rows, now).await
}

const IS_OWN: Sql = statement!("SELECT 1 FROM families WHERE user_id = $1 AND id = $2");

/// One of the user's sign-ins, ended from another.
pub(super) async fn end<C: Connection>(
    connection: &mut C,
    user: UserId,
    family: FamilyId,
    now: Timestamp,
) -> Decision<Vec<Revocation>> {
    if connection.optional(&IS_OWN, values![user, family]).await?.is_none() {
        return Err(Refusal::NotFound.into());
    }
    connection.run(&FORGET_DEVICE, values![user, family]).await?;
    connection.run(&FORGET_SECRETS, values![user, Some(family)]).await?;
    let rows = connection.all(&END, values![user, Some(family), now]).await?;
    Ok(ended(connection, user, &rows, now).await?)
}

const IS_KNOWN: Sql = statement!(
    "SELECT 1 FROM (SELECT id FROM families WHERE user_id = $1 AND known AND expires_at > $3 \
                    ORDER BY used_at DESC, id DESC LIMIT $4) f WHERE f.id = $2",
);

/// A device stays known after it signed out by itself, so the number of those that count is bounded here.
pub(super) async fn is_known_device<C: Connection>(
    connection: &mut C,
    user: UserId,
    family: FamilyId,
    now: Timestamp,
) -> Result<bool> {
    let row = connection.optional(&IS_KNOWN, values![user, family, now, MOST_SIGN_INS]).await?;
    Ok(row.is_some())
}

const LIVING: Sql = statement!(
    "SELECT id, device_name, network, created_at, used_at FROM families \
     WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2 ORDER BY used_at DESC, id DESC LIMIT $3",
);

pub(super) async fn living<C: Connection>(
    connection: &mut C,
    user: UserId,
    now: Timestamp,
) -> Result<Vec<SignInView>> {
    let rows = connection.all(&LIVING, values![user, now, MOST_SIGN_INS]).await?;
    let view = |row: &C::Row| {
        Ok(SignInView {
            id: FamilyId::from_uuid(row.uuid(0)?),
            device_name: row.text_or_null(1)?,
            network: AddressPrefix::from_stored(row.text(2)?),
            created_at: row.time(3)?,
            used_at: row.time(4)?,
        })
    };
    rows.iter().map(view).collect()
}

/// Writes a revocation for each sign-in that an update has just ended.
async fn ended<C: Connection>(
    connection: &mut C,
    user: UserId,
    rows: &[C::Row],
    now: Timestamp,
) -> Result<Vec<Revocation>> {
    let mut revocations = Vec::with_capacity(rows.len());
    for row in rows {
        let family = Some(FamilyId::from_uuid(row.uuid(0)?));
        let revocation = Revocation { user, family, at: now, kind: RevocationKind::Tokens };
        revocations::write(connection, &revocation).await?;
        revocations.push(revocation);
    }
    Ok(revocations)
}

/// Returns at least one row, for the log's epoch. Numbers of another epoch have no meaning, and the list is
/// then read from its beginning.
const AFTER: Sql = statement! {
    postgres: "SELECT log.epoch, r.id, r.user_id, r.family, r.at, r.kind, {suspension_columns} \
               FROM (SELECT tidings_epoch() AS epoch) log \
               LEFT JOIN LATERAL (SELECT * FROM revocations WHERE id > CASE WHEN log.epoch = $1 THEN $2 ELSE 0 END \
                                  ORDER BY id LIMIT $3) r ON true \
               LEFT JOIN suspensions s ON s.user_id = r.user_id ORDER BY r.id",
    sqlite: "SELECT log.value, r.id, r.user_id, r.family, r.at, r.kind, {suspension_columns} FROM meta log \
             LEFT JOIN revocations r ON r.id > CASE WHEN log.value = $1 THEN $2 ELSE 0 END \
             LEFT JOIN suspensions s ON s.user_id = r.user_id \
             WHERE log.name = 'epoch' ORDER BY r.id LIMIT $3",
};

pub(super) async fn listed<C: Connection>(
    connection: &mut C,
    cursor: RevocationCursor,
) -> Result<(Vec<ListedRevocation>, RevocationCursor)> {
    let from = i64::try_from(cursor.id).unwrap_or(i64::MAX);
    let rows = connection.all(&AFTER, values![cursor.epoch.cast_signed(), from, PAGE]).await?;
    let mut next = cursor;
    let mut revocations = Vec::with_capacity(rows.len());
    for row in &rows {
        let epoch = row.int(0)?.cast_unsigned();
        if epoch != next.epoch {
            next = RevocationCursor { epoch, id: 0 };
        }
        let Some(id) = row.int_or_null(1)? else { continue };
        next.id = u64::try_from(id).unwrap_or(0);
        let revocation = Revocation {
            user: row.user(2)?,
            family: row.uuid_or_null(3)?.map(FamilyId::from_uuid),
            at: row.time(4)?,
            kind: revocations::kind_of(row.int(5)?),
        };
        let suspension = match revocation.kind {
            RevocationKind::Suspension => suspensions::read(row, 6)?,
            RevocationKind::Tokens | RevocationKind::Erasure => None,
        };
        revocations.push(ListedRevocation { revocation, suspension });
    }
    Ok((revocations, next))
}

const FORGET: Sql = statement!("DELETE FROM revocations WHERE at < $1");

pub(super) async fn forget<C: Connection>(connection: &mut C, before: Timestamp) -> Result<()> {
    connection.run(&FORGET, values![before]).await.map(|_| ())
}
