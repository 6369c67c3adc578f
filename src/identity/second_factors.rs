//! A code of an authenticator app beside the password, for users who set that up.

use super::{Claims, Identity};
use crate::domain::audit::AuditAction;
use crate::domain::{Refusal, SECOND_FACTOR_BYTES, SecondFactor, UserId, Username};
use crate::protocol::Failure;

const WRONG: Failure = Failure::Refused(Refusal::Forbidden("the code is wrong or was used before"));

/// A second factor that was begun, for its owner's app.
#[derive(Debug)]
pub struct BegunSecondFactor {
    /// The secret in Base32, to be typed.
    pub secret: String,
    /// The same as a link or a QR code.
    pub link: String,
}

impl Identity {
    /// The second factor of a token's user.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn second_factor(&self, claims: &Claims) -> Result<Option<SecondFactor>, Failure> {
        self.read(self.inner.store.second_factor(claims.user)).await
    }

    /// Begins a second factor. Sign-ins ask for it once [`Identity::confirm_second_factor`] was called. One
    /// that was begun before and not confirmed is replaced.
    ///
    /// # Errors
    /// `Invalid` (the password is missing), `Forbidden` (it is wrong), `Conflict` (the account has no
    /// password, or a confirmed factor), `RateLimited`, `Overloaded`, `Unavailable`.
    pub async fn begin_second_factor(
        &self,
        claims: &Claims,
        password: Option<String>,
    ) -> Result<BegunSecondFactor, Failure> {
        self.confirm_password(claims.user, password).await?;
        let user = self.read(self.inner.store.user(claims.user)).await?.ok_or(Refusal::NotFound)?;
        let mut random = [0; SECOND_FACTOR_BYTES];
        self.inner.environment.fill_random(&mut random);
        let factor = SecondFactor::new(random);
        self.write(self.inner.store.begin_second_factor(claims.user, &factor.secret)).await??;
        let account = user.username.as_ref().map(Username::as_str).unwrap_or_default();
        let link = factor.link(&self.inner.options.server_name, account).unwrap_or_default();
        Ok(BegunSecondFactor { secret: factor.secret, link })
    }

    /// Confirms a second factor by a code of the app. From now on sign-ins by password need one, and the
    /// user's other sign-ins end.
    ///
    /// # Errors
    /// `NotFound` (none was begun), `Forbidden` (the code is wrong), `RateLimited`, `Unavailable`.
    pub async fn confirm_second_factor(&self, claims: &Claims, code: &str) -> Result<(), Failure> {
        let factor = self.second_factor(claims).await?.ok_or(Refusal::NotFound)?;
        self.take_code(claims.user, &factor, code).await?;
        self.end_others(claims).await?;
        self.note_of(AuditAction::SecondFactorSet, claims.user);
        Ok(())
    }

    /// Ends the second factor of a token's user. One that was not confirmed needs no code.
    ///
    /// # Errors
    /// `Invalid` (password or code is missing), `Forbidden` (one is wrong), `RateLimited`, `Overloaded`,
    /// `Unavailable`.
    pub async fn end_second_factor(
        &self,
        claims: &Claims,
        password: Option<String>,
        code: Option<&str>,
    ) -> Result<(), Failure> {
        self.confirm_password(claims.user, password).await?;
        let Some(factor) = self.second_factor(claims).await? else { return Ok(()) };
        if factor.is_confirmed() {
            let code = code.ok_or(Refusal::Invalid("code: needed".into()))?;
            self.take_code(claims.user, &factor, code).await?;
        }
        self.end_second_factor_unasked(claims.user).await?;
        self.note_of(AuditAction::SecondFactorEnded, claims.user);
        Ok(())
    }

    /// Ends the second factor of a user who has lost the app, for an operator. Nothing happens when there is
    /// none.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn end_second_factor_unasked(&self, user: UserId) -> Result<(), Failure> {
        self.write(self.inner.store.end_second_factor(user)).await.map(|_| ())
    }

    /// Checks the second factor of a user whose password was right.
    ///
    /// # Errors
    /// `SecondFactorNeeded`, `Unauthenticated` (the code is wrong), `RateLimited`, `Unavailable`.
    pub(super) async fn check_second_factor(&self, user: UserId, code: Option<&str>) -> Result<(), Failure> {
        let factor = self.read(self.inner.store.second_factor(user)).await?;
        let Some(factor) = factor.filter(SecondFactor::is_confirmed) else { return Ok(()) };
        let code = code.ok_or(Refusal::SecondFactorNeeded)?;
        match self.take_code(user, &factor, code).await {
            Err(WRONG) => Err(Failure::Unauthenticated("the code is wrong or was used before")),
            taken => taken,
        }
    }

    /// Takes a code. Tries count as those of a password that is given again: a million codes are few.
    async fn take_code(&self, user: UserId, factor: &SecondFactor, code: &str) -> Result<(), Failure> {
        self.inner.throttle.confirmation(&user.to_string())?;
        let step = factor.step_of(code, self.inner.environment.now()).ok_or(WRONG)?;
        // Another node may have taken it in the meantime.
        match self.write(self.inner.store.take_code(user, &factor.secret, step)).await? {
            true => Ok(()),
            false => Err(WRONG),
        }
    }
}
