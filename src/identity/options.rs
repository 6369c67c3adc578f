//! The options of identity: the section `[auth]` of the settings, and what `app` adds to it.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::{AuthSettings, Settings};

/// The source of the keys that sign access tokens.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// One or two PKCS#8 PEM files with Ed25519 keys: the first signs, both verify.
    Files(Vec<PathBuf>),
    /// A folder: `signing.pem` signs and is created at the first start; `previous.pem`, if it exists, still
    /// verifies.
    Folder(PathBuf),
}

/// All options of identity.
#[derive(Debug, Clone)]
pub struct IdentityOptions {
    /// Tokens, passwords, limits on guessing, and another issuer.
    pub auth: AuthSettings,
    /// The signing keys.
    pub keys: KeySource,
    /// The longest wait for the hash of a password.
    pub hash_wait: Duration,
    /// The server's name, as people are shown it.
    pub server_name: String,
}

impl IdentityOptions {
    /// As in-process tests have them: cheap hashes, no limits per address, and keys in `folder`.
    pub fn for_tests(folder: PathBuf) -> Self {
        let auth = Settings::for_tests().auth;
        let (hash_wait, server_name) = (Duration::from_secs(3), "Tidings".to_owned());
        Self { auth, keys: KeySource::Folder(folder), hash_wait, server_name }
    }
}
