//! The options of identity. `app` fills them in from the configuration.

use std::path::PathBuf;
use std::time::Duration;

/// The source of the keys that sign access tokens.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// One or two PKCS#8 PEM files with Ed25519 keys: the first signs, both verify.
    Files(Vec<PathBuf>),
    /// A folder: `signing.pem` signs and is created at the first start; `previous.pem`, if it exists, still
    /// verifies.
    Folder(PathBuf),
}

/// Who may sign up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignUps {
    /// Anybody may sign up, as a guest or by name.
    Open,
    /// Guests only; they may not claim a name.
    Guests,
    /// Nobody may sign up.
    Closed,
}

/// How passwords are hashed (Argon2id), and how many at once.
#[derive(Debug, Clone)]
pub struct PasswordOptions {
    /// Memory per hash, in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub iterations: u32,
    /// Hashes computed at once. Each takes a core and `memory_kib`.
    pub parallel: usize,
    /// Hashes that may wait. One more is refused at once.
    pub queue: usize,
    /// The longest wait.
    pub max_wait: Duration,
    /// The shortest password, in bytes.
    pub min_bytes: usize,
}

/// Limits on guessing and on mass sign-ups, per minute; 0 is no limit.
#[derive(Debug, Clone, Copy)]
pub struct ThrottleOptions {
    /// Passwords tried on one account.
    pub sign_ins_per_minute: u32,
    /// Passwords tried from one address.
    pub sign_ins_per_ip_per_minute: u32,
    /// Accounts and guests created from one address.
    pub sign_ups_per_ip_per_minute: u32,
    /// Refresh tokens presented from one address.
    pub refreshes_per_ip_per_minute: u32,
}

/// The source of an external issuer's public keys.
#[derive(Debug, Clone)]
pub enum ExternalKeys {
    /// A PEM file with one public key.
    PemFile(PathBuf),
    /// A JWKS document, fetched when first needed.
    Jwks {
        /// Its address.
        url: String,
        /// After how long fetched keys are read again.
        refresh: Duration,
    },
}

/// Another issuer whose tokens are accepted.
#[derive(Debug, Clone)]
pub struct ExternalOptions {
    /// `iss` of its tokens.
    pub issuer: String,
    /// `aud` of its tokens.
    pub audience: String,
    /// Names of the accepted algorithms (RFC 7518), all asymmetric.
    pub algorithms: Vec<String>,
    /// Its keys.
    pub keys: ExternalKeys,
    /// The claim that names the user.
    pub user_claim: String,
    /// The claim with the name to show.
    pub name_claim: String,
    /// Tokens issued longer ago than this are refused even if they have not expired, because revocations are
    /// kept only that long.
    pub max_age: Duration,
}

/// All options of identity.
#[derive(Debug, Clone)]
pub struct IdentityOptions {
    /// `iss` of access tokens.
    pub issuer: String,
    /// `aud` of access tokens.
    pub audience: String,
    /// How long an access token is valid.
    pub access_token: Duration,
    /// How long a refresh token is valid.
    pub refresh_token: Duration,
    /// The signing keys.
    pub keys: KeySource,
    /// Password hashing.
    pub passwords: PasswordOptions,
    /// Who may sign up.
    pub sign_ups: SignUps,
    /// Limits on guessing.
    pub throttle: ThrottleOptions,
    /// Another issuer, if any.
    pub external: Option<ExternalOptions>,
    /// How often the store is asked for new revocations.
    pub revocation_poll: Duration,
}

impl IdentityOptions {
    /// The defaults of the configuration, with keys in `folder`.
    pub fn with_keys_in(folder: PathBuf) -> Self {
        Self {
            issuer: "tidings".to_owned(),
            audience: "tidings".to_owned(),
            access_token: Duration::from_secs(900),
            refresh_token: Duration::from_secs(30 * 86_400),
            keys: KeySource::Folder(folder),
            passwords: PasswordOptions {
                memory_kib: 19_456,
                iterations: 2,
                parallel: 2,
                queue: 256,
                max_wait: Duration::from_secs(3),
                min_bytes: 8,
            },
            sign_ups: SignUps::Open,
            throttle: ThrottleOptions {
                sign_ins_per_minute: 10,
                sign_ins_per_ip_per_minute: 60,
                sign_ups_per_ip_per_minute: 60,
                refreshes_per_ip_per_minute: 1_200,
            },
            external: None,
            revocation_poll: Duration::from_millis(500),
        }
    }
}
