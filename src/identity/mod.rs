//! Authentication: passwords, access and refresh tokens, tokens of another issuer, and revocations.
//!
//! [`Identity`] is the one handle. Checking a token of ours costs one signature check and no I/O, apart from
//! the first time a node sees a user. Everything else calls the store, each call with a timeout.

mod accounts;
mod audited;
mod external;
mod jwks;
mod keys;
mod options;
mod passwords;
mod refresh;
mod revocations;
mod second_factors;
mod sign_ins;
mod sign_ups;
mod suspensions;
mod throttle;
mod tokens;
mod visitor;

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use thiserror::Error;
use tokio::sync::{Mutex, Notify};

pub use self::accounts::SignedIn;
use self::external::External;
pub use self::external::ExternalError;
pub use self::keys::KeyError;
use self::keys::Keyring;
pub use self::options::{IdentityOptions, KeySource};
pub use self::passwords::MAX_PASSWORD_BYTES;
use self::passwords::{Passwords, PasswordsObserved};
use self::revocations::Revocations;
pub use self::revocations::{AccountSuspended, Source, Standing};
pub use self::second_factors::BegunSecondFactor;
use self::throttle::Throttle;
pub use self::tokens::Claims;
use self::tokens::Tokens;
pub use self::visitor::Visitor;
use crate::audit::AuditLog;
use crate::domain::{AccountState, RevocationKind, Suspension, Timestamp, User, UserId};
use crate::environment::SharedEnvironment;
use crate::panics;
use crate::protocol::Failure;
use crate::store::{
    ListedRevocation, NewUser, NewUserOutcome, Revocation, RevocationCursor, SharedStore, StoreError,
};
use crate::telemetry::meters::IdentityMeters;

/// Users that this node knows to exist, at most.
const KNOWN_USERS: u64 = 200_000;
/// How often old revocations are dropped.
const HOUSEKEEPING_MS: u64 = 60_000;
/// Revocations are kept longer than the longest token by this much, because a node whose clock is slow
/// accepts tokens for longer.
const CLOCKS_APART: Duration = Duration::from_secs(3_600);

/// Why identity cannot be set up. The operator must correct what it names.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// The signing keys.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The password parameters.
    #[error("auth.argon2_*: {0}")]
    Passwords(argon2::Error),
    /// The external issuer.
    #[error(transparent)]
    External(#[from] ExternalError),
}

/// Signing in, tokens and revocations. Cheap to clone.
#[derive(Clone)]
pub struct Identity {
    inner: Arc<Inner>,
}

struct Inner {
    store: SharedStore,
    environment: SharedEnvironment,
    options: IdentityOptions,
    passwords: Passwords,
    tokens: Tokens,
    external: Option<External>,
    revocations: Revocations,
    /// How far the store's revocations were read. Held during a read, so that two readers cannot move it
    /// back.
    revocation_cursor: Mutex<RevocationCursor>,
    /// Another node changed a suspension: the list is read now.
    look: Notify,
    throttle: Throttle,
    meters: IdentityMeters,
    audit: AuditLog,
    known: Cache<UserId, ()>,
}

