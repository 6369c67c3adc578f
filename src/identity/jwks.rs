//! An external issuer's public keys, read from its JWKS document (RFC 7517).
//!
//! The operator sets the address; nothing in a token can change where keys come from. A token with an unknown
//! key makes the document be read again, by one reader at a time and at most once in [`MIN_INTERVAL_MS`],
//! however many such tokens arrive. In between, [`EXTRA_READINGS`] reads are allowed for key names that were
//! not looked for yet. So an old token just before the issuer changes its keys does not delay tokens with the
//! new key.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::protocol::Failure;

/// Between two reads.
const MIN_INTERVAL_MS: u64 = 30_000;
/// Reads in between, one for each key name that was not looked for yet.
const EXTRA_READINGS: usize = 3;
/// How long the last keys are used while the issuer cannot be reached.
const MAX_STALE_MS: u64 = 24 * 3_600 * 1_000;
/// The timeout of one read.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const MAX_DOCUMENT_BYTES: usize = 256 * 1024;
const MAX_KEYS: usize = 64;

/// One public key of the issuer.
pub struct ExternalKey {
    kid: Option<String>,
    /// The only algorithm it is meant for, if the document names one.
    algorithm: Option<Algorithm>,
    /// The key.
    pub key: DecodingKey,
}

impl ExternalKey {
    /// A key from the operator's own file. It matches any `kid`.
    pub fn fixed(key: DecodingKey) -> Self {
        Self { kid: None, algorithm: None, key }
    }

    fn from_jwk(value: serde_json::Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let for_signing =
            jwk.common.public_key_use.as_ref().is_none_or(|its| *its == PublicKeyUse::Signature);
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
    /// The key that a token names; without a name the only key that fits.
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

/// The result of the last attempt. Held while one runs.
#[derive(Default)]
struct Attempt {
    at_ms: Option<u64>,
    failed: bool,
    /// Key names for which the document was read since `at_ms`; at most one more than [`EXTRA_READINGS`].
    looked_for: Vec<String>,
}

/// The document and how to read it.
pub struct Jwks {
    http: reqwest::Client,
    url: String,
    refresh_ms: u64,
    document: ArcSwap<Document>,
    attempt: Mutex<Attempt>,
}

impl Jwks {
    /// Nothing is read yet.
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
    /// `Unauthenticated` when the issuer has no such key, `Unavailable` when the issuer cannot be reached.
    pub async fn key(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
        now_ms: u64,
    ) -> Result<Arc<ExternalKey>, Failure> {
        let document = self.document.load_full();
        let found = document.find(kid, algorithm);
        if let Some(key) = &found {
            if !document.older_than(self.refresh_ms, now_ms) {
                return Ok(key.clone());
            }
            // Another task may be reading already. The known keys were valid a moment ago.
            if let Ok(mut attempt) = self.attempt.try_lock() {
                self.read(&mut attempt, None, now_ms).await;
            } else if !document.older_than(MAX_STALE_MS, now_ms) {
                return Ok(key.clone());
            }
            return self.found(kid, algorithm, now_ms, false);
        }
        let mut attempt = self.attempt.lock().await;
        if self.document.load().find(kid, algorithm).is_none() {
            self.read(&mut attempt, kid, now_ms).await;
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
            Some(_) if document.older_than(MAX_STALE_MS, now_ms) => Err(Failure::IssuerAway),
            Some(key) => Ok(key),
            None if failed => Err(Failure::IssuerAway),
            None => Err(Failure::Unauthenticated("the token's issuer has no such key")),
        }
    }

    async fn read(&self, attempt: &mut Attempt, wanted: Option<&str>, now_ms: u64) {
        if attempt.at_ms.is_some_and(|at| now_ms.saturating_sub(at) < MIN_INTERVAL_MS) {
            // An issuer that does not answer is not asked again at once.
            let extra = !attempt.failed && attempt.looked_for.len() <= EXTRA_READINGS;
            if !extra || wanted.is_none_or(|name| attempt.looked_for.iter().any(|known| known == name)) {
                return;
            }
        } else {
            attempt.at_ms = Some(now_ms);
            attempt.looked_for.clear();
        }
        attempt.looked_for.push(wanted.unwrap_or_default().to_owned());
        attempt.failed = true;
        match self.fetch().await {
            // An answer without any key is a mistake of the issuer: the known keys stay.
            Ok(keys) if keys.is_empty() => {
                tracing::warn!(url = %self.url, "the external issuer's document has no usable key");
            }
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex as StdMutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const MINUTE_MS: u64 = 60_000;

    /// A key server whose document can be changed, and the reader of it.
    struct Issuer {
        jwks: Jwks,
        document: Arc<StdMutex<String>>,
        asked: Arc<AtomicUsize>,
    }

    async fn issuer(refresh: Duration) -> Issuer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/jwks", listener.local_addr().expect("an address"));
        let (document, asked) = (Arc::new(StdMutex::new(String::new())), Arc::new(AtomicUsize::new(0)));
        let (shown, count) = (document.clone(), asked.clone());
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut request = [0_u8; 4_096];
                let _ = socket.read(&mut request).await;
                count.fetch_add(1, Ordering::SeqCst);
                let body = shown.lock().expect("no panic").clone();
                let status = if body.is_empty() { "500 Internal Server Error" } else { "200 OK" };
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                let _ = socket.write_all((head + &body).as_bytes()).await;
            }
        });
        Issuer { jwks: Jwks::new(url, refresh).expect("a client"), document, asked }
    }

