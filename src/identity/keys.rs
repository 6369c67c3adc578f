//! The Ed25519 keys that sign access tokens: up to two, the first signs, both verify, so that keys can be
//! changed without anybody being signed out (new key first, old one second, until the last old token has
//! expired).

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, ParsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::options::KeySource;
use crate::environment::SharedEnvironment;

const SIGNING_FILE: &str = "signing.pem";
const PREVIOUS_FILE: &str = "previous.pem";
const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";
/// An Ed25519 key in PEM is about 120 bytes.
const MAX_FILE_BYTES: u64 = 16 * 1024;

/// Why there is no keyring.
#[derive(Debug, Error)]
pub enum KeyError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file that could not be read.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file holds something else.
    #[error("{0}: not an Ed25519 private key in PKCS#8 PEM form (openssl genpkey -algorithm ed25519)")]
    NotAKey(PathBuf),
    /// None, or more than two.
    #[error("{0} key files: one or two are needed, the first signs")]
    Count(usize),
}

/// One key and what is derived from it.
#[derive(Debug)]
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: ParsedPublicKey,
    kid: String,
    /// The encoded header of every token signed with this key, and the dot after it: the only header that is
    /// accepted, so nothing in a header is ever interpreted.
    header: String,
}

impl SigningKey {
    fn new(pair: Ed25519KeyPair) -> Option<Self> {
        let public_bytes = pair.public_key().as_ref();
        let public = ParsedPublicKey::new(&ED25519, public_bytes).ok()?;
        let x = URL_SAFE_NO_PAD.encode(public_bytes);
        // RFC 7638: the members in this order, without white space.
        let kid =
            URL_SAFE_NO_PAD.encode(Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)));
        let header = format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"at+jwt"}}"#);
        Some(Self { pair, public, kid, header: URL_SAFE_NO_PAD.encode(header) + "." })
    }

    fn from_pem(path: &Path) -> Result<Self, KeyError> {
        let file = |source| KeyError::File { path: path.to_owned(), source };
        if fs::metadata(path).map_err(file)?.len() > MAX_FILE_BYTES {
            return Err(KeyError::NotAKey(path.to_owned()));
        }
        let text = fs::read_to_string(path).map_err(file)?;
        warn_when_shared(path);
        let body = text.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END)).map(|(body, _)| body);
        let der = body.and_then(|body| STANDARD.decode(body.split_whitespace().collect::<String>()).ok());
        der.and_then(|der| Ed25519KeyPair::from_pkcs8(&der).ok())
            .and_then(Self::new)
            .ok_or_else(|| KeyError::NotAKey(path.to_owned()))
    }

    /// The encoded header of its tokens, with the dot that follows.
    pub fn header(&self) -> &str {
        &self.header
    }

    /// The key's name: its RFC 7638 thumbprint.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Signs bytes.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut signature = [0_u8; 64];
        signature.copy_from_slice(self.pair.sign(message).as_ref());
        signature
    }

    /// Whether this key made the signature.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.public.verify_sig(message, signature).is_ok()
    }
}

/// The keys in force.
#[derive(Debug)]
pub struct Keyring {
    signing: SigningKey,
    previous: Option<SigningKey>,
}

impl Keyring {
    /// Reads the keys, or makes one on the first run of a folder.
    ///
    /// # Errors
    /// [`KeyError`]: the operator must mend what it names.
    pub fn load(source: &KeySource, environment: &SharedEnvironment) -> Result<Self, KeyError> {
        match source {
            KeySource::Files(files) => match files.as_slice() {
                [signing] => Ok(Self { signing: SigningKey::from_pem(signing)?, previous: None }),
                [signing, previous] => Ok(Self {
                    signing: SigningKey::from_pem(signing)?,
                    previous: Some(SigningKey::from_pem(previous)?),
                }),
                other => Err(KeyError::Count(other.len())),
            },
            KeySource::Folder(folder) => {
                let (signing, previous) = (folder.join(SIGNING_FILE), folder.join(PREVIOUS_FILE));
                if !signing.exists() {
                    make(folder, &signing, environment)?;
                }
                let previous = previous.exists().then(|| SigningKey::from_pem(&previous)).transpose()?;
                Ok(Self { signing: SigningKey::from_pem(&signing)?, previous })
            }
        }
    }

