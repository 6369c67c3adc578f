//! Users and their accounts.

mod erase;
mod export;
pub(in crate::store) mod families;
mod names;
mod one_time_passwords;
pub(in crate::store) mod revocations;
mod search;
mod second_factors;
pub(super) mod suspensions;
pub(super) mod users;

use std::time::Duration;

use async_trait::async_trait;

pub(in crate::store) use self::erase::erase as erase_account;
pub(in crate::store) use self::users::{living, read_user};
use super::Backend;
use crate::domain::permissions::Block;
use crate::domain::{
    AccountState, AddressPrefix, FamilyId, SecondFactor, Suspension, Timestamp, User, UserId, Username,
};
use crate::store::{
    Accounts, Credentials, FamilyRotation, ListedRevocation, NewFamily, NewUser, NewUserOutcome, Outcome,
    Page, Revocation, RevocationCursor, SignInView, StoreError, SuspendedUser,
};

#[async_trait]
impl<B: Backend> Accounts for B {
    async fn create_user(&self, new: &NewUser) -> Result<NewUserOutcome, StoreError> {
        self.write(new.clone(), |on, new| Box::pin(users::create(on, new))).await
    }

    async fn user(&self, id: UserId) -> Result<Option<User>, StoreError> {
        self.read(id, |on, id| Box::pin(users::find(on, *id))).await
    }

    async fn account_state(&self, id: UserId) -> Result<AccountState, StoreError> {
        self.read(id, |on, id| Box::pin(suspensions::state(on, *id))).await
    }

    async fn suspend(
        &self,
        user: UserId,
        suspension: &Suspension,
        removes_content: bool,
        now: Timestamp,
    ) -> Outcome<Revocation> {
        let asked = (user, suspension.clone(), removes_content, now);
        self.write(asked, |on, (user, suspension, removes, now)| {
            Box::pin(suspensions::suspend(on, *user, suspension, *removes, *now))
        })
        .await
    }

    async fn lift_suspension(&self, user: UserId, now: Timestamp) -> Outcome<Revocation> {
        self.write((user, now), |on, (user, now)| Box::pin(suspensions::lift(on, *user, *now))).await
    }

    async fn suspensions(
        &self,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Page<SuspendedUser, UserId>, StoreError> {
        let asked = (after, limit.max(1));
        self.read(asked, |on, (after, limit)| Box::pin(suspensions::list(on, *after, *limit))).await
    }

    async fn user_named(&self, username: &Username) -> Result<Option<User>, StoreError> {
        self.read(username.clone(), |on, name| Box::pin(users::named(on, name))).await
    }

    async fn first_user(&self) -> Result<Option<User>, StoreError> {
        self.read((), |on, ()| Box::pin(users::first(on))).await
    }

    async fn users(&self, ids: &[UserId]) -> Result<Vec<User>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.read(ids.to_vec(), |on, ids| Box::pin(users::several(on, ids))).await
    }

    async fn users_by_name(&self, words: &[String], limit: usize) -> Result<Vec<User>, StoreError> {
        let asked = (words.to_vec(), limit);
        self.read(asked, |on, (words, limit)| Box::pin(search::by_name(on, words, *limit))).await
    }

    async fn users_by_prefix(&self, prefix: &str, limit: usize) -> Result<Vec<User>, StoreError> {
        let asked = (prefix.to_owned(), limit);
        self.read(asked, |on, (prefix, limit)| Box::pin(search::by_prefix(on, prefix, *limit))).await
    }

    async fn credentials(&self, username: &Username) -> Result<Option<Credentials>, StoreError> {
        self.read(username.clone(), |on, name| Box::pin(users::credentials(on, name))).await
    }

    async fn password_hash(&self, id: UserId) -> Result<Option<String>, StoreError> {
        self.read(id, |on, id| Box::pin(users::password_hash(on, *id))).await
    }

    async fn rename(&self, id: UserId, display_name: &str) -> Outcome<User> {
        let asked = (id, display_name.to_owned());
        self.write(asked, |on, (id, name)| Box::pin(users::rename(on, *id, name))).await
    }

    async fn set_password(&self, id: UserId, password_hash: &str) -> Outcome<()> {
        let asked = (id, password_hash.to_owned());
        self.write(asked, |on, (id, hash)| Box::pin(users::set_password(on, *id, hash))).await
    }

