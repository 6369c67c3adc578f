//! Passwords: hashed with Argon2id outside the worker threads, a limited number at once.
//!
//! A hash takes tens of milliseconds of a core and megabytes of memory by design, so hashing is the cheapest
//! way to overload a server. At most `parallel` hashes run, at most `queue` wait, and none waits longer than
//! `max_wait`.
//!
//! Systems type the same password differently ("ü" as one character or as two). So the hash is of its form
//! after RFC 8265 (OpaqueString): all kinds of spaces become one, and the text is composed (NFC).

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use unicode_normalization::UnicodeNormalization;

use crate::config::AuthSettings;
use crate::domain::Refusal;
use crate::domain::passwords::is_guessed_first;
use crate::environment::SharedEnvironment;
use crate::protocol::Failure;
use crate::telemetry::meters::IdentityMeters;

/// Longer passwords are refused: nobody types them, and an attacker could make the server hash them.
pub const MAX_PASSWORD_BYTES: usize = 1_024;
/// How long a client must wait after the queue was full.
const RETRY_AFTER_MS: u64 = 1_000;

/// The password hasher.
pub struct Passwords {
    argon2: Argon2<'static>,
    environment: SharedEnvironment,
    /// Hashes computed at once, and how many more may wait.
    parallel: usize,
    queue: usize,
    min_bytes: usize,
    max_wait: Duration,
    running: Arc<Semaphore>,
    /// Running and waiting hashes together.
    admitted: Arc<Semaphore>,
    /// A hash of random bytes with the present parameters. The password of an unknown user is checked against
    /// it.
    decoy: String,
    meters: IdentityMeters,
    /// The name of the server, which is nobody's password.
    server_name: String,
}

/// Who waits for a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guesser {
    /// Anybody. The last quarter of the queue is not theirs.
    Stranger,
    /// A device that signed in before.
    Known,
}

/// What a password is to a stored hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// It is another one.
    Wrong,
    /// It is the password.
    Right,
    /// It is the password, and the hash is of other parameters than the present ones.
    Outdated,
}

impl Match {
    /// Whether it is the password.
    pub fn is_right(self) -> bool {
        self != Self::Wrong
    }
}

/// The state of the password hasher, for inspection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PasswordsObserved {
    /// Hashes that are computed.
    pub running_hashes: usize,
    /// Hashes that wait for one of those to end.
    pub waiting_hashes: usize,
}

/// A permit for one hash. It is released when the hash is done, also when its request has ended.
struct Turn {
    _places: [OwnedSemaphorePermit; 2],
    began_us: u64,
    environment: SharedEnvironment,
    meters: IdentityMeters,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.meters.argon2_latency.record_since_us(self.began_us, self.environment.monotonic_us());
    }
}

/// Counts a waiting hash while this lives.
struct Waiting<'a>(&'a IdentityMeters);

impl<'a> Waiting<'a> {
    fn new(meters: &'a IdentityMeters) -> Self {
        meters.argon2_queue.increment(1.0);
        Self(meters)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.argon2_queue.decrement(1.0);
    }
}

impl Passwords {
    /// Creates the hasher and computes one hash. `max_wait`: the longest wait for a turn.
    ///
    /// # Errors
    /// When Argon2 does not accept the parameters.
    pub fn new(
        auth: &AuthSettings,
        max_wait: Duration,
        server_name: String,
        environment: SharedEnvironment,
        meters: IdentityMeters,
    ) -> Result<Self, argon2::Error> {
        let params = Params::new(auth.argon2_memory_kib, auth.argon2_iterations, 1, None)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut unknown = [0_u8; 32];
        environment.fill_random(&mut unknown);
        let decoy =
            hash(&argon2, &unknown, salt(&environment)).map_err(|()| argon2::Error::AlgorithmInvalid)?;
        Ok(Self {
            argon2,
            running: Arc::new(Semaphore::new(auth.argon2_parallel)),
            admitted: Arc::new(Semaphore::new(auth.argon2_parallel + auth.argon2_queue)),
            environment,
            parallel: auth.argon2_parallel,
            queue: auth.argon2_queue,
            min_bytes: auth.password_min_bytes,
            max_wait,
            decoy,
            meters,
            server_name,
        })
    }

    /// Hashes a password that was checked ([`Passwords::check`]) or is stored already, to PHC form.
    ///
    /// # Errors
    /// `Overloaded` when too many hashes wait.
    pub async fn hash(&self, password: String) -> Result<String, Failure> {
        let turn = self.turn(Guesser::Stranger).await?;
        let (argon2, salt) = (self.argon2.clone(), salt(&self.environment));
        let hashed = self.aside(move || {
            let _turn = turn;
            hash(&argon2, enforced(&password).as_bytes(), salt)
        });
        match hashed.await {
            Some(Ok(hashed)) => Ok(hashed),
            Some(Err(())) | None => Err(broken("hash")),
        }
    }

    /// Whether `password` belongs to the hash `stored`. Without a stored hash the same work is done and the
    /// result is `Wrong`, so that the time does not show whether the user exists. A hash may be older than
    /// the rule for spellings, so the text as it came is tried second if it differs.
    ///
    /// # Errors
    /// `Overloaded` when too many hashes wait.
    pub async fn verify(&self, password: String, stored: Option<String>) -> Result<Match, Failure> {
        self.verify_for(Guesser::Stranger, password, stored).await
    }

