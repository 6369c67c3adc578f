//! Signing in and out, and changing how a user signs in.

use std::time::Duration;

use super::passwords::{Guesser, Match};
use super::refresh::{RefreshToken, hash_presented};
use super::suspensions::kept_out;
use super::visitor::{Device, Visitor};
use super::{Claims, Identity, Standing};
use crate::domain::audit::AuditAction;
use crate::domain::{AddressPrefix, ClientAddress, FamilyId, Refusal, Timestamp, User, UserId, Username};
use crate::protocol::Failure;
use crate::store::{Credentials, FamilyRotation, NewFamily, Revocation, RevocationKind};

/// How long a refresh token may be presented again while its successor was not. A client that lost the answer
/// asks again by then.
const REPEAT_WITHIN: Duration = Duration::from_secs(30);

/// A sign-in, as the client gets it.
pub struct SignedIn {
    /// The account's user.
    pub user: User,
    /// The bearer token for requests and connections.
    pub access_token: String,
    /// How long the access token is valid.
    pub expires_in_s: u64,
    /// Exchanged for the next access token. Valid once.
    pub refresh_token: String,
    /// Presented at the next sign-in on this device; none for a user without a password.
    pub device_token: Option<String>,
    /// Whether this call created the account.
    pub created: bool,
    pub(super) family: FamilyId,
}

impl Identity {
    /// Signs in by password.
    ///
    /// # Errors
    /// `Unauthenticated` (it does not say which of the two is wrong), `SecondFactorNeeded`, `RateLimited`,
    /// `Overloaded`, `Unavailable`.
    pub async fn sign_in(
        &self,
        username: &str,
        password: String,
        visitor: &Visitor<'_>,
    ) -> Result<SignedIn, Failure> {
        let signed_in = self.check_and_sign_in(username, password, visitor).await;
        let result = match &signed_in {
            Ok(_) => "ok",
            Err(Failure::Refused(Refusal::SecondFactorNeeded)) => "code_needed",
            Err(Failure::Unauthenticated(_) | Failure::Refused(_)) => "wrong",
            Err(Failure::RateLimited { .. }) => "rate_limited",
            Err(Failure::Overloaded { .. }) => "overloaded",
            Err(Failure::Suspended { .. }) => "suspended",
            Err(Failure::Unavailable { .. } | Failure::IssuerAway) => "unavailable",
        };
        self.inner.meters.sign_ins.of(result).increment(1);
        self.note_sign_in(&signed_in, username, visitor.address);
        signed_in
    }

    async fn check_and_sign_in(
        &self,
        username: &str,
        password: String,
        visitor: &Visitor<'_>,
    ) -> Result<SignedIn, Failure> {
        let device = visitor.device()?;
        let wrong = Failure::Unauthenticated("username or password is wrong");
        let Ok(username) = Username::parse(username) else { return Err(wrong) };
        let (credentials, asker) = match self.on_known_device(&username, visitor).await? {
            Some(credentials) => (Some(credentials), Guesser::Known),
            None => {
                self.inner.throttle.sign_in(username.as_str(), visitor.address)?;
                (self.credentials(&username).await?, Guesser::Stranger)
            }
        };
        let one_time = credentials.as_ref().is_some_and(|found| found.one_time);
        let (user, stored) = credentials.map(|found| (found.user, found.password_hash)).unzip();
        let matches = self.inner.passwords.verify_for(asker, password.clone(), stored.clone()).await?;
        match (user, stored) {
            (Some(user), Some(stored)) if matches.is_right() => {
                let id = user.id;
                self.check_second_factor(id, visitor.code).await?;
                if one_time && !self.write(self.inner.store.take_one_time_password(id)).await? {
                    return Err(wrong);
                }
                let signed_in = self.start_with_password(user, &stored, &password, device).await?;
                if matches == Match::Outdated && signed_in.is_some() {
                    self.hash_again(id, stored, password).await;
                }
                signed_in.ok_or(wrong)
            }
            _ => Err(wrong),
        }
    }