    impl Issuer {
        fn publish(&self, keys: &[Value]) {
            *self.document.lock().expect("no panic") = json!({ "keys": keys }).to_string();
        }

        async fn knows(&self, kid: Option<&str>, now_ms: u64) -> Result<(), Failure> {
            self.jwks.key(kid, Algorithm::EdDSA, now_ms).await.map(|_| ())
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::SeqCst)
        }
    }

    fn key(kid: &str) -> Value {
        let x = URL_SAFE_NO_PAD.encode([7_u8; 32]);
        json!({ "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": kid, "x": x })
    }

    #[tokio::test]
    async fn an_unknown_key_is_looked_for_again_after_half_a_minute() {
        let issuer = issuer(Duration::from_secs(3_600)).await;
        issuer.publish(&[key("old")]);
        assert_eq!(issuer.knows(Some("old"), 0).await, Ok(()));
        issuer.publish(&[key("new")]);
        assert_eq!(issuer.knows(Some("new"), 1).await, Ok(()), "a name that nobody asked for yet");
        assert!(issuer.knows(Some("old"), 2).await.is_err(), "a key that was taken back is gone");
        let asked = issuer.asked();
        issuer.publish(&[key("new"), key("old")]);
        for now_ms in [3, 10_000, MIN_INTERVAL_MS - 1] {
            assert!(matches!(issuer.knows(Some("old"), now_ms).await, Err(Failure::Unauthenticated(_))));
        }
        assert_eq!(issuer.asked(), asked, "one name is looked for once");
        assert_eq!(issuer.knows(Some("old"), MIN_INTERVAL_MS).await, Ok(()));
        assert_eq!(issuer.asked(), asked + 1);
    }

    #[tokio::test]
    async fn made_up_names_cannot_make_it_read_more_than_a_few_times() {
        let issuer = issuer(Duration::from_secs(3_600)).await;
        issuer.publish(&[key("a")]);
        for n in 0..100 {
            assert!(issuer.knows(Some(&format!("made up {n}")), n).await.is_err());
        }
        assert_eq!(issuer.asked(), 1 + EXTRA_READINGS);
    }

    #[tokio::test]
    async fn an_answer_without_keys_does_not_take_the_keys_away() {
        let issuer = issuer(Duration::from_secs(60)).await;
        issuer.publish(&[key("a")]);
        assert_eq!(issuer.knows(Some("a"), 0).await, Ok(()));
        issuer.publish(&[]);
        assert_eq!(issuer.knows(Some("a"), 2 * MINUTE_MS).await, Ok(()));
        assert_eq!(issuer.asked(), 2);
    }

    #[tokio::test]
    async fn keys_are_refreshed_and_outlive_an_issuer_that_is_away_for_a_day() {
        let issuer = issuer(Duration::from_secs(60)).await;
        issuer.publish(&[key("a")]);
        assert_eq!(issuer.knows(Some("a"), 0).await, Ok(()));
        assert_eq!(issuer.knows(Some("a"), MINUTE_MS - 1).await, Ok(()));
        assert_eq!(issuer.asked(), 1);
        assert_eq!(issuer.knows(Some("a"), MINUTE_MS).await, Ok(()));
        assert_eq!(issuer.asked(), 2);
        issuer.document.lock().expect("no panic").clear();
        assert_eq!(
            issuer.knows(Some("a"), MINUTE_MS + MAX_STALE_MS - 1).await,
            Ok(()),
            "its last word counts"
        );
        let gone = issuer.knows(Some("a"), 2 * MINUTE_MS + MAX_STALE_MS).await;
        assert_eq!(gone, Err(Failure::IssuerAway), "but not without end");
    }

    #[tokio::test]
    async fn without_a_name_there_must_be_one_key_only_and_large_documents_are_refused() {
        let issuer = issuer(Duration::from_secs(3_600)).await;
        *issuer.document.lock().expect("no panic") =
            format!("{{\"keys\":[],\"pad\":\"{}\"}}", "x".repeat(300_000));
        assert_eq!(issuer.knows(None, 0).await, Err(Failure::IssuerAway));
        issuer.publish(&[key("a")]);
        assert_eq!(issuer.knows(None, MINUTE_MS).await, Ok(()));
        issuer.publish(&[key("a"), key("b")]);
        assert_eq!(issuer.knows(Some("b"), 2 * MINUTE_MS).await, Ok(()));
        assert!(matches!(issuer.knows(None, 2 * MINUTE_MS).await, Err(Failure::Unauthenticated(_))));
    }
}
