//! Users and everything about their accounts.

mod erase;
mod export;
mod families;
mod users;

use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::SqliteStore;
use super::lane::{Phase, Transaction};
use crate::domain::{Committed, FamilyId, Timestamp, User, UserId, Username};
use crate::store::shared::columns::{Columns, impossible};
use crate::store::sql::{self, Stop};
use crate::store::{
    Accounts, Credentials, FamilyRotation, NewFamily, NewUser, NewUserOutcome, Outcome, Revocation,
    RevocationCursor, StoreError,
};

/// A user from the columns `id, username, display_name, guest, created_at`, beginning at `at`.
pub(super) fn read_user(row: &SqliteRow, at: usize) -> sql::Result<User> {
    let username = row.text_or_null(at + 1)?.map(|name| Username::parse(&name)).transpose();
    Ok(User {
        id: row.user(at)?,
        username: username.map_err(|_| impossible("a username that breaks the rule for usernames"))?,
        display_name: row.text(at + 2)?,
        guest: row.flag(at + 3)?,
        created_at: row.time(at + 4)?,
    })
}

/// Runs `$work` on a writing connection `$connection`, in one transaction.
macro_rules! write {
    ($store:expr, |$connection:ident| $work:expr) => {{
        let phase = Phase::default();
        let work = async {
            let mut transaction: Transaction = $store.writer.begin().await?;
            let $connection: &mut SqliteConnection = &mut transaction;
            let worked = $work.await.map_err(Stop::from);
            transaction.finish(worked, &phase).await
        };
        phase.bound($store.timeout, work).await
    }};
}

/// Runs `$work` on a reading connection `$connection`, in one snapshot.
macro_rules! read {
    ($store:expr, |$connection:ident| $work:expr) => {{
        let work = async {
            let mut transaction: Transaction = $store.reader.begin().await?;
            let $connection: &mut SqliteConnection = &mut transaction;
            let worked = $work.await.map_err(Stop::from);
            transaction.end(worked).await
        };
        unrefused(Phase::default().bound($store.timeout, work).await)
    }};
}

use write;

/// An operation that knows no refusal.
fn unrefused<T>(outcome: Outcome<T>) -> Result<T, StoreError> {
    outcome?.map_err(|refusal| StoreError::Inconsistent(refusal.to_string()))
}

#[async_trait]
impl Accounts for SqliteStore {
    async fn create_user(&self, new: &NewUser) -> Result<NewUserOutcome, StoreError> {
        unrefused(write!(self, |connection| users::create(connection, new)))
    }

    async fn user(&self, id: UserId) -> Result<Option<User>, StoreError> {
        read!(self, |connection| users::find(connection, id))
    }

    async fn users_by_prefix(&self, prefix: &str, limit: usize) -> Result<Vec<User>, StoreError> {
        read!(self, |connection| users::by_prefix(connection, prefix, limit))
    }

    async fn credentials(&self, username: &Username) -> Result<Option<Credentials>, StoreError> {
        read!(self, |connection| users::credentials(connection, username))
    }

    async fn password_hash(&self, id: UserId) -> Result<Option<String>, StoreError> {
        read!(self, |connection| users::password_hash(connection, id))
    }

    async fn rename(&self, id: UserId, display_name: &str) -> Outcome<User> {
        write!(self, |connection| users::rename(connection, id, display_name))
    }

    async fn set_password(&self, id: UserId, password_hash: &str) -> Outcome<()> {
        write!(self, |connection| users::set_password(connection, id, password_hash))
    }

    async fn claim(&self, id: UserId, username: &Username, password_hash: &str) -> Outcome<User> {
        write!(self, |connection| users::claim(connection, id, username, password_hash))
    }

    async fn add_family(&self, new: &NewFamily, now: Timestamp) -> Result<(), StoreError> {
        unrefused(write!(self, |connection| families::add(connection, new, now)))
    }

    async fn rotate_family(
        &self,
        presented: &[u8; 32],
        replacement: &[u8; 32],
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<FamilyRotation, StoreError> {
        unrefused(write!(self, |connection| families::rotate(
            connection,
            presented,
            replacement,
            expires_at,
            now
        )))
    }

    async fn revoke(
        &self,
        user: UserId,
        family: Option<FamilyId>,
        now: Timestamp,
    ) -> Result<Revocation, StoreError> {
        unrefused(write!(self, |connection| families::revoke(connection, user, family, now)))
    }

    async fn revoke_others(
        &self,
        user: UserId,
        keep: Option<FamilyId>,
        now: Timestamp,
    ) -> Result<Vec<Revocation>, StoreError> {
        unrefused(write!(self, |connection| families::revoke_others(connection, user, keep, now)))
    }

    async fn revocations(
        &self,
        cursor: RevocationCursor,
    ) -> Result<(Vec<Revocation>, RevocationCursor), StoreError> {
        read!(self, |connection| families::revocations(connection, cursor))
    }

    async fn forget_revocations(&self, before: Timestamp) -> Result<(), StoreError> {
        unrefused(write!(self, |connection| families::forget(connection, before)))
    }

    async fn blocks(&self, user: UserId) -> Result<Vec<UserId>, StoreError> {
        read!(self, |connection| users::blocks(connection, user))
    }

    async fn set_block(&self, user: UserId, other: UserId, blocked: bool) -> Outcome<()> {
        write!(self, |connection| users::set_block(connection, user, other, blocked))
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
        read!(self, |connection| export::export(connection, user, after.as_deref(), limit.max(1)))
    }
}
