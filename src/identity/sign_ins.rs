//! A user's sign-ins: seen, and ended from another.

use super::{Claims, Identity, Standing};
use crate::domain::FamilyId;
use crate::domain::audit::AuditAction;
use crate::protocol::Failure;
use crate::store::SignInView;

impl Identity {
    /// The sign-ins of a token's user, the one that was used last first.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn sign_ins(&self, claims: &Claims) -> Result<Vec<SignInView>, Failure> {
        let now = self.inner.environment.now();
        let sign_ins = self.read(self.inner.store.sign_ins(claims.user, now)).await?;
        // This node may know an end that the database lost, or that it has not read yet.
        let stands = |sign_in: &SignInView| {
            let family = Some(sign_in.id);
            self.standing(&Claims { family, ..*claims }) == Standing::Good
        };
        Ok(sign_ins.into_iter().filter(stands).collect())
    }

    /// Ends one sign-in of a token's user: on every node within a second.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    pub async fn end_sign_in(&self, claims: &Claims, family: FamilyId) -> Result<(), Failure> {
        let now = self.inner.environment.now();
        let ended = self.write(self.inner.store.end_sign_in(claims.user, family, now)).await??;
        self.end(&ended);
        self.note_with(AuditAction::SignOut, claims.user, "another sign-in");
        Ok(())
    }

    /// Ends all sign-ins of a token's user but the token's own.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn end_others(&self, claims: &Claims) -> Result<(), Failure> {
        let now = self.inner.environment.now();
        let ended = self.write(self.inner.store.revoke_others(claims.user, claims.family, now)).await?;
        self.end(&ended);
        if !ended.is_empty() {
            self.note_with(AuditAction::SignOut, claims.user, "all other sign-ins");
        }
        Ok(())
    }
}