    /// The account that is asked for, when the visitor's device has signed in to it before and has guesses
    /// left. Nothing that strangers do uses them up.
    async fn on_known_device(
        &self,
        username: &Username,
        visitor: &Visitor<'_>,
    ) -> Result<Option<Credentials>, Failure> {
        let device = visitor.device_token.and_then(|token| self.inner.tokens.verify_device(token));
        let Some((user, family)) = device else { return Ok(None) };
        // Before the look-ups: a client with one such token must not make any number of them.
        if self.inner.throttle.device(family).is_err() {
            return Ok(None);
        }
        let Some(found) = self.credentials(username).await? else { return Ok(None) };
        let now = self.inner.environment.now();
        let known =
            found.user.id == user && self.read(self.inner.store.is_known_device(user, family, now)).await?;
        Ok(known.then_some(found))
    }

    /// Replaces a hash of former parameters. The sign-in stands without it, so a failure waits for the next
    /// one.
    async fn hash_again(&self, user: UserId, stored: String, password: String) {
        let Ok(hashed) = self.inner.passwords.hash(password).await else { return };
        let replaced = self.inner.store.replace_password_hash(user, &stored, &hashed);
        if self.write(replaced).await == Ok(true) {
            tracing::info!(%user, "a password was hashed again, with the present parameters");
        }
    }

    /// Starts a sign-in of a user whose password was checked against `stored`; `None` when the password was
    /// changed in the meantime. A change ends the sign-ins that exist; a sign-in that is stored after the
    /// change notices it here. Another sign-in may have replaced the hash by one of the same password.
    pub(super) async fn start_with_password(
        &self,
        user: User,
        stored: &str,
        password: &str,
        device: Device,
    ) -> Result<Option<SignedIn>, Failure> {
        let signed_in = self.start_sign_in(user, device, false).await?;
        let user = signed_in.user.id;
        let now_stored = self.read(self.inner.store.password_hash(user)).await?;
        if now_stored.as_deref() == Some(stored) {
            return Ok(Some(signed_in));
        }
        if self.inner.passwords.verify(password.to_owned(), now_stored).await?.is_right() {
            return Ok(Some(signed_in));
        }
        rare!(PasswordChangedDuringASignIn);
        let now = self.inner.environment.now();
        // Not known by its device either: somebody with the former password may hold it.
        if let Ok(ended) = self.write(self.inner.store.end_sign_in(user, signed_in.family, now)).await? {
            self.end(&ended);
        }
        Ok(None)
    }

    /// Exchanges a refresh token for new tokens. A token that was used before ends its whole sign-in, because
    /// somebody else has it. The exception: it was used a moment ago and its successor was not; then the
    /// answer was lost.
    ///
    /// # Errors
    /// `Unauthenticated`: sign in again. `RateLimited`, `Unavailable`.
    pub async fn refresh(&self, presented: &str, address: ClientAddress) -> Result<SignedIn, Failure> {
        self.inner.throttle.refresh(address)?;
        let refused = Failure::Unauthenticated("the refresh token is unknown, expired or revoked");
        let Some(hash) = hash_presented(presented) else { return Err(refused) };
        let now = self.inner.environment.now();
        let next = RefreshToken::draw(&self.inner.environment);
        let end = self.refresh_end(now);
        let network = AddressPrefix::of(address.ip());
        let rotation = self.inner.store.rotate_family(&hash, &next.hash, end, now, REPEAT_WITHIN, &network);
        match self.write(rotation).await? {
            FamilyRotation::Rotated(family) => {
                let claims =
                    Claims { user: family.user, family: Some(family.id), issued_at: now, expires_at: end };
                // A failover or a restore may have lost the end of this sign-in. This node still knows it and
                // would refuse every new token. So the client has to sign in again, and the end is stored
                // again.
                // It is the store that says whether the account is suspended: it would have refused.
                if !matches!(self.standing(&claims), Standing::Good | Standing::Suspended(_)) {
                    self.inner.meters.refreshes.of("unknown").increment(1);
                    if !self.erase_again(family.user).await? {
                        let ended = self.inner.store.revoke(family.user, Some(family.id), now);
                        self.end(&self.write(ended).await?);
                    }
                    return Err(refused);
                }
                self.inner.meters.refreshes.of("ok").increment(1);
                let user = self.read(self.inner.store.user(family.user)).await?.ok_or(refused)?;
                Ok(self.signed_in(user, family.id, next, now, false))
            }
            FamilyRotation::Reused(family) => {
                rare!(RefreshTokenReused);
                self.inner.meters.refreshes.of("reused").increment(1);
                self.note_of(AuditAction::RefreshReused, family.user);
                tracing::warn!(user = %family.user, "a refresh token was used twice: its sign-in was ended");
                let (user, family) = (family.user, Some(family.id));
                self.end(&[Revocation { user, family, at: now, kind: RevocationKind::Tokens }]);
                Err(Failure::Unauthenticated("the refresh token was used before: its sign-in is ended"))
            }
            FamilyRotation::Suspended(suspension) => {
                self.inner.meters.refreshes.of("suspended").increment(1);
                Err(kept_out(suspension, now))
            }
            FamilyRotation::Refused => {
                self.inner.meters.refreshes.of("unknown").increment(1);
                Err(refused)
            }
        }
    }