    /// As [`Passwords::verify`]; says who waits.
    ///
    /// # Errors
    /// As [`Passwords::verify`].
    pub async fn verify_for(
        &self,
        asker: Guesser,
        password: String,
        stored: Option<String>,
    ) -> Result<Match, Failure> {
        if password.len() > MAX_PASSWORD_BYTES {
            return Ok(Match::Wrong);
        }
        let turn = self.turn(asker).await?;
        let known = stored.is_some();
        let (argon2, stored) = (self.argon2.clone(), stored.unwrap_or_else(|| self.decoy.clone()));
        let matches = self.aside(move || {
            let _turn = turn;
            let hash = PasswordHash::new(&stored)?;
            let is_it = |text: &str| argon2.verify_password(text.as_bytes(), &hash).is_ok();
            let enforced = enforced(&password);
            let matches = is_it(&enforced) || (enforced != password && is_it(&password));
            let present = Params::try_from(&hash).is_ok_and(|of_hash| {
                let wanted = argon2.params();
                let costs = |params: &Params| (params.m_cost(), params.t_cost(), params.p_cost());
                costs(&of_hash) == costs(wanted)
            });
            Ok::<_, argon2::password_hash::phc::Error>(match (matches, present) {
                (false, _) => Match::Wrong,
                (true, true) => Match::Right,
                (true, false) => Match::Outdated,
            })
        });
        match matches.await {
            Some(Ok(matches)) => Ok(if known { matches } else { Match::Wrong }),
            Some(Err(_)) | None => Err(broken("verify")),
        }
    }

    /// The result of work on a thread of its own; `None` when it panicked.
    async fn aside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (leave, result) = oneshot::channel();
        let work = Box::new(move || {
            // Nobody reads the result once the caller has gone.
            let _ = leave.send(work());
        });
        self.environment.work_aside(work).await;
        result.await.ok()
    }

    /// Whether a new password of the user named `username` is acceptable.
    ///
    /// # Errors
    /// `Invalid` when it is too short, too long, contains U+0000, or is guessed first.
    pub fn check(&self, password: &str, username: &str) -> Result<(), Refusal> {
        let min = self.min_bytes;
        let fits = password.len() <= MAX_PASSWORD_BYTES && enforced(password).len() >= min;
        if !fits || password.contains('\0') {
            let why = format!("password: {min} to {MAX_PASSWORD_BYTES} bytes, without U+0000");
            return Err(Refusal::Invalid(why.into()));
        }
        if is_guessed_first(&enforced(password), &[username, &self.server_name]) {
            let why = "password: one of those that are guessed first; choose several words, or have a password manager make it";
            return Err(Refusal::Invalid(why.into()));
        }
        Ok(())
    }

    /// How many hashes are computed and wait.
    pub fn observed(&self) -> PasswordsObserved {
        let Self { parallel, queue, .. } = *self;
        // The places are taken before the turns are, so no hash is counted twice.
        let running = parallel.saturating_sub(self.running.available_permits());
        let admitted = (parallel + queue).saturating_sub(self.admitted.available_permits());
        PasswordsObserved { running_hashes: running, waiting_hashes: admitted.saturating_sub(running) }
    }

    async fn turn(&self, asker: Guesser) -> Result<Turn, Failure> {
        let overloaded = Failure::Overloaded { retry_after_ms: RETRY_AFTER_MS };
        // Strangers who fill the queue leave places to the users whom they guess at.
        if asker == Guesser::Stranger && self.admitted.available_permits() <= self.queue / 4 {
            return Err(overloaded);
        }
        let Ok(admitted) = self.admitted.clone().try_acquire_owned() else { return Err(overloaded) };
        let began_us = self.environment.monotonic_us();
        let _waiting = Waiting::new(&self.meters);
        match tokio::time::timeout(self.max_wait, self.running.clone().acquire_owned()).await {
            Ok(Ok(running)) => Ok(Turn {
                _places: [running, admitted],
                began_us,
                environment: self.environment.clone(),
                meters: self.meters.clone(),
            }),
            Ok(Err(_)) | Err(_) => Err(overloaded),
        }
    }
}

/// A password's normal form: RFC 8265, section 4.2.2. Control characters, which the RFC forbids, are kept.
fn enforced(password: &str) -> Cow<'_, str> {
    if password.is_ascii() {
        return Cow::Borrowed(password);
    }
    // White space that neither controls nor separates lines is the category of spaces (Zs).
    let is_space = |c: char| c.is_whitespace() && !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}');
    Cow::Owned(password.chars().map(|c| if is_space(c) { ' ' } else { c }).nfc().collect())
}

fn salt(environment: &SharedEnvironment) -> [u8; 16] {
    let mut salt = [0_u8; 16];
    environment.fill_random(&mut salt);
    salt
}

fn hash(argon2: &Argon2<'_>, password: &[u8], salt: [u8; 16]) -> Result<String, ()> {
    let hashed: PasswordHash = argon2.hash_password_with_salt(password, &salt).map_err(|_| ())?;
    Ok(hashed.to_string())
}

fn broken(what: &'static str) -> Failure {
    tracing::error!(
        what,
        "a password could not be hashed or checked: the stored hash is damaged, or there is no memory"
    );
    Failure::Unavailable { definite: true }
}

#[cfg(test)]
mod tests;
