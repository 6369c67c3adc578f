//! Tokens of another issuer: accepted wherever ours are, checked against what the operator pinned.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Header, Validation};
use serde_json::{Map, Value};
use thiserror::Error;

use super::jwks::{ExternalKey, Jwks};
use super::tokens::{Claims, MAX_TOKEN_BYTES};
use crate::config::ExternalSettings;
use crate::domain::{Timestamp, UserId};
use crate::protocol::{Failure, checks};

/// How far the issuer's clock may be ahead of ours.
const LEEWAY_MS: i64 = 30_000;
/// The longest subject that is taken.
const MAX_SUBJECT_BYTES: usize = 255;

/// Why an external issuer cannot be set up.
#[derive(Debug, Error)]
pub enum ExternalError {
    /// An algorithm's name is unknown, or it is symmetric.
    #[error("auth.external.algorithms: {0:?} is not a supported asymmetric algorithm")]
    Algorithm(String),
    /// The key file cannot be read, or holds no public key for the algorithms.
    #[error("auth.external.key_file: {0}")]
    KeyFile(String),
    /// The HTTP client cannot be made.
    #[error("auth.external.jwks_url: {0}")]
    Http(#[from] reqwest::Error),
}

enum Keys {
    Fixed(Arc<ExternalKey>),
    Jwks(Box<Jwks>),
}

/// A token's bearer, as the issuer describes them.
#[derive(Debug)]
pub struct ExternalIdentity {
    /// The content of the token, as values of this server.
    pub claims: Claims,
    /// The name to show, when the token has a usable one.
    pub display_name: Option<String>,
}

/// The external issuer.
pub struct External {
    options: ExternalSettings,
    algorithms: Vec<Algorithm>,
    keys: Keys,
}

impl External {
    /// Reads the key file, when there is one; fetches nothing yet.
    ///
    /// # Errors
    /// [`ExternalError`]: it names the mistake that the operator must correct.
    pub fn new(options: ExternalSettings) -> Result<Self, ExternalError> {
        let algorithms = options
            .algorithms
            .iter()
            .map(|name| match name.parse::<Algorithm>() {
                Ok(algorithm) if algorithm.family() != AlgorithmFamily::Hmac => Ok(algorithm),
                Ok(_) | Err(_) => Err(ExternalError::Algorithm(name.clone())),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let keys = match options.jwks_url.as_str() {
            "" => {
                let path = &options.key_file;
                let pem = fs::read(path)
                    .map_err(|error| ExternalError::KeyFile(format!("{}: {error}", path.display())))?;
                let key = public_key(&pem, &algorithms).ok_or_else(|| {
                    ExternalError::KeyFile(format!("{}: no public key of these algorithms", path.display()))
                })?;
                Keys::Fixed(Arc::new(ExternalKey::fixed(key)))
            }
            url => {
                let refresh = Duration::from_secs(options.jwks_refresh_s);
                Keys::Jwks(Box::new(Jwks::new(url.to_owned(), refresh)?))
            }
        };
        Ok(Self { options, algorithms, keys })
    }

    /// How long ago a token may have been issued.
    pub fn max_age(&self) -> Duration {
        Duration::from_secs(self.options.max_age_s)
    }

    /// Verifies a token. `monotonic_ms` paces the reading of keys.
    ///
    /// # Errors
    /// `Unauthenticated` with what is wrong; `Unavailable` when the issuer's keys cannot be read.
    pub async fn verify(
        &self,
        token: &str,
        now: Timestamp,
        monotonic_ms: u64,
    ) -> Result<ExternalIdentity, Failure> {
        let bad = || Failure::Unauthenticated("the token is not valid");
        if token.len() > MAX_TOKEN_BYTES {
            return Err(bad());
        }
        let header: Header = jsonwebtoken::decode_header(token).map_err(|_| bad())?;
        if !self.algorithms.contains(&header.alg) || header.crit.is_some() {
            return Err(bad());
        }
        let key = match &self.keys {
            Keys::Fixed(key) => key.clone(),
            Keys::Jwks(jwks) => jwks.key(header.kid.as_deref(), header.alg, monotonic_ms).await?,
        };
        if !key.fits(header.alg) {
            return Err(bad());
        }
        let mut validation = Validation::new(header.alg);
        validation.set_issuer(&[&self.options.issuer]);
        validation.set_audience(&[&self.options.audience]);
        validation.set_required_spec_claims(&["iss", "aud", "exp"]);
        // Times are checked below, by the clock this process was given.
        validation.validate_exp = false;
        let token =
            jsonwebtoken::decode::<Map<String, Value>>(token, &key.key, &validation).map_err(|_| bad())?;
        self.check_claims(&token.claims, now)
    }

    fn check_claims(&self, claims: &Map<String, Value>, now: Timestamp) -> Result<ExternalIdentity, Failure> {
        let time = |name: &str| -> Result<Option<Timestamp>, Failure> {
            match claims.get(name) {
                None | Some(Value::Null) => Ok(None),
                Some(value) => value
                    .as_i64()
                    .or_else(|| value.as_f64().map(|s| s as i64))
                    .map(|s| Some(Timestamp::from_unix_ms(s.saturating_mul(1_000))))
                    .ok_or(Failure::Unauthenticated("a time in the token is no number")),
            }
        };
        let expires_at = time("exp")?.ok_or(Failure::Unauthenticated("the token has no exp"))?;
        let issued_at = time("iat")?.ok_or(Failure::Unauthenticated("the token has no iat"))?;
        let max_age_ms = i64::try_from(self.max_age().as_millis()).unwrap_or(i64::MAX);
        if expires_at <= now || issued_at.plus_ms(max_age_ms) <= now {
            return Err(Failure::Unauthenticated("the token has expired"));
        }
        let latest_start = now.plus_ms(LEEWAY_MS);
        if issued_at > latest_start || time("nbf")?.is_some_and(|start| start > latest_start) {
            return Err(Failure::Unauthenticated("the token is not valid yet"));
        }
        let subject = match claims.get(&self.options.user_claim) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) if number.is_i64() || number.is_u64() => number.to_string(),
            _ => String::new(),
        };
        if subject.is_empty() || subject.len() > MAX_SUBJECT_BYTES {
            return Err(Failure::Unauthenticated("the token does not name a user"));
        }
        let name = claims.get(&self.options.name_claim).and_then(Value::as_str);
        Ok(ExternalIdentity {
            claims: Claims {
                user: UserId::derive_external(&self.options.issuer, &subject),
                family: None,
                issued_at,
                expires_at,
            },
            display_name: name.and_then(|name| checks::display_name(name).ok()),
        })
    }
}

fn public_key(pem: &[u8], algorithms: &[Algorithm]) -> Option<DecodingKey> {
    algorithms.iter().find_map(|algorithm| match algorithm.family() {
        AlgorithmFamily::Rsa => DecodingKey::from_rsa_pem(pem).ok(),
        AlgorithmFamily::Ec => DecodingKey::from_ec_pem(pem).ok(),
        AlgorithmFamily::Ed => DecodingKey::from_ed_pem(pem).ok(),
        AlgorithmFamily::Hmac => None,
    })
}
