//! Profiles, passwords and blocks.

use super::read_user;
use crate::domain::{Refusal, User, UserId, Username};
use crate::store::postgres::link::Link;
use crate::store::shared::columns::Columns;
use crate::store::sql::{self, Stop};
use crate::store::{Credentials, NewUser, NewUserOutcome};

pub(super) async fn create(link: &mut Link, new: &NewUser) -> sql::Result<NewUserOutcome> {
    if let Some(user) = existing(link, new).await? {
        return Ok(NewUserOutcome::Existing(user));
    }
    let user = &new.user;
    let username = user.username.as_ref().map(Username::as_str);
    if taken(link, username.unwrap_or_default()).await? {
        return Ok(NewUserOutcome::UsernameTaken);
    }
    link.run(
        sqlx::query(
            "INSERT INTO users (id, username, display_name, guest, created_at) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(*user.id.as_uuid())
        .bind(username)
        // Postgres cannot hold the character NUL; a name from another issuer may have it.
        .bind(user.display_name.replace('\0', ""))
        .bind(user.guest)
        .bind(user.created_at.as_unix_ms()),
    )
    .await?;
    if let Some(hash) = &new.password_hash {
        keep_password(link, user.id, hash).await?;
    }
    if let Some(device) = &new.device_hash {
        link.run(
            sqlx::query("INSERT INTO devices (device_hash, user_id) VALUES ($1, $2)")
                .bind(device.as_slice())
                .bind(*user.id.as_uuid()),
        )
        .await?;
    }
    Ok(NewUserOutcome::Created)
}

async fn existing(link: &mut Link, new: &NewUser) -> sql::Result<Option<User>> {
    let row = link
        .optional(
            sqlx::query(
                "SELECT u.id, u.username, u.display_name, u.guest, u.created_at FROM users u \
         WHERE u.id = $1 OR u.id = (SELECT user_id FROM devices WHERE device_hash = $2)",
            )
            .bind(*new.user.id.as_uuid())
            .bind(new.device_hash.as_ref().map(<[u8; 32]>::as_slice)),
        )
        .await?;
    row.map(|row| read_user(&row, 0)).transpose()
}

async fn taken(link: &mut Link, username: &str) -> sql::Result<bool> {
    let row = sqlx::query("SELECT EXISTS (SELECT 1 FROM users WHERE username = $1)").bind(username);
    link.one(row).await?.flag(0)
}

async fn keep_password(link: &mut Link, id: UserId, hash: &str) -> sql::Result<()> {
    link.run(
        sqlx::query(
            "INSERT INTO credentials (user_id, password_hash) VALUES ($1, $2) \
         ON CONFLICT (user_id) DO UPDATE SET password_hash = excluded.password_hash",
        )
        .bind(*id.as_uuid())
        .bind(hash),
    )
    .await?;
    Ok(())
}

pub(super) async fn find(link: &mut Link, id: UserId) -> sql::Result<Option<User>> {
    let row = link
        .optional(
            sqlx::query("SELECT id, username, display_name, guest, created_at FROM users WHERE id = $1")
                .bind(*id.as_uuid()),
        )
        .await?;
    row.map(|row| read_user(&row, 0)).transpose()
}

/// An account that is there and not erased, and stays so for as long as the transaction lasts.
async fn living(link: &mut Link, id: UserId) -> Result<User, Stop> {
    let row = link.optional(sqlx::query(
        "SELECT id, username, display_name, guest, created_at FROM users WHERE id = $1 AND erased_at IS NULL \
         FOR NO KEY UPDATE",
    )
    .bind(*id.as_uuid())
    ).await?;
    let row = row.ok_or(Refusal::NotFound)?;
    Ok(read_user(&row, 0)?)
}

pub(super) async fn by_prefix(link: &mut Link, prefix: &str, limit: usize) -> sql::Result<Vec<User>> {
    if prefix.contains('\0') {
        return Ok(Vec::new());
    }
    let prefix = prefix.to_ascii_lowercase();
    // Usernames are ASCII below `~`, so this is past every one that begins with the prefix.
    let beyond = format!("{prefix}~");
    let rows = link
        .all(
            sqlx::query(
                "SELECT id, username, display_name, guest, created_at FROM users \
         WHERE username >= $1 AND username < $2 ORDER BY username LIMIT $3",
            )
            .bind(prefix)
            .bind(beyond)
            .bind(limit as i64),
        )
        .await?;
    rows.iter().map(|row| read_user(row, 0)).collect()
}

pub(super) async fn credentials(link: &mut Link, username: &Username) -> sql::Result<Option<Credentials>> {
    let row = link
        .optional(
            sqlx::query(
                "SELECT u.id, u.username, u.display_name, u.guest, u.created_at, c.password_hash \
         FROM users u JOIN credentials c ON c.user_id = u.id WHERE u.username = $1",
            )
            .bind(username.as_str()),
        )
        .await?;
    row.map(|row| Ok(Credentials { user: read_user(&row, 0)?, password_hash: row.text(5)? })).transpose()
}

pub(super) async fn password_hash(link: &mut Link, id: UserId) -> sql::Result<Option<String>> {
    let row = link
        .optional(sqlx::query("SELECT password_hash FROM credentials WHERE user_id = $1").bind(*id.as_uuid()))
        .await?;
    row.map(|row| row.text(0)).transpose()
}

pub(super) async fn rename(link: &mut Link, id: UserId, display_name: &str) -> Result<User, Stop> {
    let user = living(link, id).await?;
    if display_name.contains('\0') {
        return Err(Refusal::Invalid("display_name: must not contain the character NUL".into()).into());
    }
    link.run(
        sqlx::query("UPDATE users SET display_name = $2 WHERE id = $1")
            .bind(*id.as_uuid())
            .bind(display_name),
    )
    .await?;
    Ok(User { display_name: display_name.to_owned(), ..user })
}

pub(super) async fn set_password(link: &mut Link, id: UserId, hash: &str) -> Result<(), Stop> {
    living(link, id).await?;
    Ok(keep_password(link, id, hash).await?)
}

pub(super) async fn claim(
    link: &mut Link,
    id: UserId,
    username: &Username,
    hash: &str,
) -> Result<User, Stop> {
    let user = living(link, id).await?;
    if !user.guest {
        return Err(Refusal::Conflict("only a guest can be claimed").into());
    }
    if taken(link, username.as_str()).await? {
        return Err(Refusal::Conflict("this username is taken").into());
    }
    link.run(
        sqlx::query("UPDATE users SET username = $2, guest = false WHERE id = $1")
            .bind(*id.as_uuid())
            .bind(username.as_str()),
    )
    .await?;
    // From now on the password signs in; knowing the device id alone does not any more.
    link.run(sqlx::query("DELETE FROM devices WHERE user_id = $1").bind(*id.as_uuid())).await?;
    keep_password(link, id, hash).await?;
    Ok(User { username: Some(username.clone()), guest: false, ..user })
}

pub(super) async fn blocks(link: &mut Link, user: UserId) -> sql::Result<Vec<UserId>> {
    let rows = link
        .all(
            sqlx::query("SELECT blocked FROM blocks WHERE blocker = $1 ORDER BY blocked LIMIT $2")
                .bind(*user.as_uuid())
                .bind(MOST_BLOCKS),
        )
        .await?;
    rows.iter().map(|row| row.user(0)).collect()
}

/// How many users one may block: the list is answered in one piece.
const MOST_BLOCKS: i64 = 10_000;

pub(super) async fn set_block(
    link: &mut Link,
    user: UserId,
    other: UserId,
    blocked: bool,
) -> Result<(), Stop> {
    if user == other {
        return Err(Refusal::Invalid("user: nobody blocks themself".into()).into());
    }
    if find(link, other).await?.is_none() {
        return Err(Refusal::NotFound.into());
    }
    if !blocked {
        link.run(
            sqlx::query("DELETE FROM blocks WHERE blocker = $1 AND blocked = $2")
                .bind(*user.as_uuid())
                .bind(*other.as_uuid()),
        )
        .await?;
        return Ok(());
    }
    living(link, other).await?;
    let held = sqlx::query("SELECT count(*) FROM blocks WHERE blocker = $1").bind(*user.as_uuid());
    if link.one(held).await?.int(0)? >= MOST_BLOCKS {
        return Err(Refusal::TooLarge("too many blocked users").into());
    }
    link.run(
        sqlx::query("INSERT INTO blocks (blocker, blocked) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(*user.as_uuid())
            .bind(*other.as_uuid()),
    )
    .await?;
    Ok(())
}