    /// The key that signs.
    pub fn signing(&self) -> &SigningKey {
        &self.signing
    }

    /// The key whose tokens begin like this one.
    pub fn of_token(&self, token: &str) -> Option<&SigningKey> {
        [Some(&self.signing), self.previous.as_ref()]
            .into_iter()
            .flatten()
            .find(|key| token.starts_with(key.header.as_str()))
    }

    /// The public keys as a JWKS document (RFC 7517).
    pub fn jwks(&self) -> serde_json::Value {
        let keys: Vec<_> = [Some(&self.signing), self.previous.as_ref()]
            .into_iter()
            .flatten()
            .map(|key| {
                let x = URL_SAFE_NO_PAD.encode(key.pair.public_key().as_ref());
                json!({ "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": key.kid(), "x": x })
            })
            .collect();
        json!({ "keys": keys })
    }
}

/// Makes a key file that only this user can read. Two servers that start on one folder at once end with one
/// key: the second finds the file and leaves it.
fn make(folder: &Path, path: &Path, environment: &SharedEnvironment) -> Result<(), KeyError> {
    let file = |source| KeyError::File { path: path.to_owned(), source };
    let mut seed = [0_u8; 32];
    environment.fill_random(&mut seed);
    let not_made = |_| KeyError::NotAKey(path.to_owned());
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(not_made)?;
    let der = pair.to_pkcs8v1().map_err(|_| KeyError::NotAKey(path.to_owned()))?;
    let pem = format!("{BEGIN}\n{}\n{END}\n", STANDARD.encode(der.as_ref()));

    fs::create_dir_all(folder).map_err(file)?;
    let temporary = folder.join(format!(".{}.tmp", environment.new_uuid().simple()));
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
        options.mode(0o600);
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(file)?;
    }
    let mut out = options.open(&temporary).map_err(file)?;
    out.write_all(pem.as_bytes()).and_then(|()| out.sync_all()).map_err(file)?;
    // A link fails when the name is taken, where a rename would replace another's key.
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary).map_err(file)?;
    match linked {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(file(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(unix)]
fn warn_when_shared(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let shared = fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o007 != 0);
    if shared {
        tracing::warn!(path = %path.display(), "every user of this machine can use this private key: chmod 600");
    }
}

#[cfg(not(unix))]
fn warn_when_shared(_: &Path) {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::SystemEnvironment;

    #[test]
    fn a_folder_gets_one_private_key_and_keeps_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let (source, environment) =
            (KeySource::Folder(folder.path().join("keys")), SystemEnvironment::shared());
        let first = Keyring::load(&source, &environment).expect("made");
        let second = Keyring::load(&source, &environment).expect("read");
        assert_eq!(first.signing().kid(), second.signing().kid());
        assert_eq!(second.jwks()["keys"][0]["kid"], first.signing().kid());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let path = folder.path().join("keys").join(SIGNING_FILE);
            let mode = fs::metadata(path).expect("the key file").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert_eq!(
            fs::read_dir(folder.path().join("keys")).expect("the folder").count(),
            1,
            "no temporary file stays"
        );
    }

    #[test]
    fn the_thumbprint_is_that_of_rfc_8037() {
        // RFC 8037, appendix A: the key and its thumbprint.
        let seed = URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").expect("base64");
        let key = Ed25519KeyPair::from_seed_unchecked(&seed).ok().and_then(SigningKey::new).expect("a key");
        assert_eq!(key.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn what_is_no_key_is_refused_with_its_path() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.pem");
        fs::write(&path, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").expect("written");
        let error =
            Keyring::load(&KeySource::Files(vec![path]), &SystemEnvironment::shared()).expect_err("no key");
        assert!(error.to_string().contains("x.pem: not an Ed25519"), "{error}");
        assert!(matches!(
            Keyring::load(&KeySource::Files(vec![]), &SystemEnvironment::shared()),
            Err(KeyError::Count(0))
        ));
    }
}
