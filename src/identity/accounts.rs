//! Signing up, in and out, and what changes how one signs in.

use std::net::IpAddr;

use sha2::{Digest, Sha256};

use super::refresh::{RefreshToken, hash_presented};
use super::{Claims, Identity, SignUps};
use crate::domain::{FamilyId, Refusal, Timestamp, User, UserId, Username};
use crate::protocol::{Failure, checks};
use crate::store::{FamilyRotation, NewFamily, NewUser, NewUserOutcome, Revocation};

/// The longest device id, like every id of a client's making.
const MAX_DEVICE_BYTES: usize = 64;

/// A sign-in, for the client.
pub struct SignedIn {
    /// Who.
    pub user: User,
    /// For requests and connections, as a bearer token.
    pub access_token: String,
    /// How long the access token lives.
    pub expires_in_s: u64,
    /// For the next access token; good once.
    pub refresh_token: String,
    /// The account was made by this call.
    pub created: bool,
}

impl Identity {
    /// Makes an account and signs in to it.
    ///
    /// # Errors
    /// `Invalid`, `Conflict` (the name is taken), `Forbidden` (sign-ups are closed), `RateLimited`, `Overloaded`,
    /// `Unavailable`.
    pub async fn sign_up(
        &self,
        username: &str,
        password: String,
        display_name: Option<&str>,
        address: IpAddr,
    ) -> Result<SignedIn, Failure> {
        let made = self.make_account(username, password, display_name, address).await;
        self.count_sign_up("account", &made);
        made
    }

    async fn make_account(
        &self,
        username: &str,
        password: String,
        display_name: Option<&str>,
        address: IpAddr,
    ) -> Result<SignedIn, Failure> {
        self.sign_ups_allowed(SignUps::Open)?;
        let username = parse_username(username)?;
        let display_name = shown_or(display_name, || username.as_str().to_owned())?;
        self.inner.passwords.check(&password)?;
        self.inner.throttle.sign_up(address)?;
        let password_hash = Some(self.inner.passwords.hash(password).await?);
        let user = self.new_user(Some(username), display_name, false);
        let new = NewUser { user, password_hash, device_hash: None };
        match self.write(self.inner.store.create_user(&new)).await? {
            NewUserOutcome::Created => self.start_sign_in(new.user, true).await,
            NewUserOutcome::UsernameTaken | NewUserOutcome::Existing(_) => {
                Err(Refusal::Conflict("username: taken").into())
            }
        }
    }

    /// Makes a guest, or finds the one of this device.
    ///
    /// # Errors
    /// As [`Identity::sign_up`]; `Conflict` when the device's guest has become an account.
    pub async fn guest(
        &self,
        device_id: Option<&str>,
        display_name: Option<&str>,
        address: IpAddr,
    ) -> Result<SignedIn, Failure> {
        let made = self.find_or_make_guest(device_id, display_name, address).await;
        self.count_sign_up("guest", &made);
        made
    }

    async fn find_or_make_guest(
        &self,
        device_id: Option<&str>,
        display_name: Option<&str>,
        address: IpAddr,
    ) -> Result<SignedIn, Failure> {
        self.sign_ups_allowed(SignUps::Guests)?;
        let device_hash = device_id.map(hash_device).transpose()?;
        let number = self.inner.environment.random_below(10_000);
        let display_name = shown_or(display_name, || format!("Guest {number:04}"))?;
        self.inner.throttle.sign_up(address)?;
        let new = NewUser { user: self.new_user(None, display_name, true), password_hash: None, device_hash };
        match self.write(self.inner.store.create_user(&new)).await? {
            NewUserOutcome::Created => self.start_sign_in(new.user, true).await,
            NewUserOutcome::Existing(user) if user.guest => self.start_sign_in(user, false).await,
            // A device id is no password: it opens a guest's account and nothing that was protected since.
            NewUserOutcome::Existing(_) | NewUserOutcome::UsernameTaken => Err(Refusal::Conflict(
                "device_id: its guest has become an account; sign in with the password",
            )
            .into()),
        }
    }

