//! Signing up: accounts, guests, and guests that become accounts. Each call may be repeated when its answer
//! was lost.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use sha2::{Digest, Sha256};

use super::visitor::{Device, Visitor};
use super::{Claims, Identity, SignedIn};
use crate::config::SignUps;
use crate::domain::audit::AuditAction;
use crate::domain::{ClientAddress, Refusal, User, UserId, Username};
use crate::protocol::{Failure, checks};
use crate::store::{Credentials, NewUser, NewUserOutcome};

/// How long a device id is: 128 random bits in base64url have 22 characters.
const DEVICE_BYTES: RangeInclusive<usize> = 22..=64;
/// Characters that differ in a device id at least. Of 10^9 random UUIDs one has fewer; what is typed by hand
/// often has.
const MIN_DIFFERENT: usize = 8;

impl Identity {
    /// Creates an account and signs in to it. When it is repeated with the same name and password, because
    /// the answer was lost, it signs in.
    ///
    /// # Errors
    /// `Invalid`, `Conflict` (the name is taken), `Forbidden` (sign-ups are closed), `RateLimited`,
    /// `Overloaded`, `Unavailable`.
    pub async fn sign_up(
        &self,
        username: &str,
        password: String,
        display_name: Option<&str>,
        visitor: &Visitor<'_>,
    ) -> Result<SignedIn, Failure> {
        let made = self.make_account(username, password, display_name, visitor).await;
        self.count_sign_up("account", &made, visitor.address);
        made
    }

    async fn make_account(
        &self,
        username: &str,
        password: String,
        display_name: Option<&str>,
        visitor: &Visitor<'_>,
    ) -> Result<SignedIn, Failure> {
        self.sign_ups_allowed(SignUps::Open)?;
        let device = visitor.device()?;
        let username = parse_username(username)?;
        let display_name = shown_or(display_name, || username.as_str().to_owned())?;
        self.inner.passwords.check(&password, username.as_str())?;
        self.inner.throttle.sign_up(visitor.address)?;
        if let Some(owner) = self.credentials(&username).await? {
            return self.sign_up_again(owner, password, device, visitor.address).await;
        }
        let password_hash = Some(self.inner.passwords.hash(password.clone()).await?);
        let user = self.new_user(Some(username.clone()), display_name, false);
        let new = NewUser { user, password_hash, device_hash: None };
        match self.write(self.inner.store.create_user(&new)).await? {
            NewUserOutcome::Created => self.start_sign_in(new.user, device, true).await,
            NewUserOutcome::UsernameTaken | NewUserOutcome::Existing(_) => {
                rare!(UsernameTakenDuringASignUp);
                match self.credentials(&username).await? {
                    Some(owner) => self.sign_up_again(owner, password, device, visitor.address).await,
                    None => Err(Refusal::Conflict("username: taken").into()),
                }
            }
        }
    }

    /// The name is taken. A client that also knows its password owns it, as at a sign-in, and may try as
    /// rarely.
    async fn sign_up_again(
        &self,
        owner: Credentials,
        password: String,
        device: Device,
        address: ClientAddress,
    ) -> Result<SignedIn, Failure> {
        let name = owner.user.username.as_ref().map(Username::as_str).unwrap_or_default();
        let may_try = self.inner.throttle.guess(name, address).is_ok();
        let taken = Failure::from(Refusal::Conflict("username: taken"));
        let stored = owner.password_hash;
        if may_try && self.inner.passwords.verify(password.clone(), Some(stored.clone())).await?.is_right() {
            // Whoever has a second factor, or a password that signs in once, signs in.
            match self.check_second_factor(owner.user.id, None).await {
                Err(Failure::Refused(Refusal::SecondFactorNeeded)) => return Err(taken),
                checked => checked?,
            }
            if owner.one_time {
                return Err(taken);
            }
            rare!(SignUpRepeated);
            return self.start_with_password(owner.user, &stored, &password, device).await?.ok_or(taken);
        }
        Err(taken)
    }

    /// Creates a guest, or finds the one of this device.
    ///
    /// # Errors
    /// As [`Identity::sign_up`]; `Conflict` when the device's guest has become an account.
    pub async fn guest(
        &self,
        device_id: Option<&str>,
        display_name: Option<&str>,
        visitor: &Visitor<'_>,
    ) -> Result<SignedIn, Failure> {
        let made = self.find_or_make_guest(device_id, display_name, visitor).await;
        self.count_sign_up("guest", &made, visitor.address);
        made
    }

    async fn find_or_make_guest(
        &self,
        device_id: Option<&str>,
        display_name: Option<&str>,
        visitor: &Visitor<'_>,
    ) -> Result<SignedIn, Failure> {
        self.sign_ups_allowed(SignUps::Guests)?;
        let device = visitor.device()?;
        let device = Device { secret_hash: device_id.map(hash_device).transpose()?, ..device };
        let number = self.inner.environment.random_below(10_000);
        let display_name = shown_or(display_name, || format!("Guest {number:04}"))?;
        self.inner.throttle.sign_up(visitor.address)?;
        let user = self.new_user(None, display_name, true);
        let new = NewUser { user, password_hash: None, device_hash: device.secret_hash };
        let mut made = self.write(self.inner.store.create_user(&new)).await?;
        if let NewUserOutcome::Existing(user) = &made
            && self.erase_again(user.id).await?
        {
            made = self.write(self.inner.store.create_user(&new)).await?;
        }
        match made {
            NewUserOutcome::Created => self.start_sign_in(new.user, device, true).await,
            NewUserOutcome::Existing(user) if user.guest => self.start_as_guest(user, device).await,
            // A device id is not a password: it opens a guest's account, and nothing that was protected by a
            // password since.
            NewUserOutcome::Existing(_) | NewUserOutcome::UsernameTaken => Err(claimed().into()),
        }
    }

