//! Users, sign-ins, revocations and blocks.

use std::time::Duration;

use async_trait::async_trait;

use super::{Outcome, Page, StoreError};
use crate::domain::permissions::Block;
use crate::domain::{
    AccountState, AddressPrefix, FamilyId, SecondFactor, Suspension, Timestamp, User, UserId, Username,
};
pub use crate::domain::{Revocation, RevocationKind};

/// A user to create.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// The profile.
    pub user: User,
    /// Argon2id in PHC form; `None` for guests and external users.
    pub password_hash: Option<String>,
    /// SHA-256 of a guest's device id, by which the same device finds its guest again.
    pub device_hash: Option<[u8; 32]>,
}

/// The result of creating a [`NewUser`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewUserOutcome {
    /// The user was created.
    Created,
    /// The id (external user) or device hash (guest) existed already; this is its user.
    Existing(User),
    /// Another user has the username.
    UsernameTaken,
}

/// The data for signing in by password.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The account's user.
    pub user: User,
    /// Argon2id in PHC form.
    pub password_hash: String,
    /// Whether an operator set it ([`Accounts::set_one_time_password`]).
    pub one_time: bool,
}

/// A sign-in to store: the family of refresh tokens of one device.
#[derive(Debug, Clone)]
pub struct NewFamily {
    /// Its id, named in access tokens.
    pub id: FamilyId,
    /// The user who signed in.
    pub user: UserId,
    /// SHA-256 of the first refresh token.
    pub token_hash: [u8; 32],
    /// When its refresh token expires, unless it was rotated before.
    pub expires_at: Timestamp,
    /// The name that the device gave itself.
    pub device_name: Option<String>,
    /// Where it signed in from.
    pub network: AddressPrefix,
    /// SHA-256 of the device id by which a guest signed in. It is worth nothing once the sign-in was ended.
    pub device_hash: Option<[u8; 32]>,
}

/// A sign-in that has not ended, as its user sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInView {
    /// Its id, named in access tokens.
    pub id: FamilyId,
    /// The name that the device gave itself.
    pub device_name: Option<String>,
    /// Where its refresh token was presented last, or where it signed in from.
    pub network: AddressPrefix,
    /// When it began.
    pub created_at: Timestamp,
    /// When its refresh token was presented last.
    pub used_at: Timestamp,
}

/// A family as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    /// Its id.
    pub id: FamilyId,
    /// The user who signed in.
    pub user: UserId,
}

/// An entry of the list of revocations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedRevocation {
    /// The revocation.
    pub revocation: Revocation,
    /// For an entry of [`RevocationKind::Suspension`]: the account's suspension at the time of the read;
    /// `None` when it has none.
    pub suspension: Option<Suspension>,
}

/// A suspended account, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuspendedUser {
    /// The account's user.
    pub user: User,
    /// Until when and why.
    pub suspension: Suspension,
    /// When an operator suspended it last.
    pub suspended_at: Timestamp,
}

/// The result of presenting a refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FamilyRotation {
    /// The token was the newest one, and the new one replaces it.
    Rotated(Family),
    /// An older token of the family was presented; the family is revoked now.
    Reused(Family),
    /// The account is suspended. The token stays as it is, and works when the suspension ends.
    Suspended(Suspension),
    /// Unknown, expired or revoked.
    Refused,
}

/// The cursor of a reader of the list of revocations.
///
/// Numbers of revocations belong to one epoch of the log. After a failover that lost some, the numbers are
/// assigned again, and readers read the list from its beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RevocationCursor {
    /// The epoch of the log.
    pub epoch: u64,
    /// The number of the last one read.
    pub id: u64,
}