    /// Signs in by password.
    ///
    /// # Errors
    /// `Unauthenticated` (which of the two is wrong is not told), `RateLimited`, `Overloaded`, `Unavailable`.
    pub async fn sign_in(
        &self,
        username: &str,
        password: String,
        address: IpAddr,
    ) -> Result<SignedIn, Failure> {
        let signed_in = self.check_and_sign_in(username, password, address).await;
        let result = match &signed_in {
            Ok(_) => "ok",
            Err(Failure::Unauthenticated(_) | Failure::Refused(_)) => "wrong",
            Err(Failure::RateLimited { .. }) => "rate_limited",
            Err(Failure::Overloaded { .. }) => "overloaded",
            Err(Failure::Unavailable { .. }) => "unavailable",
        };
        self.inner.meters.sign_ins.of(result).increment(1);
        signed_in
    }

    async fn check_and_sign_in(
        &self,
        username: &str,
        password: String,
        address: IpAddr,
    ) -> Result<SignedIn, Failure> {
        let wrong = Failure::Unauthenticated("username or password is wrong");
        let Ok(username) = Username::parse(username) else { return Err(wrong) };
        self.inner.throttle.sign_in(username.as_str(), address)?;
        let credentials = self.read(self.inner.store.credentials(&username)).await?;
        let (user, stored) = match credentials {
            Some(known) => (Some(known.user), Some(known.password_hash)),
            None => (None, None),
        };
        let matches = self.inner.passwords.verify(password, stored).await?;
        match user {
            Some(user) if matches => self.start_sign_in(user, false).await,
            Some(_) | None => Err(wrong),
        }
    }

    /// Exchanges a refresh token for new tokens. One that was used before ends its whole sign-in: somebody else has it.
    ///
    /// # Errors
    /// `Unauthenticated`: sign in again. `Unavailable`.
    pub async fn refresh(&self, presented: &str) -> Result<SignedIn, Failure> {
        let refused = Failure::Unauthenticated("the refresh token is unknown, expired or revoked");
        let Some(hash) = hash_presented(presented) else { return Err(refused) };
        let now = self.inner.environment.now();
        let next = RefreshToken::draw(&self.inner.environment);
        let rotation = self.inner.store.rotate_family(&hash, &next.hash, self.refresh_end(now), now);
        match self.write(rotation).await? {
            FamilyRotation::Rotated(family) => {
                self.inner.meters.refreshes.of("ok").increment(1);
                let user = self.read(self.inner.store.user(family.user)).await?.ok_or(refused)?;
                Ok(self.signed_in(user, family.id, next, now, false))
            }
            FamilyRotation::Reused(family) => {
                self.inner.meters.refreshes.of("reused").increment(1);
                tracing::warn!(user = %family.user, "a refresh token was used twice: its sign-in is ended");
                let (user, family) = (family.user, Some(family.id));
                self.note(&Revocation { user, family, at: now, final_: false });
                Err(Failure::Unauthenticated("the refresh token was used before: its sign-in is ended"))
            }
            FamilyRotation::Refused => {
                self.inner.meters.refreshes.of("unknown").increment(1);
                Err(refused)
            }
        }
    }

    /// Gives a guest a name and password.
    ///
    /// # Errors
    /// `Invalid`, `Conflict` (taken, or no guest), `Forbidden` (names are closed), `Overloaded`, `Unavailable`.
    pub async fn claim(&self, user: UserId, username: &str, password: String) -> Result<User, Failure> {
        self.sign_ups_allowed(SignUps::Open)?;
        let username = parse_username(username)?;
        self.inner.passwords.check(&password)?;
        let known = self.read(self.inner.store.user(user)).await?.ok_or(Refusal::NotFound)?;
        if !known.guest {
            return Err(Refusal::Conflict("only a guest can be claimed").into());
        }
        let password_hash = self.inner.passwords.hash(password).await?;
        Ok(self.write(self.inner.store.claim(user, &username, &password_hash)).await??)
    }

