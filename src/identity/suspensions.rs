//! What operators do to accounts: keep one out, let it in again, end its sign-ins, help its user in.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Identity, Revocations};
use crate::domain::{AccountState, Suspension, Timestamp, UserId};
use crate::protocol::Failure;
use crate::store::Revocation;

/// The random bytes of a one-time password: 16 letters, to be read out or typed.
const ONE_TIME_BYTES: usize = 12;
/// How long a one-time password counts.
const ONE_TIME: Duration = Duration::from_secs(86_400);

impl Identity {
    /// Suspends an account. Its connections end, and every node refuses its tokens and its sign-ins within a
    /// second. Its sign-ins stay, and work again when the suspension ends. `removes_content`: a job removes
    /// the account's messages and reactions.
    ///
    /// # Errors
    /// `NotFound` (no such account, or erased), `Unavailable`.
    pub async fn suspend(
        &self,
        user: UserId,
        suspension: &Suspension,
        removes_content: bool,
    ) -> Result<(), Failure> {
        let now = self.inner.environment.now();
        let changed = self.inner.store.suspend(user, suspension, removes_content, now);
        let changed = self.write(changed).await??;
        self.suspension_changed(&changed).await;
        Ok(())
    }

    /// Lets a suspended account in again. Nothing happens when it is not suspended.
    ///
    /// # Errors
    /// `NotFound` (no such account, or erased), `Unavailable`.
    pub async fn lift_suspension(&self, user: UserId) -> Result<(), Failure> {
        let now = self.inner.environment.now();
        let changed = self.write(self.inner.store.lift_suspension(user, now)).await??;
        self.suspension_changed(&changed).await;
        Ok(())
    }

    /// Ends all sign-ins of an account, for an operator.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn end_all(&self, user: UserId) -> Result<(), Failure> {
        let now = self.inner.environment.now();
        let ended = self.write(self.inner.store.revoke(user, None, now)).await?;
        self.end(&ended);
        Ok(())
    }

    /// Replaces the password of an account by a random one, for a user who has lost theirs, and ends all
    /// sign-ins. It counts for a day and signs in once. Until its end it also confirms, so that the user can
    /// set a new password.
    ///
    /// # Errors
    /// `NotFound` (no such account, or erased), `Conflict` (it has no username), `Overloaded`, `Unavailable`.
    pub async fn set_one_time_password(&self, user: UserId) -> Result<String, Failure> {
        let mut random = [0; ONE_TIME_BYTES];
        self.inner.environment.fill_random(&mut random);
        let password = URL_SAFE_NO_PAD.encode(random);
        let hash = self.inner.passwords.hash(password.clone()).await?;
        self.write(self.inner.store.set_one_time_password(user, &hash, ONE_TIME)).await??;
        self.end_all(user).await?;
        Ok(password)
    }

    /// Erases an account with `act`, for an operator, and ends its tokens for good.
    ///
    /// # Errors
    /// The errors of `act`.
    pub async fn erase_unasked(
        &self,
        act: impl Future<Output = Result<Revocation, Failure>>,
    ) -> Result<(), Failure> {
        let revocation = act.await?;
        self.end(&[revocation]);
        Ok(())
    }

    /// This node reads the list, like the others: two changes of one account may be under way at once, and
    /// the order of the list decides. If the read fails, the next round of [`Identity::run`] repeats it.
    async fn suspension_changed(&self, changed: &Revocation) {
        let _ = self.catch_up().await;
        Revocations::announce(&self.inner.revocations, changed);
    }

    /// Refuses a sign-in of a suspended account, once the user has proven to be its owner.
    pub(super) async fn may_sign_in(&self, user: UserId) -> Result<(), Failure> {
        let state = self.read(self.inner.store.account_state(user)).await?;
        self.not_suspended(state)
    }

    pub(super) fn not_suspended(&self, state: AccountState) -> Result<(), Failure> {
        let now = self.inner.environment.now();
        state.suspension(now).map_or(Ok(()), |suspension| Err(kept_out(suspension, now)))
    }
}

/// The answer to a user who is kept out at `now`.
pub(super) fn kept_out(suspension: Suspension, now: Timestamp) -> Failure {
    rare!(SuspendedUserAsksForTokens);
    let left_ms = suspension.left_ms(now).unwrap_or_default();
    Failure::Suspended { left_ms, reason: suspension.reason }
}