    /// Ends the sign-in of a token, or all sign-ins of its user: on every node within a second.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn sign_out(&self, claims: &Claims, everywhere: bool) -> Result<(), Failure> {
        // A token of another issuer belongs to no sign-in of ours. All tokens that the issuer issued to this
        // user until now are ended, this one too when the clock that issued it is ahead.
        let family = if everywhere { None } else { claims.family };
        let now = self.inner.environment.now().max(claims.issued_at);
        let ended = self.write(self.inner.store.revoke(claims.user, family, now)).await?;
        self.end(&ended);
        let which = if everywhere { "all sign-ins" } else { "one sign-in" };
        self.note_with(AuditAction::SignOut, claims.user, which);
        // A failover may have lost the sign-in, so that it was not among the user's sign-ins.
        if everywhere && claims.family.is_some() && self.standing(claims) == Standing::Good {
            let ended = self.write(self.inner.store.revoke(claims.user, claims.family, now)).await?;
            self.end(&ended);
        }
        Ok(())
    }

    /// Erases an account with `act` after its owner was verified, and ends its tokens for good.
    ///
    /// # Errors
    /// `Invalid` (the password is missing), `Forbidden` (it is wrong), `RateLimited`, `Overloaded`,
    /// `Unavailable`, and the errors of `act`.
    pub async fn erase(
        &self,
        user: UserId,
        password: Option<String>,
        act: impl Future<Output = Result<Revocation, Failure>>,
    ) -> Result<(), Failure> {
        self.confirm_password(user, password).await?;
        let revocation = act.await?;
        self.end(&[revocation]);
        self.note_of(AuditAction::Erased, user);
        Ok(())
    }

    /// A failover or a restore may have lost the erasure of an account. This node still knows it and refuses
    /// every token of the account. So the account is erased again, as its owner wanted. Returns whether it
    /// was.
    pub(super) async fn erase_again(&self, user: UserId) -> Result<bool, Failure> {
        if !self.inner.revocations.is_gone(user) {
            return Ok(false);
        }
        rare!(ErasureLostByTheLog);
        let now = self.inner.environment.now();
        // The account itself may be lost too.
        if let Ok(revocation) = self.write(self.inner.store.erase(user, now)).await? {
            self.end(&[revocation]);
        }
        Ok(true)
    }

    /// The account of a username; none if this node knows that it was erased.
    pub(super) async fn credentials(&self, username: &Username) -> Result<Option<Credentials>, Failure> {
        let Some(known) = self.read(self.inner.store.credentials(username)).await? else { return Ok(None) };
        Ok(if self.erase_again(known.user.id).await? { None } else { Some(known) })
    }

    /// Sets a new password and ends the user's other sign-ins. When it is repeated because the answer was
    /// lost, the new password is already set, and the other sign-ins are ended again.
    ///
    /// # Errors
    /// `Invalid`, `Forbidden` (the present password is wrong), `Conflict` (there is none), `RateLimited`,
    /// `Overloaded`, `Unavailable`.
    pub async fn change_password(
        &self,
        claims: &Claims,
        current: Option<String>,
        password: String,
    ) -> Result<(), Failure> {
        let user = self.read(self.inner.store.user(claims.user)).await?.ok_or(Refusal::NotFound)?;
        let username = user.username.as_ref().map(Username::as_str).unwrap_or_default();
        self.inner.passwords.check(&password, username)?;
        let Some(stored) = self.read(self.inner.store.password_hash(claims.user)).await? else {
            return Err(Refusal::Conflict("password: this account has none; claim it first").into());
        };
        let confirmed = self.confirm(claims.user, current, stored.clone(), "current_password: needed").await;
        match confirmed {
            Ok(()) => {
                let hashed = self.inner.passwords.hash(password).await?;
                self.write(self.inner.store.set_password(claims.user, &hashed)).await??;
            }
            Err(wrong @ Failure::Refused(Refusal::Forbidden(_))) => {
                // Counts as another try on the account, so that guessing gains nothing by repeating.
                self.inner.throttle.confirmation(&claims.user.to_string())?;
                if !self.inner.passwords.verify(password, Some(stored)).await?.is_right() {
                    return Err(wrong);
                }
            }
            Err(failure) => return Err(failure),
        }
        self.end_others(claims).await?;
        self.note_of(AuditAction::PasswordChanged, claims.user);
        Ok(())
    }

    /// Verifies a user before something that cannot be undone: a user who has a password must give it.
    pub(super) async fn confirm_password(
        &self,
        user: UserId,
        password: Option<String>,
    ) -> Result<(), Failure> {
        match self.read(self.inner.store.password_hash(user)).await? {
            Some(stored) => self.confirm(user, password, stored, "password: needed").await,
            None => Ok(()),
        }
    }

    async fn confirm(
        &self,
        user: UserId,
        given: Option<String>,
        stored: String,
        missing: &'static str,
    ) -> Result<(), Failure> {
        let given = given.ok_or(Refusal::Invalid(missing.into()))?;
        self.inner.throttle.confirmation(&user.to_string())?;
        if self.inner.passwords.verify(given, Some(stored)).await?.is_right() {
            Ok(())
        } else {
            Err(Refusal::Forbidden("the password is wrong").into())
        }
    }

    pub(super) async fn start_sign_in(
        &self,
        user: User,
        device: Device,
        created: bool,
    ) -> Result<SignedIn, Failure> {
        if !created {
            self.may_sign_in(user.id).await?;
        }
        let now = self.inner.environment.now();
        let id = FamilyId::from_uuid(self.inner.environment.new_uuid());
        let refresh = RefreshToken::draw(&self.inner.environment);
        let family = NewFamily {
            id,
            user: user.id,
            token_hash: refresh.hash,
            expires_at: self.refresh_end(now),
            device_name: device.name,
            network: device.network,
            device_hash: device.secret_hash,
        };
        let oldest = self.write(self.inner.store.add_family(&family, now)).await?;
        self.end(&oldest);
        self.inner.known.insert(user.id, ());
        Ok(self.signed_in(user, id, refresh, now, created))
    }

    fn signed_in(
        &self,
        user: User,
        family: FamilyId,
        refresh: RefreshToken,
        now: Timestamp,
        created: bool,
    ) -> SignedIn {
        let access_token = self.inner.tokens.issue(user.id, family, now);
        let expires_in_s = self.inner.tokens.lifetime().as_secs();
        // Nobody guesses at an account without a password.
        let device_token =
            user.username.is_some().then(|| self.inner.tokens.issue_for_device(user.id, family, now));
        let refresh_token = refresh.text;
        SignedIn { user, access_token, expires_in_s, refresh_token, device_token, created, family }
    }

    fn refresh_end(&self, now: Timestamp) -> Timestamp {
        now.plus_ms(i64::try_from(self.inner.options.auth.refresh_token().as_millis()).unwrap_or(i64::MAX))
    }
}
