//! Profiles, passwords and blocks.

use super::names;
use crate::domain::permissions::Block;
use crate::domain::{Refusal, User, UserId, Username};
use crate::store::shared::columns::{Columns, impossible};
use crate::store::shared::part::Part;
use crate::store::sql::{Connection, Decision, Result, Sql, Value, statement, values};
use crate::store::{Credentials, NewUser, NewUserOutcome};

/// The columns that [`read_user`] reads, from a table named `u`.
pub(in crate::store::sql) const PARTS: &[Part] =
    &[Part::same("user_columns", "u.id, u.username, u.display_name, u.guest, u.created_at")];

/// A user from its columns, beginning at `at`.
pub(in crate::store) fn read_user(row: &impl Columns, at: usize) -> Result<User> {
    let username = row.text_or_null(at + 1)?.map(|name| Username::parse(&name)).transpose();
    Ok(User {
        id: row.user(at)?,
        username: username.map_err(|_| impossible("a username that breaks the rule for usernames"))?,
        display_name: row.text(at + 2)?,
        guest: row.flag(at + 3)?,
        created_at: row.time(at + 4)?,
    })
}

const INSERT: Sql = statement!(
    "INSERT INTO users (id, username, display_name, guest, created_at) VALUES ($1, $2, $3, $4, $5)",
);
const INSERT_DEVICE: Sql = statement!("INSERT INTO devices (device_hash, user_id) VALUES ($1, $2)");

pub(super) async fn create<C: Connection>(connection: &mut C, new: &NewUser) -> Result<NewUserOutcome> {
    if let Some(user) = existing(connection, new).await? {
        return Ok(NewUserOutcome::Existing(user));
    }
    let user = &new.user;
    let username = user.username.as_ref().map(Username::as_str);
    if taken(connection, username.unwrap_or_default()).await? {
        return Ok(NewUserOutcome::UsernameTaken);
    }
    // Postgres cannot store the character NUL; a name from another issuer may contain it.
    let name = user.display_name.replace('\0', "");
    let row = values![user.id, username, name.as_str(), user.guest, user.created_at];
    connection.run(&INSERT, row).await?;
    names::keep(connection, user.id, &name, user.username.as_ref()).await?;
    if let Some(hash) = &new.password_hash {
        keep_password(connection, user.id, hash).await?;
    }
    if let Some(device) = &new.device_hash {
        connection.run(&INSERT_DEVICE, values![device, user.id]).await?;
    }
    Ok(NewUserOutcome::Created)
}

const EXISTING: Sql = statement!(
    "SELECT {user_columns} FROM users u WHERE u.id = $1 OR u.id = (SELECT user_id FROM devices WHERE device_hash = $2)"
);

async fn existing<C: Connection>(connection: &mut C, new: &NewUser) -> Result<Option<User>> {
    let row = connection.optional(&EXISTING, values![new.user.id, new.device_hash.as_ref()]).await?;
    row.map(|row| read_user(&row, 0)).transpose()
}

const TAKEN: Sql = statement!("SELECT EXISTS (SELECT 1 FROM users WHERE username = $1)");

async fn taken<C: Connection>(connection: &mut C, username: &str) -> Result<bool> {
    connection.one(&TAKEN, values![username]).await?.flag(0)
}

const FORGET_ONE_TIME: Sql = statement!("DELETE FROM one_time_passwords WHERE user_id = $1");
const KEEP_PASSWORD: Sql = statement!(
    "INSERT INTO credentials (user_id, password_hash) VALUES ($1, $2) \
     ON CONFLICT (user_id) DO UPDATE SET password_hash = excluded.password_hash",
);

pub(super) async fn keep_password<C: Connection>(connection: &mut C, id: UserId, hash: &str) -> Result<()> {
    connection.run(&FORGET_ONE_TIME, values![id]).await?;
    connection.run(&KEEP_PASSWORD, values![id, hash]).await.map(|_| ())
}

const FIND: Sql = statement!("SELECT {user_columns} FROM users u WHERE u.id = $1");