    /// Starts a sign-in of a guest that was found by its device; refused when it was claimed in the meantime.
    /// A claim ends the other sign-ins that exist; one that is stored after it notices it here.
    async fn start_as_guest(&self, user: User, device: Device) -> Result<SignedIn, Failure> {
        let signed_in = self.start_sign_in(user, device, false).await?;
        let user = signed_in.user.id;
        if self.read(self.inner.store.user(user)).await?.is_some_and(|user| user.guest) {
            return Ok(signed_in);
        }
        rare!(ClaimedDuringASignIn);
        let now = self.inner.environment.now();
        self.end(&self.write(self.inner.store.revoke(user, Some(signed_in.family), now)).await?);
        Err(claimed().into())
    }

    /// Gives a guest a name and password, and ends its other sign-ins: until now anyone with its device id
    /// could sign in. When it is repeated with the same values, because the answer was lost, it does and
    /// answers the same.
    ///
    /// # Errors
    /// `Invalid`, `Conflict` (taken, or no guest), `Forbidden` (names are closed), `RateLimited`,
    /// `Overloaded`, `Unavailable`.
    pub async fn claim(&self, claims: &Claims, username: &str, password: String) -> Result<User, Failure> {
        let claimed = self.name_guest(claims.user, username, password).await?;
        self.end_others(claims).await?;
        Ok(claimed)
    }

    async fn name_guest(&self, user: UserId, username: &str, password: String) -> Result<User, Failure> {
        self.sign_ups_allowed(SignUps::Open)?;
        let username = parse_username(username)?;
        self.inner.passwords.check(&password, username.as_str())?;
        let known = self.read(self.inner.store.user(user)).await?.ok_or(Refusal::NotFound)?;
        if !known.guest {
            return self.claim_again(known, &username, password).await;
        }
        // A hash is expensive: it is not computed for a name that is taken, and only so often for one guest.
        if self.read(self.inner.store.credentials(&username)).await?.is_some() {
            return Err(Refusal::Conflict("this username is taken").into());
        }
        self.inner.throttle.confirmation(&user.to_string())?;
        let password_hash = self.inner.passwords.hash(password.clone()).await?;
        match self.write(self.inner.store.claim(user, &username, &password_hash)).await? {
            Ok(claimed) => {
                self.note_of(AuditAction::Claimed, user);
                Ok(claimed)
            }
            Err(Refusal::Conflict(why)) => {
                rare!(ClaimLosesARace);
                let known = self.read(self.inner.store.user(user)).await?.ok_or(Refusal::NotFound)?;
                if known.guest {
                    return Err(Refusal::Conflict(why).into());
                }
                self.claim_again(known, &username, password).await
            }
            Err(refusal) => Err(refusal.into()),
        }
    }

    async fn claim_again(&self, known: User, username: &Username, password: String) -> Result<User, Failure> {
        let stored = self.read(self.inner.store.password_hash(known.id)).await?;
        let same_name = known.username.as_ref() == Some(username);
        if same_name
            && stored.is_some()
            && self.inner.throttle.confirmation(&known.id.to_string()).is_ok()
            && self.inner.passwords.verify(password, stored).await?.is_right()
        {
            return Ok(known);
        }
        Err(Refusal::Conflict("only a guest can be claimed").into())
    }

    fn count_sign_up(&self, kind: &'static str, made: &Result<SignedIn, Failure>, address: ClientAddress) {
        self.note_sign_up(kind, made, address);
        match made {
            Ok(signed_in) if signed_in.created => self.inner.meters.sign_ups.of(kind).increment(1),
            Ok(_) => {}
            Err(_) => self.inner.meters.sign_ups.of("refused").increment(1),
        }
    }

    fn new_user(&self, username: Option<Username>, display_name: String, guest: bool) -> User {
        let environment = &self.inner.environment;
        let id = UserId::from_uuid(environment.new_uuid());
        User { id, username, display_name, guest, created_at: environment.now() }
    }

    fn sign_ups_allowed(&self, wanted: SignUps) -> Result<(), Refusal> {
        match (self.inner.options.auth.sign_ups, wanted) {
            (SignUps::Open, _) | (SignUps::Guests, SignUps::Guests) => Ok(()),
            (SignUps::Guests, _) => Err(Refusal::Forbidden("this server takes guests only")),
            (SignUps::Closed, _) => Err(Refusal::Forbidden("this server takes no new accounts")),
        }
    }
}

fn claimed() -> Refusal {
    Refusal::Conflict("device_id: its guest has become an account; sign in with the password")
}

fn parse_username(text: &str) -> Result<Username, Refusal> {
    Username::parse(text).map_err(|error| Refusal::Invalid(error.to_string().into()))
}

fn shown_or(given: Option<&str>, otherwise: impl FnOnce() -> String) -> Result<String, Refusal> {
    given.map_or_else(|| Ok(otherwise()), checks::display_name)
}

fn hash_device(device_id: &str) -> Result<[u8; 32], Refusal> {
    let fits = DEVICE_BYTES.contains(&device_id.len()) && !device_id.chars().any(char::is_control);
    let different: HashSet<char> = device_id.chars().collect();
    if !fits || different.len() < MIN_DIFFERENT {
        return Err(Refusal::Invalid(
            "device_id: 22 to 64 bytes without control characters, drawn at random: send a new UUID, or 128 random bits in base64url".into(),
        ));
    }
    Ok(Sha256::digest(device_id.as_bytes()).into())
}
