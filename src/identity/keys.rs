//! The Ed25519 keys that sign access tokens: up to two, the first signs, both verify, so that keys can be
//! changed without anybody being signed out (new key first, old one second, until the last old token has
//! expired).

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use serde::Serialize;
use serde_json::json;
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
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A file holds something else.
    #[error("{0}: not an Ed25519 private key in PKCS#8 PEM form (openssl genpkey -algorithm ed25519)")]
    NotAKey(PathBuf),
    /// None, or more than two.
    #[error("{0} key files are configured: configure one or two; the first one signs")]
    Count(usize),
}

/// One key and what is derived from it.
#[derive(Debug)]
pub struct SigningKey {
    private: EncodingKey,
    public: DecodingKey,
    jwk: Jwk,
    /// The key's name: its RFC 7638 thumbprint.
    kid: String,
    /// The header of every token signed with this key: the only one that is accepted, so that a token cannot
    /// choose how it is verified.
    header: Header,
    /// The same for tokens of known devices. Its other type keeps either kind from being taken for the other
    /// (RFC 8725, section 3.11).
    device_header: Header,
}

impl SigningKey {
    fn new(private: EncodingKey) -> jsonwebtoken::errors::Result<Self> {
        let mut jwk = Jwk::from_encoding_key(&private, Algorithm::EdDSA)?;
        let public = DecodingKey::from_jwk(&jwk)?;
        let kid = jwk.thumbprint(ThumbprintHash::SHA256)?;
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        jwk.common.key_id = Some(kid.clone());
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some(kid.clone());
        let device_header = Header { typ: Some("device+jwt".to_owned()), ..header.clone() };
        Ok(Self { private, public, jwk, kid, header, device_header })
    }

    fn from_pem(path: &Path) -> Result<Self, KeyError> {
        let file = |source| KeyError::File { path: path.to_owned(), source };
        if fs::metadata(path).map_err(file)?.len() > MAX_FILE_BYTES {
            return Err(KeyError::NotAKey(path.to_owned()));
        }
        let text = fs::read(path).map_err(file)?;
        warn_when_shared(path);
        EncodingKey::from_ed_pem(&text).and_then(Self::new).map_err(|_| KeyError::NotAKey(path.to_owned()))
    }

    /// The header of its access tokens.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The header of its tokens of known devices.
    pub fn device_header(&self) -> &Header {
        &self.device_header
    }

    /// A token with one of its headers and these claims; `None` when they do not encode.
    pub fn issue(&self, header: &Header, claims: &impl Serialize) -> Option<String> {
        jsonwebtoken::encode(header, claims, &self.private).ok()
    }

    /// The key that verifies its tokens.
    pub fn verifying(&self) -> &DecodingKey {
        &self.public
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
    /// [`KeyError`]: it names the mistake that the operator must correct.
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

    /// Reads the keys and makes none. Returns whether there is one that signs; the first run of a folder
    /// makes it.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn check(source: &KeySource, environment: &SharedEnvironment) -> Result<bool, KeyError> {
        let missing = matches!(source, KeySource::Folder(folder) if !folder.join(SIGNING_FILE).exists());
        if missing { Ok(false) } else { Self::load(source, environment).map(|_| true) }
    }

    /// The key that signs.
    pub fn signing(&self) -> &SigningKey {
        &self.signing
    }

    /// Both keys, or the one there is.
    fn all(&self) -> impl Iterator<Item = &SigningKey> {
        [Some(&self.signing), self.previous.as_ref()].into_iter().flatten()
    }

    /// The key of this name.
    pub fn named(&self, kid: &str) -> Option<&SigningKey> {
        self.all().find(|key| key.kid == kid)
    }

    /// The public keys as a JWKS document (RFC 7517).
    pub fn jwks(&self) -> serde_json::Value {
        json!({ "keys": self.all().map(|key| &key.jwk).collect::<Vec<_>>() })
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
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;
    use crate::environment::SystemEnvironment;

    #[test]
    fn a_folder_gets_one_private_key_and_keeps_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let (source, environment) =
            (KeySource::Folder(folder.path().join("keys")), SystemEnvironment::shared());
        let first = Keyring::load(&source, &environment).expect("made");
        let second = Keyring::load(&source, &environment).expect("read");
        assert_eq!(first.signing().kid, second.signing().kid);
        assert_eq!(second.jwks()["keys"][0]["kid"], first.signing().kid);
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
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("a seed");
        let der = pair.to_pkcs8v1().expect("a document");
        let key = SigningKey::new(EncodingKey::from_ed_der(der.as_ref())).expect("a key");
        assert_eq!(key.kid, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
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