pub(super) async fn find<C: Connection>(connection: &mut C, id: UserId) -> Result<Option<User>> {
    let row = connection.optional(&FIND, values![id]).await?;
    row.map(|row| read_user(&row, 0)).transpose()
}

const SEVERAL: Sql = statement!("SELECT {user_columns} FROM users u WHERE u.id {one_of $1}");

/// These users, in this order.
pub(super) async fn several<C: Connection>(connection: &mut C, ids: &[UserId]) -> Result<Vec<User>> {
    let asked = Value::uuids(ids.iter().map(|id| *id.as_uuid()));
    let rows = connection.each(&SEVERAL, values![asked]).await?;
    let mut users = rows.iter().map(|row| read_user(row, 0)).collect::<Result<Vec<_>>>()?;
    users.sort_by_key(|user| ids.iter().position(|id| *id == user.id));
    Ok(users)
}

const NAMED: Sql = statement!("SELECT {user_columns} FROM users u WHERE u.username = $1");

pub(super) async fn named<C: Connection>(connection: &mut C, username: &Username) -> Result<Option<User>> {
    let row = connection.optional(&NAMED, values![username.as_str()]).await?;
    row.map(|row| read_user(&row, 0)).transpose()
}

const FIRST: Sql = statement!(
    "SELECT {user_columns} FROM users u WHERE u.erased_at IS NULL ORDER BY u.created_at, u.id LIMIT 1"
);

/// The oldest account that was not erased.
pub(super) async fn first<C: Connection>(connection: &mut C) -> Result<Option<User>> {
    let row = connection.optional(&FIRST, &[]).await?;
    row.map(|row| read_user(&row, 0)).transpose()
}

const LIVING: Sql =
    statement!("SELECT {user_columns} FROM users u WHERE u.id = $1 AND u.erased_at IS NULL {lock}");

/// An account that exists and is not erased, and stays so for the whole transaction.
pub(in crate::store) async fn living<C: Connection>(connection: &mut C, id: UserId) -> Decision<User> {
    let row = connection.optional(&LIVING, values![id]).await?.ok_or(Refusal::NotFound)?;
    Ok(read_user(&row, 0)?)
}

const CREDENTIALS: Sql = statement!(
    "SELECT {user_columns}, c.password_hash, o.user_id IS NOT NULL FROM users u \
     JOIN credentials c ON c.user_id = u.id LEFT JOIN one_time_passwords o ON o.user_id = u.id \
     WHERE u.username = $1 AND (o.ends_at IS NULL OR o.ends_at > {clock_ms})"
);

pub(super) async fn credentials<C: Connection>(
    connection: &mut C,
    username: &Username,
) -> Result<Option<Credentials>> {
    let row = connection.optional(&CREDENTIALS, values![username.as_str()]).await?;
    let read = |row: C::Row| {
        let (user, password_hash) = (read_user(&row, 0)?, row.text(5)?);
        Ok(Credentials { user, password_hash, one_time: row.flag(6)? })
    };
    row.map(read).transpose()
}

const PASSWORD_HASH: Sql = statement!(
    "SELECT c.password_hash FROM credentials c LEFT JOIN one_time_passwords o ON o.user_id = c.user_id \
     WHERE c.user_id = $1 AND (o.ends_at IS NULL OR o.ends_at > {clock_ms})"
);

pub(super) async fn password_hash<C: Connection>(connection: &mut C, id: UserId) -> Result<Option<String>> {
    let row = connection.optional(&PASSWORD_HASH, values![id]).await?;
    row.map(|row| row.text(0)).transpose()
}

const RENAME: Sql = statement!("UPDATE users SET display_name = $2 WHERE id = $1");

pub(super) async fn rename<C: Connection>(
    connection: &mut C,
    id: UserId,
    display_name: &str,
) -> Decision<User> {
    let user = living(connection, id).await?;
    if display_name.contains('\0') {
        return Err(Refusal::Invalid("display_name: must not contain the character NUL".into()).into());
    }
    connection.run(&RENAME, values![id, display_name]).await?;
    names::replace(connection, id, display_name, user.username.as_ref()).await?;
    Ok(User { display_name: display_name.to_owned(), ..user })
}

