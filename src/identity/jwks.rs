//! An external issuer's public keys, read from its JWKS document (RFC 7517).
//!
//! The address is the operator's; nothing in a token can change where keys come from. A token that names an unknown key
//! makes the document be read again, by one reader at a time and at most once in [`MIN_INTERVAL_MS`], however many such
//! tokens come.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::protocol::Failure;

/// Between two readings.
const MIN_INTERVAL_MS: u64 = 30_000;
/// For so long the last keys are used when the issuer cannot be reached.
const MAX_STALE_MS: u64 = 24 * 3_600 * 1_000;
/// One reading, all of it.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const MAX_DOCUMENT_BYTES: usize = 256 * 1024;
const MAX_KEYS: usize = 64;

/// One public key of the issuer.
pub struct ExternalKey {
    kid: Option<String>,
    /// The only algorithm it is meant for, when the document says so.
    algorithm: Option<Algorithm>,
    /// The key.
    pub key: DecodingKey,
}

impl ExternalKey {
    /// A key from the operator's own file: whatever its token's `kid` says.
    pub fn fixed(key: DecodingKey) -> Self {
        Self { kid: None, algorithm: None, key }
    }

    fn from_jwk(value: serde_json::Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let for_signing = jwk.common.public_key_use.as_ref().is_none_or(|its| *its == PublicKeyUse::Signature);
        let algorithm = match jwk.common.key_algorithm {
            Some(named) => Some(Algorithm::try_from(named).ok()?),
            None => None,
        };
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        // A symmetric key in a public document is no secret.
        let asymmetric = key.family() != AlgorithmFamily::Hmac;
        (for_signing && asymmetric).then_some(Self { kid: jwk.common.key_id, algorithm, key })
    }

    /// Whether tokens signed with `algorithm` may be checked with this key.
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        self.key.family() == algorithm.family() && self.algorithm.is_none_or(|only| only == algorithm)
    }
}

#[derive(Default)]
struct Document {
    keys: Vec<Arc<ExternalKey>>,
    read_at_ms: Option<u64>,
}

impl Document {
    /// The key a token means: by its name, or without one the only key that fits.
    fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<Arc<ExternalKey>> {
        let mut fitting = self.keys.iter().filter(|key| key.fits(algorithm));
        match kid {
            Some(kid) => fitting.find(|key| key.kid.as_deref() == Some(kid)).cloned(),
            None => fitting.next().filter(|_| fitting.next().is_none()).cloned(),
        }
    }

    fn older_than(&self, age_ms: u64, now_ms: u64) -> bool {
        self.read_at_ms.is_none_or(|at| now_ms.saturating_sub(at) >= age_ms)
    }
}

/// What the last attempt came to; held while one runs.
#[derive(Default)]
struct Attempt {
    at_ms: Option<u64>,
    failed: bool,
}

/// The document and its reader.
pub struct Jwks {
    http: reqwest::Client,
    url: String,
    refresh_ms: u64,
    document: ArcSwap<Document>,
    attempt: Mutex<Attempt>,
}

impl Jwks {
    /// Reads nothing yet.
    ///
    /// # Errors
    /// When the machine's TLS roots cannot be loaded.
    pub fn new(url: String, refresh: Duration) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(FETCH_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let refresh_ms = u64::try_from(refresh.as_millis()).unwrap_or(u64::MAX);
        Ok(Self { http, url, refresh_ms, document: ArcSwap::default(), attempt: Mutex::default() })
    }

    /// The key that a token names. `now_ms` is monotonic.
    ///
    /// # Errors
    /// `Unauthenticated` when the issuer has no such key, `Unavailable` when it cannot be asked.
    pub async fn key(&self, kid: Option<&str>, algorithm: Algorithm, now_ms: u64) -> Result<Arc<ExternalKey>, Failure> {
        let document = self.document.load_full();
        let found = document.find(kid, algorithm);
        if let Some(key) = &found {
            if !document.older_than(self.refresh_ms, now_ms) {
                return Ok(key.clone());
            }
            // Somebody else may be reading already: those keys were good a moment ago.
            if let Ok(mut attempt) = self.attempt.try_lock() {
                self.read(&mut attempt, now_ms).await;
            } else if !document.older_than(MAX_STALE_MS, now_ms) {
                return Ok(key.clone());
            }
            return self.found(kid, algorithm, now_ms, false);
        }
        let mut attempt = self.attempt.lock().await;
        if self.document.load().find(kid, algorithm).is_none() {
            self.read(&mut attempt, now_ms).await;
        }
        self.found(kid, algorithm, now_ms, attempt.failed)
    }

    fn found(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
        now_ms: u64,
        failed: bool,
    ) -> Result<Arc<ExternalKey>, Failure> {
        let document = self.document.load();
        match document.find(kid, algorithm) {
            Some(_) if document.older_than(MAX_STALE_MS, now_ms) => Err(Failure::Unavailable { definite: true }),
            Some(key) => Ok(key),
            None if failed => Err(Failure::Unavailable { definite: true }),
            None => Err(Failure::Unauthenticated("the token's issuer has no such key")),
        }
    }

    async fn read(&self, attempt: &mut Attempt, now_ms: u64) {
        if attempt.at_ms.is_some_and(|at| now_ms.saturating_sub(at) < MIN_INTERVAL_MS) {
            return;
        }
        attempt.at_ms = Some(now_ms);
        attempt.failed = true;
        match self.fetch().await {
            Ok(keys) => {
                attempt.failed = false;
                self.document.store(Arc::new(Document { keys, read_at_ms: Some(now_ms) }));
            }
            Err(why) => tracing::warn!(url = %self.url, why, "the external issuer's keys could not be read"),
        }
    }

    async fn fetch(&self) -> Result<Vec<Arc<ExternalKey>>, &'static str> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<serde_json::Value>,
        }
        let mut answer = self.http.get(&self.url).send().await.map_err(|_| "no answer")?;
        if answer.status() != reqwest::StatusCode::OK {
            return Err("the answer is not 200");
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|_| "the answer broke off")? {
            if body.len() + chunk.len() > MAX_DOCUMENT_BYTES {
                return Err("the document is too large");
            }
            body.extend_from_slice(&chunk);
        }
        let set: Set = serde_json::from_slice(&body).map_err(|_| "not a JWKS document")?;
        Ok(set.keys.into_iter().filter_map(ExternalKey::from_jwk).take(MAX_KEYS).map(Arc::new).collect())
    }
}