    async fn set_one_time_password(&self, user: UserId, password_hash: &str, lasts: Duration) -> Outcome<()> {
        let lasts_ms = i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX);
        let asked = (user, password_hash.to_owned(), lasts_ms);
        self.write(asked, |on, (user, hash, lasts_ms)| {
            Box::pin(one_time_passwords::set(on, *user, hash, *lasts_ms))
        })
        .await
    }

    async fn take_one_time_password(&self, user: UserId) -> Result<bool, StoreError> {
        self.write(user, |on, user| Box::pin(one_time_passwords::take(on, *user))).await
    }

    async fn replace_password_hash(
        &self,
        id: UserId,
        stored: &str,
        replacement: &str,
    ) -> Result<bool, StoreError> {
        let asked = (id, stored.to_owned(), replacement.to_owned());
        let replaced = self.write(asked, |on, (id, stored, replacement)| {
            Box::pin(users::replace_password_hash(on, *id, stored, replacement))
        });
        replaced.await
    }

    async fn second_factor(&self, user: UserId) -> Result<Option<SecondFactor>, StoreError> {
        self.read(user, |on, user| Box::pin(second_factors::find(on, *user))).await
    }

    async fn begin_second_factor(&self, user: UserId, secret: &str) -> Outcome<()> {
        let asked = (user, secret.to_owned());
        self.write(asked, |on, (user, secret)| Box::pin(second_factors::begin(on, *user, secret))).await
    }

    async fn take_code(&self, user: UserId, secret: &str, step: u64) -> Result<bool, StoreError> {
        let asked = (user, secret.to_owned(), step);
        let taken = self.write(asked, |on, (user, secret, step)| {
            Box::pin(second_factors::take_code(on, *user, secret, *step))
        });
        taken.await
    }

    async fn end_second_factor(&self, user: UserId) -> Result<bool, StoreError> {
        self.write(user, |on, user| Box::pin(second_factors::end(on, *user))).await
    }

    async fn claim(&self, id: UserId, username: &Username, password_hash: &str) -> Outcome<User> {
        let asked = (id, username.clone(), password_hash.to_owned());
        self.write(asked, |on, (id, name, hash)| Box::pin(users::claim(on, *id, name, hash))).await
    }

    async fn add_family(&self, new: &NewFamily, now: Timestamp) -> Result<Vec<Revocation>, StoreError> {
        let asked = (new.clone(), now);
        self.write(asked, |on, (new, now)| Box::pin(families::add(on, new, *now))).await
    }

    async fn rotate_family(
        &self,
        presented: &[u8; 32],
        replacement: &[u8; 32],
        expires_at: Timestamp,
        now: Timestamp,
        repeat_within: Duration,
        network: &AddressPrefix,
    ) -> Result<FamilyRotation, StoreError> {
        let known = self.read(*presented, |on, presented| Box::pin(families::is_known(on, presented)));
        if !known.await? {
            return Ok(FamilyRotation::Refused);
        }
        let asked = (*presented, *replacement, expires_at, now, repeat_within, network.clone());
        let rotated = self.write(asked, |on, (presented, replacement, expires_at, now, within, network)| {
            Box::pin(families::rotate(on, presented, replacement, *expires_at, *now, *within, network))
        });
        rotated.await
    }

    async fn is_known_device(
        &self,
        user: UserId,
        family: FamilyId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let known = self.read((user, family, now), |on, (user, family, now)| {
            Box::pin(families::is_known_device(on, *user, *family, *now))
        });
        known.await
    }

    async fn sign_ins(&self, user: UserId, now: Timestamp) -> Result<Vec<SignInView>, StoreError> {
        self.read((user, now), |on, (user, now)| Box::pin(families::living(on, *user, *now))).await
    }

    async fn end_sign_in(&self, user: UserId, family: FamilyId, now: Timestamp) -> Outcome<Vec<Revocation>> {
        let ended = self.write((user, family, now), |on, (user, family, now)| {
            Box::pin(families::end(on, *user, *family, *now))
        });
        ended.await
    }

    async fn revoke(
        &self,
        user: UserId,
        family: Option<FamilyId>,
        now: Timestamp,
    ) -> Result<Vec<Revocation>, StoreError> {
        let revoked = self.write((user, family, now), |on, (user, family, now)| {
            Box::pin(families::revoke(on, *user, *family, *now))
        });
        revoked.await
    }

    async fn revoke_others(
        &self,
        user: UserId,
        keep: Option<FamilyId>,
        now: Timestamp,
    ) -> Result<Vec<Revocation>, StoreError> {
        let revoked = self.write((user, keep, now), |on, (user, keep, now)| {
            Box::pin(families::revoke_others(on, *user, *keep, *now))
        });
        revoked.await
    }

    async fn revocations(
        &self,
        cursor: RevocationCursor,
    ) -> Result<(Vec<ListedRevocation>, RevocationCursor), StoreError> {
        self.read(cursor, |on, cursor| Box::pin(families::listed(on, *cursor))).await
    }

    async fn forget_revocations(&self, before: Timestamp) -> Result<(), StoreError> {
        self.once(before, |on, before| Box::pin(families::forget(on, *before))).await
    }

    async fn blocks(&self, user: UserId) -> Result<Vec<UserId>, StoreError> {
        self.read(user, |on, user| Box::pin(users::blocks(on, *user))).await
    }

    async fn blocked_with(&self, user: UserId, limit: usize) -> Result<Vec<(UserId, Block)>, StoreError> {
        let read =
            self.read((user, limit), |on, (user, limit)| Box::pin(users::blocked_with(on, *user, *limit)));
        read.await
    }

    async fn set_block(&self, user: UserId, other: UserId, blocked: bool) -> Outcome<()> {
        let asked = (user, other, blocked);
        self.write(asked, |on, (user, other, blocked)| {
            Box::pin(users::set_block(on, *user, *other, *blocked))
        })
        .await
    }

    async fn erase(&self, user: UserId, now: Timestamp) -> Outcome<Revocation> {
        self.write((user, now), |on, (user, now)| Box::pin(erase::erase(on, *user, *now))).await
    }

    async fn export(
        &self,
        user: UserId,
        after: Option<String>,
        limit: usize,
    ) -> Result<(Vec<String>, Option<String>), StoreError> {
        let asked = (user, after, limit.max(1));
        let exported = self.read(asked, |on, (user, after, limit)| {
            Box::pin(export::export(on, *user, after.as_deref(), *limit))
        });
        exported.await
    }
}