/// Users, credentials, token families, blocks, erasure and export.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// Creates a user unless its id, device or username is taken.
    async fn create_user(&self, new: &NewUser) -> Result<NewUserOutcome, StoreError>;

    /// The user. An erased user has the display name "deleted" and no username.
    async fn user(&self, id: UserId) -> Result<Option<User>, StoreError>;

    /// Whether the account may be used.
    async fn account_state(&self, id: UserId) -> Result<AccountState, StoreError>;

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

    /// The data for signing in; `None` when the username does not exist, or its one-time password has ended.
    async fn credentials(&self, username: &Username) -> Result<Option<Credentials>, StoreError>;

    /// The password hash of a user; `None` when it has none, or a one-time password that has ended.
    async fn password_hash(&self, id: UserId) -> Result<Option<String>, StoreError>;

    /// Changes the display name. Refusal: `NotFound`.
    async fn rename(&self, id: UserId, display_name: &str) -> Outcome<User>;

    /// Sets a new password hash, also instead of a one-time password. Refusal: `NotFound`.
    async fn set_password(&self, id: UserId, password_hash: &str) -> Outcome<()>;

    /// Replaces the password by one that counts for `lasts`, by the database's clock, and signs in once.
    /// Refusals: `NotFound`, `Conflict` (the account has no username).
    async fn set_one_time_password(&self, user: UserId, password_hash: &str, lasts: Duration) -> Outcome<()>;

    /// Takes the one sign-in of a one-time password. Answers false when it was taken before, or the user has
    /// no such password.
    async fn take_one_time_password(&self, user: UserId) -> Result<bool, StoreError>;

    /// Replaces the hash `stored` of a password by another hash of the same one. Answers false, and changes
    /// nothing, when the user has another hash.
    async fn replace_password_hash(
        &self,
        id: UserId,
        stored: &str,
        replacement: &str,
    ) -> Result<bool, StoreError>;

    /// The second factor of the user's sign-ins, also one that is not confirmed.
    async fn second_factor(&self, user: UserId) -> Result<Option<SecondFactor>, StoreError>;

    /// Stores a second factor that is not confirmed, and replaces one that is not. Refusals: `NotFound`,
    /// `Conflict` (the account has no password, or a confirmed factor).
    async fn begin_second_factor(&self, user: UserId, secret: &str) -> Outcome<()>;

    /// Takes a right code by its step, and so confirms the factor. Answers false, and changes nothing, when a
    /// code of that step or a later one was taken before, or the factor has another secret by now.
    async fn take_code(&self, user: UserId, secret: &str, step: u64) -> Result<bool, StoreError>;

    /// Ends a second factor. Answers whether there was one.
    async fn end_second_factor(&self, user: UserId) -> Result<bool, StoreError>;

    /// Gives a guest a username and password. Refusals: `NotFound`, `Conflict` (taken, or no guest).
    async fn claim(&self, id: UserId, username: &Username, password_hash: &str) -> Outcome<User>;

    /// Stores a sign-in. If the user has more than the maximum, the one that would expire first ends, and its
    /// [`Revocation`] is returned.
    async fn add_family(&self, new: &NewFamily, now: Timestamp) -> Result<Vec<Revocation>, StoreError>;

    /// Whether `family` is a sign-in of the user by which a device is known: it has not expired, and was not
    /// ended from elsewhere. The 100 that were used last count.
    async fn is_known_device(
        &self,
        user: UserId,
        family: FamilyId,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Rotates: the family whose newest token hashes to `presented` gets `replacement`. The same applies if
    /// the newest token was never presented and replaced `presented` less than `repeat_within` ago, by the
    /// database's clock. Any other former token of the family revokes the family and writes a [`Revocation`].
    /// A family that rotates was used `now`, from `network`.
    async fn rotate_family(
        &self,
        presented: &[u8; 32],
        replacement: &[u8; 32],
        expires_at: Timestamp,
        now: Timestamp,
        repeat_within: Duration,
        network: &AddressPrefix,
    ) -> Result<FamilyRotation, StoreError>;

    /// The user's sign-ins that have not ended, the one that was used last first.
    async fn sign_ins(&self, user: UserId, now: Timestamp) -> Result<Vec<SignInView>, StoreError>;

    /// Ends one sign-in of the user from another and writes a [`Revocation`]; none when it ended before. Its
    /// device is not known any more. Refusal: `NotFound`.
    async fn end_sign_in(&self, user: UserId, family: FamilyId, now: Timestamp) -> Outcome<Vec<Revocation>>;

    /// Ends one sign-in, or all sign-ins of the user, and writes a [`Revocation`] for each. If all end, one
    /// more revocation without a sign-in covers the tokens of another issuer until `now`, and no device is
    /// known any more. The device of one sign-in stays known. The device ids of guests that ended with them
    /// sign nobody in any more; those of the two calls below neither.
    async fn revoke(
        &self,
        user: UserId,
        family: Option<FamilyId>,
        now: Timestamp,
    ) -> Result<Vec<Revocation>, StoreError>;

    /// Ends all of a user's sign-ins except `keep` (after a change of password) and writes a [`Revocation`]
    /// for each. No other device is known any more.
    async fn revoke_others(
        &self,
        user: UserId,
        keep: Option<FamilyId>,
        now: Timestamp,
    ) -> Result<Vec<Revocation>, StoreError>;

    /// Revocations after `cursor` (all of them when it is of another epoch of the log), at most 1,000, and
    /// the cursor to continue from.
    async fn revocations(
        &self,
        cursor: RevocationCursor,
    ) -> Result<(Vec<ListedRevocation>, RevocationCursor), StoreError>;

    /// Deletes revocations older than `before`; tokens that old have expired.
    async fn forget_revocations(&self, before: Timestamp) -> Result<(), StoreError>;

    /// The users whom `user` has blocked.
    async fn blocks(&self, user: UserId) -> Result<Vec<UserId>, StoreError>;

    /// The blocks that `user` has set, and those that others have set against `user`; at most `limit`. One
    /// entry each with the other user: two users who have blocked each other have two.
    async fn blocked_with(&self, user: UserId, limit: usize) -> Result<Vec<(UserId, Block)>, StoreError>;

    /// Blocks or unblocks a user. Refusals: `NotFound` (no such user), `Invalid` (the user itself).
    async fn set_block(&self, user: UserId, other: UserId, blocked: bool) -> Outcome<()>;

    /// Keeps an account out until the suspension ends. It replaces an earlier suspension. `removes_content`:
    /// a job of [`super::JobKind::Content`] removes the account's messages and reactions. Returns what
    /// informs the nodes. Refusal: `NotFound` (no such account, or erased).
    async fn suspend(
        &self,
        user: UserId,
        suspension: &Suspension,
        removes_content: bool,
        now: Timestamp,
    ) -> Outcome<Revocation>;

    /// Ends a suspension; nothing changes when there is none. Returns what informs the nodes. Refusal:
    /// `NotFound` (no such account, or erased).
    async fn lift_suspension(&self, user: UserId, now: Timestamp) -> Outcome<Revocation>;

    /// Suspended accounts by id, after `after`; those whose suspension ended by its time too.
    async fn suspensions(
        &self,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Page<SuspendedUser, UserId>, StoreError>;

    /// Erases an account. When the call returns, profile, credentials, devices, sign-ins and blocks are
    /// deleted, and every token is revoked permanently. A job of [`super::JobKind::Erasure`] removes the rest
    /// afterwards: each membership ends with a `member_left` (`erased`) event, and the content and reactions
    /// of the account are removed. Tombstones keep their seq. Erasing an erased account changes nothing.
    /// Refusal: `NotFound`.
    async fn erase(&self, user: UserId, now: Timestamp) -> Outcome<Revocation>;

    /// One step of an export: up to `limit` JSON objects (profile, sessions, conversations, messages,
    /// reactions, blocks), one per line, and where to continue; `None` at the end.
    async fn export(
        &self,
        user: UserId,
        after: Option<String>,
        limit: usize,
    ) -> Result<(Vec<String>, Option<String>), StoreError>;
}