impl Identity {
    /// Loads or creates the keys and computes one password hash. Blocks for about 10 ms.
    ///
    /// # Errors
    /// [`IdentityError`], for the operator.
    pub fn new(
        options: IdentityOptions,
        store: SharedStore,
        environment: SharedEnvironment,
    ) -> Result<Self, IdentityError> {
        let keys = Keyring::load(&options.keys, &environment)?;
        let auth = &options.auth;
        let tokens = Tokens::new(keys, auth.issuer.clone(), auth.audience.clone(), auth.access_token());
        let meters = IdentityMeters::new();
        let audit = AuditLog::new(Arc::clone(&store), Arc::clone(&environment));
        let passwords = Passwords::new(
            auth,
            options.hash_wait,
            options.server_name.clone(),
            environment.clone(),
            meters.clone(),
        );
        let inner = Inner {
            store,
            passwords: passwords.map_err(IdentityError::Passwords)?,
            tokens,
            external: auth.external().cloned().map(External::new).transpose()?,
            revocations: Revocations::default(),
            revocation_cursor: Mutex::default(),
            look: Notify::new(),
            throttle: Throttle::new(auth, environment.clone()),
            meters,
            audit,
            known: Cache::new(KNOWN_USERS),
            environment,
            options,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Tries what [`Identity::new`] needs and writes nothing. Returns whether there is a key that signs
    /// already. Blocks for about 10 ms.
    ///
    /// # Errors
    /// [`IdentityError`], for the operator.
    pub fn check(options: &IdentityOptions, environment: &SharedEnvironment) -> Result<bool, IdentityError> {
        let there = Keyring::check(&options.keys, environment)?;
        let auth = &options.auth;
        let (name, meters) = (options.server_name.clone(), IdentityMeters::new());
        Passwords::new(auth, options.hash_wait, name, Arc::clone(environment), meters)
            .map_err(IdentityError::Passwords)?;
        auth.external().cloned().map(External::new).transpose()?;
        Ok(there)
    }

    /// The claims of a token that is valid now: signed by us or the external issuer, in its time, not
    /// revoked, and of a user that exists.
    ///
    /// # Errors
    /// `Unauthenticated` with what is wrong, `Suspended`, or `Unavailable`.
    pub async fn authenticate(&self, token: &str) -> Result<Claims, Failure> {
        let now = self.inner.environment.now();
        let claims = match self.inner.tokens.verify(token, now) {
            Some(verified) => verified?,
            None => self.authenticate_external(token, now).await?,
        };
        self.standing(&claims).into_result()?;
        self.must_exist(claims.user).await?;
        // A revocation that arrived during the store call counts too.
        self.standing(&claims)
            .into_result()
            .inspect_err(|_| {
                rare!(RevokedBetweenCheckAndEntry);
                self.inner.known.invalidate(&claims.user);
            })
            .map(|()| claims)
    }

    /// Whether a token that was valid still is. A connection asks this once a revocation can find it, and
    /// again at every revocation.
    pub fn standing(&self, claims: &Claims) -> Standing {
        self.inner.revocations.standing(claims, self.inner.environment.now())
    }

    /// Checks again a token that was valid. Long work calls it between its steps.
    ///
    /// # Errors
    /// `Unauthenticated` when it has expired or was revoked since.
    pub fn recheck(&self, claims: &Claims) -> Result<(), Failure> {
        if claims.expires_at <= self.inner.environment.now() {
            return Err(Failure::Unauthenticated("the token has expired"));
        }
        self.standing(claims).into_result()
    }

    /// `observer` is called with every revocation that is new to this node. It must not block. Set once,
    /// before serving.
    pub fn observe_revocations(&self, observer: impl Fn(&Revocation, Source) + Send + Sync + 'static) {
        let first = self.inner.revocations.observe(observer);
        debug_assert!(first, "one observer, set once");
    }

    /// Another node's revocation arrived by the bus.
    pub fn on_bus_revocation(&self, revocation: &Revocation) {
        match revocation.kind {
            RevocationKind::Tokens | RevocationKind::Erasure => self.note(revocation, Source::Bus),
            // Only the store says what holds now.
            RevocationKind::Suspension => self.inner.look.notify_one(),
        }
    }

    /// Every revocation that this node writes to the store takes this one path: into the list, to the
    /// sessions here, and by the bus to the other nodes. If the path is interrupted, each node finds it in
    /// its next read of the store.
    fn end(&self, revocations: &[Revocation]) {
        revocations.iter().for_each(|revocation| self.note(revocation, Source::Here));
    }

    fn note(&self, revocation: &Revocation, source: Source) {
        self.inner.revocations.note(revocation, source, self.inner.environment.monotonic_ms());
        if revocation.kind == RevocationKind::Erasure {
            // The list forgets after a while, so the store is asked again whether the user exists.
            self.inner.known.invalidate(&revocation.user);
        }
    }

    /// The list forgets a suspension after a while, so the store is asked again whether the user may come in.
    fn note_suspension(&self, revocation: &Revocation, suspension: Option<Suspension>) {
        self.inner.known.invalidate(&revocation.user);
        let now_ms = self.inner.environment.monotonic_ms();
        self.inner.revocations.note_suspension(revocation, suspension, now_ms);
    }

    /// The audit log of this process.
    pub fn audit(&self) -> &AuditLog {
        &self.inner.audit
    }

    /// The options in force.
    pub fn options(&self) -> &IdentityOptions {
        &self.inner.options
    }

    /// How many passwords are hashed and wait to be.
    pub fn observed_passwords(&self) -> PasswordsObserved {
        self.inner.passwords.observed()
    }

    /// The public keys of our tokens, as a JWKS document.
    pub fn jwks(&self) -> serde_json::Value {
        self.inner.tokens.keys().jwks()
    }

    /// Reads the revocations that are new since the last read. Called once before serving, so that no revoked
    /// token is accepted after a restart, and then by [`Identity::run`].
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn catch_up(&self) -> Result<(), Failure> {
        let mut cursor = self.inner.revocation_cursor.lock().await;
        let (mut read, mut named) = (*cursor, None);
        loop {
            let (revocations, next) = self.read(self.inner.store.revocations(read)).await?;
            if next.epoch != read.epoch {
                // Another log may have lost suspensions that this node knows. Which, it says in the end.
                named = Some(HashSet::new());
            }
            for ListedRevocation { revocation, suspension } in &revocations {
                match revocation.kind {
                    RevocationKind::Tokens | RevocationKind::Erasure => self.note(revocation, Source::Store),
                    RevocationKind::Suspension => {
                        named.iter_mut().for_each(|named| _ = named.insert(revocation.user));
                        self.note_suspension(revocation, suspension.clone());
                    }
                }
            }
            read = next;
            match &named {
                None => *cursor = read,
                // A list that was not read to its end is read from its beginning again.
                Some(named) if revocations.is_empty() => {
                    self.inner.revocations.keep_suspensions_of(named);
                    *cursor = read;
                }
                Some(_) => {}
            }
            if revocations.is_empty() {
                return Ok(());
            }
        }
    }

    /// Keeps revocations up to date and removes old ones. Never returns: spawn it, and abort it at shutdown.
    pub async fn run(&self) {
        let mut cleaned_at_ms = 0;
        loop {
            let pause = Duration::from_millis(self.inner.options.auth.revocation_poll_ms);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.inner.look.notified() => {}
            }
            panics::point("identity");
            // The failure was logged; the next round tries again.
            let _ = self.catch_up().await;
            let now_ms = self.inner.environment.monotonic_ms();
            if now_ms.saturating_sub(cleaned_at_ms) >= HOUSEKEEPING_MS {
                cleaned_at_ms = now_ms;
                self.clean_up().await;
            }
        }
    }

    async fn clean_up(&self) {
        let (access, external) = (
            self.inner.options.auth.access_token(),
            self.inner.external.as_ref().map_or(Duration::ZERO, External::max_age),
        );
        let longest = access.max(external);
        let now_ms = self.inner.environment.monotonic_ms();
        let before_ms = |age: Duration| now_ms.saturating_sub(as_ms(age + CLOCKS_APART));
        self.inner.revocations.prune(before_ms(access), before_ms(longest));
        let kept_ms = i64::try_from(as_ms(longest + CLOCKS_APART)).unwrap_or(i64::MAX);
        let written_before = self.inner.environment.now().plus_ms(-kept_ms);
        let _ = self.write(self.inner.store.forget_revocations(written_before)).await;
    }

    async fn authenticate_external(&self, token: &str, now: Timestamp) -> Result<Claims, Failure> {
        let Some(external) = &self.inner.external else {
            return Err(Failure::Unauthenticated("the token is not valid"));
        };
        let described = external.verify(token, now, self.inner.environment.monotonic_ms()).await?;
        let id = described.claims.user;
        if self.standing(&described.claims) == Standing::Good && !self.inner.known.contains_key(&id) {
            let display_name = described.display_name.unwrap_or_else(|| "Player".to_owned());
            let user = User { id, username: None, display_name, guest: false, created_at: now };
            let new = NewUser { user, password_hash: None, device_hash: None };
            match self.write(self.inner.store.create_user(&new)).await? {
                NewUserOutcome::Created => {
                    self.inner.meters.sign_ups.of("external").increment(1);
                    self.inner.known.insert(id, ());
                }
                // The user may have been erased since.
                NewUserOutcome::Existing(_) => {}
                NewUserOutcome::UsernameTaken => return Err(Failure::Unavailable { definite: true }),
            }
        }
        Ok(described.claims)
    }

    /// A token of ours names a user that existed when it was issued. The store is asked once per node
    /// nevertheless, so that a leaked key cannot speak for users that never existed.
    async fn must_exist(&self, user: UserId) -> Result<(), Failure> {
        if self.inner.known.contains_key(&user) {
            return Ok(());
        }
        match self.read(self.inner.store.account_state(user)).await? {
            AccountState::Gone => return Err(Failure::Unauthenticated("the token names nobody")),
            living => self.not_suspended(living).inspect_err(|_| rare!(SuspensionUnknownToTheList))?,
        }
        self.inner.known.insert(user, ());
        Ok(())
    }

    async fn read<T>(&self, call: impl Future<Output = Result<T, StoreError>> + Send) -> Result<T, Failure> {
        Ok(call.await?)
    }

    async fn write<T>(&self, call: impl Future<Output = Result<T, StoreError>> + Send) -> Result<T, Failure> {
        Ok(call.await?)
    }
}

fn as_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