    /// Sets a new password and ends the user's other sign-ins; answers what ended, to be announced to other nodes.
    ///
    /// # Errors
    /// `Invalid`, `Forbidden` (the present password is wrong), `Conflict` (there is none), `RateLimited`, `Overloaded`,
    /// `Unavailable`.
    pub async fn change_password(
        &self,
        claims: &Claims,
        current: Option<String>,
        password: String,
    ) -> Result<Vec<Revocation>, Failure> {
        self.inner.passwords.check(&password)?;
        let Some(stored) = self.read(self.inner.store.password_hash(claims.user)).await? else {
            return Err(Refusal::Conflict("password: this account has none; claim it first").into());
        };
        self.confirm(claims.user, current, stored, "current_password: needed").await?;
        let hashed = self.inner.passwords.hash(password).await?;
        self.write(self.inner.store.set_password(claims.user, &hashed)).await??;
        let now = self.inner.environment.now();
        let ended = self.write(self.inner.store.revoke_others(claims.user, claims.family, now)).await?;
        ended.iter().for_each(|revocation| self.note(revocation));
        Ok(ended)
    }

    /// Makes sure of a user before something that cannot be undone: who has a password must give it.
    ///
    /// # Errors
    /// `Invalid` (missing), `Forbidden` (wrong), `RateLimited`, `Overloaded`, `Unavailable`.
    pub async fn confirm_password(&self, user: UserId, password: Option<String>) -> Result<(), Failure> {
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
        self.inner.throttle.account(&user.to_string())?;
        if self.inner.passwords.verify(given, Some(stored)).await? {
            Ok(())
        } else {
            Err(Refusal::Forbidden("the password is wrong").into())
        }
    }

    fn count_sign_up(&self, kind: &'static str, made: &Result<SignedIn, Failure>) {
        match made {
            Ok(signed_in) if signed_in.created => self.inner.meters.sign_ups.of(kind).increment(1),
            Ok(_) => {}
            Err(_) => self.inner.meters.sign_ups.of("refused").increment(1),
        }
    }

    async fn start_sign_in(&self, user: User, created: bool) -> Result<SignedIn, Failure> {
        let now = self.inner.environment.now();
        let id = FamilyId::from_uuid(self.inner.environment.new_uuid());
        let refresh = RefreshToken::draw(&self.inner.environment);
        let family =
            NewFamily { id, user: user.id, token_hash: refresh.hash, expires_at: self.refresh_end(now) };
        self.write(self.inner.store.add_family(&family, now)).await?;
        self.inner.known.insert(user.id, ()).await;
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
        SignedIn { user, access_token, expires_in_s, refresh_token: refresh.text, created }
    }

    fn refresh_end(&self, now: Timestamp) -> Timestamp {
        now.plus_ms(i64::try_from(self.inner.options.refresh_token.as_millis()).unwrap_or(i64::MAX))
    }

    fn new_user(&self, username: Option<Username>, display_name: String, guest: bool) -> User {
        let environment = &self.inner.environment;
        let id = UserId::from_uuid(environment.new_uuid());
        User { id, username, display_name, guest, created_at: environment.now() }
    }

    fn sign_ups_allowed(&self, wanted: SignUps) -> Result<(), Refusal> {
        match (self.inner.options.sign_ups, wanted) {
            (SignUps::Open, _) | (SignUps::Guests, SignUps::Guests) => Ok(()),
            (SignUps::Guests, _) => Err(Refusal::Forbidden("this server takes guests only")),
            (SignUps::Closed, _) => Err(Refusal::Forbidden("this server takes no new accounts")),
        }
    }
}

fn parse_username(text: &str) -> Result<Username, Refusal> {
    Username::parse(text).map_err(|error| Refusal::Invalid(error.to_string().into()))
}

fn shown_or(given: Option<&str>, otherwise: impl FnOnce() -> String) -> Result<String, Refusal> {
    given.map_or_else(|| Ok(otherwise()), checks::display_name)
}

fn hash_device(device_id: &str) -> Result<[u8; 32], Refusal> {
    if device_id.is_empty() || device_id.len() > MAX_DEVICE_BYTES || device_id.chars().any(char::is_control) {
        return Err(Refusal::Invalid("device_id: 1 to 64 bytes without control characters".into()));
    }
    Ok(Sha256::digest(device_id.as_bytes()).into())
}
