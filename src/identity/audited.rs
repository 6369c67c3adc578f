//! What identity writes to the audit log.

use super::{Identity, SignedIn};
use crate::domain::audit::{AuditAction, AuditActor, AuditEntry};
use crate::domain::{ClientAddress, UserId};
use crate::protocol::Failure;

/// The most characters of a username that somebody tried.
const TRIED_CHARS: usize = 64;

impl Identity {
    /// A user did something to their own account.
    pub(super) fn note_of(&self, action: AuditAction, user: UserId) {
        self.inner.audit.note(self.entry(action, user));
    }

    /// The same with details.
    pub(super) fn note_with(&self, action: AuditAction, user: UserId, details: &str) {
        self.inner.audit.note(self.entry(action, user).with(details));
    }

    /// A sign-in by password, also a failed one. An attempt that was refused before the password was looked
    /// at is counted and not noted, so that a flood of attempts does not fill the log.
    pub(super) fn note_sign_in(
        &self,
        signed_in: &Result<SignedIn, Failure>,
        username: &str,
        address: ClientAddress,
    ) {
        let tried: String = username.chars().take(TRIED_CHARS).collect();
        let entry = match signed_in {
            Ok(signed_in) => self.entry(AuditAction::SignIn, signed_in.user.id),
            Err(Failure::Unauthenticated(_) | Failure::Refused(_)) => {
                self.inner.audit.entry(AuditActor::Anonymous, AuditAction::SignInFailed).with(tried)
            }
            Err(Failure::Suspended { .. }) => {
                self.inner.audit.entry(AuditActor::Anonymous, AuditAction::SignInRefused).with(tried)
            }
            Err(_) => return,
        };
        self.inner.audit.note(AuditEntry { address: Some(address.ip().to_string()), ..entry });
    }

    /// A new account or guest, or one that came back this way. What is refused is counted and not noted.
    pub(super) fn note_sign_up(
        &self,
        kind: &'static str,
        made: &Result<SignedIn, Failure>,
        address: ClientAddress,
    ) {
        let Ok(signed_in) = made else { return };
        let action = if signed_in.created { AuditAction::SignUp } else { AuditAction::SignIn };
        let entry = self.entry(action, signed_in.user.id).with(kind);
        self.inner.audit.note(AuditEntry { address: Some(address.ip().to_string()), ..entry });
    }

    fn entry(&self, action: AuditAction, user: UserId) -> AuditEntry {
        self.inner.audit.entry(AuditActor::User(user), action).to(user)
    }
}
