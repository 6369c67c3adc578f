//! Users and everything about their accounts.

mod erase;
mod export;
mod families;
mod users;

use async_trait::async_trait;

use super::PostgresStore;
use super::rows::Pg;
use super::work::{read, unrefused, write};
use crate::domain::{Committed, FamilyId, Timestamp, User, UserId, Username};
use crate::store::shared::columns::{Columns, impossible};
use crate::store::sql;
use crate::store::{
    Accounts, Credentials, FamilyRotation, NewFamily, NewUser, NewUserOutcome, Outcome, Revocation,
    RevocationCursor, StoreError,
};

/// A user from the columns `id, username, display_name, guest, created_at`, beginning at `at`.
pub(super) fn read_user(row: &Pg, at: usize) -> sql::Result<User> {
    let username = row.text_or_null(at + 1)?.map(|name| Username::parse(&name)).transpose();
    Ok(User {
        id: row.user(at)?,
        username: username.map_err(|_| impossible("a username that breaks the rule for usernames"))?,
        display_name: row.text(at + 2)?,
        guest: row.flag(at + 3)?,
        created_at: row.time(at + 4)?,
    })
}

#[async_trait]
impl Accounts for PostgresStore {
    async fn create_user(&self, new: &NewUser) -> Result<NewUserOutcome, StoreError> {
        unrefused(write!(self, |link| users::create(link, new)))
    }

    async fn user(&self, id: UserId) -> Result<Option<User>, StoreError> {
        unrefused(read!(self, reader, |link| users::find(link, id)))
    }

    async fn users_by_prefix(&self, prefix: &str, limit: usize) -> Result<Vec<User>, StoreError> {
        unrefused(read!(self, reader, |link| users::by_prefix(link, prefix, limit)))
    }

    async fn credentials(&self, username: &Username) -> Result<Option<Credentials>, StoreError> {
        unrefused(read!(self, reader, |link| users::credentials(link, username)))
    }

    async fn password_hash(&self, id: UserId) -> Result<Option<String>, StoreError> {
        unrefused(read!(self, reader, |link| users::password_hash(link, id)))
    }

    async fn rename(&self, id: UserId, display_name: &str) -> Outcome<User> {
        write!(self, |link| users::rename(link, id, display_name))
    }

    async fn set_password(&self, id: UserId, password_hash: &str) -> Outcome<()> {
        write!(self, |link| users::set_password(link, id, password_hash))
    }

    async fn claim(&self, id: UserId, username: &Username, password_hash: &str) -> Outcome<User> {
        write!(self, |link| users::claim(link, id, username, password_hash))
    }

    async fn add_family(&self, new: &NewFamily, now: Timestamp) -> Result<(), StoreError> {
        unrefused(write!(self, |link| families::add(link, new, now)))
    }

    async fn rotate_family(
        &self,
        presented: &[u8; 32],
        replacement: &[u8; 32],
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<FamilyRotation, StoreError> {
        unrefused(write!(self, |link| families::rotate(link, presented, replacement, expires_at, now)))
    }

    async fn revoke(
        &self,
        user: UserId,
        family: Option<FamilyId>,
        now: Timestamp,
    ) -> Result<Revocation, StoreError> {
        unrefused(write!(self, |link| families::revoke(link, user, family, now)))
    }

    async fn revoke_others(
        &self,
        user: UserId,
        keep: Option<FamilyId>,
        now: Timestamp,
    ) -> Result<Vec<Revocation>, StoreError> {
        unrefused(write!(self, |link| families::revoke_others(link, user, keep, now)))
    }

    async fn revocations(
        &self,
        cursor: RevocationCursor,
    ) -> Result<(Vec<Revocation>, RevocationCursor), StoreError> {
        unrefused(read!(self, reader, |link| families::revocations(link, cursor)))
    }

    async fn forget_revocations(&self, before: Timestamp) -> Result<(), StoreError> {
        unrefused(write!(self, |link| families::forget(link, before)))
    }

    async fn blocks(&self, user: UserId) -> Result<Vec<UserId>, StoreError> {
        unrefused(read!(self, reader, |link| users::blocks(link, user)))
    }

    async fn set_block(&self, user: UserId, other: UserId, blocked: bool) -> Outcome<()> {
        write!(self, |link| users::set_block(link, user, other, blocked))
    }

    async fn erase(&self, user: UserId, now: Timestamp) -> Outcome<Vec<Committed>> {
        erase::erase(self, user, now).await
    }

    async fn export(
        &self,
        user: UserId,
        after: Option<String>,
        limit: usize,
    ) -> Result<(Vec<String>, Option<String>), StoreError> {
        unrefused(read!(self, reader, |link| export::export(link, user, after.as_deref(), limit.max(1))))
    }
}