pub(super) async fn set_password<C: Connection>(connection: &mut C, id: UserId, hash: &str) -> Decision<()> {
    living(connection, id).await?;
    Ok(keep_password(connection, id, hash).await?)
}

const REPLACE_HASH: Sql = statement!(
    "UPDATE credentials SET password_hash = $3 WHERE user_id = $1 AND password_hash = $2 RETURNING user_id",
);

pub(super) async fn replace_password_hash<C: Connection>(
    connection: &mut C,
    id: UserId,
    stored: &str,
    replacement: &str,
) -> Result<bool> {
    Ok(connection.optional(&REPLACE_HASH, values![id, stored, replacement]).await?.is_some())
}

const CLAIM: Sql = statement!("UPDATE users SET username = $2, guest = $3 WHERE id = $1");
const FORGET_DEVICES: Sql = statement!("DELETE FROM devices WHERE user_id = $1");

pub(super) async fn claim<C: Connection>(
    connection: &mut C,
    id: UserId,
    username: &Username,
    hash: &str,
) -> Decision<User> {
    let user = living(connection, id).await?;
    if !user.guest {
        return Err(Refusal::Conflict("only a guest can be claimed").into());
    }
    if taken(connection, username.as_str()).await? {
        return Err(Refusal::Conflict("this username is taken").into());
    }
    connection.run(&CLAIM, values![id, username.as_str(), false]).await?;
    names::replace(connection, id, &user.display_name, Some(username)).await?;
    // From now on the password signs in; knowing the device id alone does not any more.
    connection.run(&FORGET_DEVICES, values![id]).await?;
    keep_password(connection, id, hash).await?;
    Ok(User { username: Some(username.clone()), guest: false, ..user })
}

const BLOCKS: Sql = statement!("SELECT blocked FROM blocks WHERE blocker = $1 ORDER BY blocked LIMIT $2");

pub(super) async fn blocks<C: Connection>(connection: &mut C, user: UserId) -> Result<Vec<UserId>> {
    connection.all(&BLOCKS, values![user, MOST_BLOCKS]).await?.iter().map(|row| row.user(0)).collect()
}

const BLOCKED_WITH: Sql = statement!(
    "SELECT blocked, FALSE FROM blocks WHERE blocker = $1 \
     UNION ALL SELECT blocker, TRUE FROM blocks WHERE blocked = $1 LIMIT $2",
);

pub(super) async fn blocked_with<C: Connection>(
    connection: &mut C,
    user: UserId,
    limit: usize,
) -> Result<Vec<(UserId, Block)>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = connection.all(&BLOCKED_WITH, values![user, limit]).await?;
    rows.iter().map(|row| Ok((row.user(0)?, Block::one(row.flag(1)?)))).collect()
}

/// The maximum number of users that one user may block: one answer contains the whole list.
const MOST_BLOCKS: i64 = 10_000;

const UNBLOCK: Sql = statement!("DELETE FROM blocks WHERE blocker = $1 AND blocked = $2");
const COUNT_BLOCKS: Sql = statement!("SELECT count(*) FROM blocks WHERE blocker = $1");
const BLOCK: Sql = statement!("INSERT INTO blocks (blocker, blocked) VALUES ($1, $2) ON CONFLICT DO NOTHING");

pub(super) async fn set_block<C: Connection>(
    connection: &mut C,
    user: UserId,
    other: UserId,
    blocked: bool,
) -> Decision<()> {
    if user == other {
        return Err(Refusal::Invalid("user: nobody blocks themself".into()).into());
    }
    if find(connection, other).await?.is_none() {
        return Err(Refusal::NotFound.into());
    }
    if !blocked {
        connection.run(&UNBLOCK, values![user, other]).await?;
        return Ok(());
    }
    living(connection, other).await?;
    if connection.one(&COUNT_BLOCKS, values![user]).await?.int(0)? >= MOST_BLOCKS {
        return Err(Refusal::TooLarge("too many blocked users").into());
    }
    connection.run(&BLOCK, values![user, other]).await?;
    Ok(())
}
