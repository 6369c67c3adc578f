//! Users, how they sign in, what ended, and whom they blocked.

use std::time::Duration;

use async_trait::async_trait;

use super::{Outcome, StoreError};
pub use crate::domain::Revocation;
use crate::domain::{FamilyId, Timestamp, User, UserId, Username};

/// A user to make.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// The profile.
    pub user: User,
    /// Argon2id in PHC form; `None` for guests and external users.
    pub password_hash: Option<String>,
    /// SHA-256 of a guest's device id: the same device finds its guest again.
    pub device_hash: Option<[u8; 32]>,
}

/// What became of a [`NewUser`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewUserOutcome {
    /// It was made.
    Created,
    /// The id (external user) or device hash (guest) was there already; this is the user it belongs to.
    Existing(User),
    /// The username is somebody else's.
    UsernameTaken,
}

/// What signing in by password needs.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The account's user.
    pub user: User,
    /// Argon2id in PHC form.
    pub password_hash: String,
}

/// A sign-in to keep: the family of refresh tokens of one device.
#[derive(Debug, Clone)]
pub struct NewFamily {
    /// Its id, named in access tokens.
    pub id: FamilyId,
    /// The user who signed in.
    pub user: UserId,
    /// SHA-256 of the first refresh token.
    pub token_hash: [u8; 32],
    /// When its refresh token ends, unless rotated before.
    pub expires_at: Timestamp,
}

/// A family as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    /// Its id.
    pub id: FamilyId,
    /// The user who signed in.
    pub user: UserId,
}

/// What became of presenting a refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FamilyRotation {
    /// The token was the newest; the new one is in force.
    Rotated(Family),
    /// An older token of the family came back: the family is revoked now.
    Reused(Family),
    /// Unknown, expired or revoked.
    Refused,
}

/// How far the list of revocations was read.
///
/// Numbers of revocations are those of one incarnation of the log. After a failover that lost some they are
/// given again, and the list is read from its beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RevocationCursor {
    /// The incarnation of the log.
    pub epoch: u64,
    /// The number of the last one read.
    pub id: u64,
}

/// Users, credentials, token families, blocks, erasure and export.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// Makes a user unless its id, device or username is taken.
    async fn create_user(&self, new: &NewUser) -> Result<NewUserOutcome, StoreError>;

    /// The user; erased users answer with the display name "deleted" and no username.
    async fn user(&self, id: UserId) -> Result<Option<User>, StoreError>;

    /// Whether there is such a user, and it was not erased.
    async fn is_living(&self, id: UserId) -> Result<bool, StoreError>;

    /// The user of a username.
    async fn user_named(&self, username: &Username) -> Result<Option<User>, StoreError>;

    /// The oldest account that was not erased.
    async fn first_user(&self) -> Result<Option<User>, StoreError>;

    /// The profiles of these users, as far as they are there, in this order.
    async fn users(&self, ids: &[UserId]) -> Result<Vec<User>, StoreError>;

    /// Living users with a word in their names that begins with each of `words`
    /// ([`crate::domain::name_words`]), by the word that matched the longest one. The first three words
    /// count.
    async fn users_by_name(&self, words: &[String], limit: usize) -> Result<Vec<User>, StoreError>;

    /// Users whose username begins with `prefix`, by username.
    async fn users_by_prefix(&self, prefix: &str, limit: usize) -> Result<Vec<User>, StoreError>;

    /// What signing in needs; `None` when there is no such username.
    async fn credentials(&self, username: &Username) -> Result<Option<Credentials>, StoreError>;

    /// The password hash of a user; `None` when it has none.
    async fn password_hash(&self, id: UserId) -> Result<Option<String>, StoreError>;

    /// Changes the name shown. Refusal: `NotFound`.
    async fn rename(&self, id: UserId, display_name: &str) -> Outcome<User>;

    /// Sets a new password hash. Refusal: `NotFound`.
    async fn set_password(&self, id: UserId, password_hash: &str) -> Outcome<()>;

    /// Gives a guest a username and password. Refusals: `NotFound`, `Conflict` (taken, or no guest).
    async fn claim(&self, id: UserId, username: &Username, password_hash: &str) -> Outcome<User>;

    /// Keeps a sign-in. One more than a user may have ends the one that would run out first: that
    /// [`Revocation`] is answered.
    async fn add_family(&self, new: &NewFamily, now: Timestamp) -> Result<Vec<Revocation>, StoreError>;

    /// Rotates: the family whose newest token hashes to `presented` gets `replacement`. So does one whose
    /// newest token was never presented and took the place of `presented` less than `repeat_within` ago, by
    /// the database's clock. Any other token that was the newest one before revokes the family and writes a
    /// [`Revocation`].
    async fn rotate_family(
        &self,
        presented: &[u8; 32],
        replacement: &[u8; 32],
        expires_at: Timestamp,
        now: Timestamp,
        repeat_within: Duration,
    ) -> Result<FamilyRotation, StoreError>;

    /// Ends one sign-in, or all of the user's, and writes a [`Revocation`] for each. When all end there is
    /// one more, without a sign-in, for the tokens of another issuer until `now`.
    async fn revoke(
        &self,
        user: UserId,
        family: Option<FamilyId>,
        now: Timestamp,
    ) -> Result<Vec<Revocation>, StoreError>;

    /// Ends all of a user's sign-ins but `keep` (after a change of password) and writes a [`Revocation`] for
    /// each.
    async fn revoke_others(
        &self,
        user: UserId,
        keep: Option<FamilyId>,
        now: Timestamp,
    ) -> Result<Vec<Revocation>, StoreError>;

    /// Revocations after `cursor` (all of them when it is of another incarnation of the log), at most 1,000,
    /// and the cursor to go on from.
    async fn revocations(
        &self,
        cursor: RevocationCursor,
    ) -> Result<(Vec<Revocation>, RevocationCursor), StoreError>;

    /// Drops revocations older than `before`; tokens that old are expired anyway.
    async fn forget_revocations(&self, before: Timestamp) -> Result<(), StoreError>;

    /// Whom `user` has blocked.
    async fn blocks(&self, user: UserId) -> Result<Vec<UserId>, StoreError>;

    /// The users who have blocked `user` or whom `user` has blocked; at most `limit`.
    async fn blocked_with(&self, user: UserId, limit: usize) -> Result<Vec<UserId>, StoreError>;

    /// Blocks or unblocks. Refusal: `NotFound` (no such user), `Invalid` (oneself).
    async fn set_block(&self, user: UserId, other: UserId, blocked: bool) -> Outcome<()>;

    /// Erases an account. Committed with the answer: profile, credentials, devices, sign-ins and blocks are
    /// gone, and every token is revoked for good. What it left elsewhere goes after that, as a job of
    /// [`super::JobKind::Erasure`]: memberships end with a `member_left` (`erased`) event each; the content
    /// of everything it ever said and its reactions go; tombstones keep their seq. An account that is erased
    /// already stays so. Refusal: `NotFound`.
    async fn erase(&self, user: UserId, now: Timestamp) -> Outcome<Revocation>;

    /// One step of an export: up to `limit` JSON objects (profile, conversations, messages, reactions,
    /// blocks), one per line, and where to go on; `None` when done.
    async fn export(
        &self,
        user: UserId,
        after: Option<String>,
        limit: usize,
    ) -> Result<(Vec<String>, Option<String>), StoreError>;
}
