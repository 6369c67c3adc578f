//! Access tokens: JWTs (RFC 9068) signed with Ed25519, checked without a look-up.

use std::borrow::Cow;
use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation};
use serde::{Deserialize, Serialize};

use super::keys::Keyring;
use crate::domain::{FamilyId, Timestamp, UserId};
use crate::protocol::Failure;

/// Ours are about 450 bytes; nothing longer is looked at.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// How far the clocks of two nodes may be apart, or a clock be set back, for a token that was just issued.
const AHEAD_MS: i64 = 1_800_000;

/// Whom a token speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claims {
    /// The user.
    pub user: UserId,
    /// The sign-in; `None` for tokens of an external issuer.
    pub family: Option<FamilyId>,
    /// When the token was issued.
    pub issued_at: Timestamp,
    /// Until when it holds.
    pub expires_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct Payload<'a> {
    iss: Cow<'a, str>,
    aud: Cow<'a, str>,
    sub: UserId,
    fam: FamilyId,
    iat: i64,
    nbf: i64,
    exp: i64,
    /// `iat` with milliseconds: a sign-in in the same second as "sign out everywhere" must not count as
    /// before it.
    iat_ms: i64,
}

/// What the token of a known device says: that somebody signed in on it.
#[derive(Serialize, Deserialize)]
struct DevicePayload<'a> {
    iss: Cow<'a, str>,
    aud: Cow<'a, str>,
    sub: UserId,
    fam: FamilyId,
    iat: i64,
}

/// Issues and verifies access tokens, and the tokens of known devices.
#[derive(Debug)]
pub struct Tokens {
    keys: Keyring,
    issuer: String,
    audience: String,
    lifetime: Duration,
    validation: Validation,
    device_validation: Validation,
}

impl Tokens {
    /// Issues for, and accepts from, this issuer and audience only.
    pub fn new(keys: Keyring, issuer: String, audience: String, lifetime: Duration) -> Self {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[&issuer]);
        validation.set_audience(&[&audience]);
        validation.set_required_spec_claims(&["iss", "aud", "exp"]);
        // Times are checked below, by the clock that the caller brings.
        validation.validate_exp = false;
        let mut device_validation = validation.clone();
        device_validation.set_required_spec_claims(&["iss", "aud"]);
        Self { keys, issuer, audience, lifetime, validation, device_validation }
    }

    /// The keys in force.
    pub fn keys(&self) -> &Keyring {
        &self.keys
    }

    /// How long a token is valid.
    pub fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// A token for a user's sign-in.
    pub fn issue(&self, user: UserId, family: FamilyId, now: Timestamp) -> String {
        let iat = now.as_unix_s();
        let payload = Payload {
            iss: Cow::Borrowed(&self.issuer),
            aud: Cow::Borrowed(&self.audience),
            sub: user,
            fam: family,
            iat,
            nbf: iat,
            exp: iat.saturating_add(i64::try_from(self.lifetime.as_secs()).unwrap_or(i64::MAX)),
            iat_ms: now.as_unix_ms(),
        };
        // Strings and integers always encode; an empty token is one that nobody accepts.
        let key = self.keys.signing();
        key.issue(key.header(), &payload).unwrap_or_default()
    }

    /// A token by which the device of a sign-in is known later, also after the sign-in has ended.
    pub fn issue_for_device(&self, user: UserId, family: FamilyId, now: Timestamp) -> String {
        let (iss, aud) = (Cow::Borrowed(self.issuer.as_str()), Cow::Borrowed(self.audience.as_str()));
        let payload = DevicePayload { iss, aud, sub: user, fam: family, iat: now.as_unix_s() };
        let key = self.keys.signing();
        key.issue(key.device_header(), &payload).unwrap_or_default()
    }

    /// The user and the sign-in that the token of a known device names; `None` when we did not issue it.
    pub fn verify_device(&self, token: &str) -> Option<(UserId, FamilyId)> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let header = jsonwebtoken::decode_header(token).ok()?;
        let key = self.keys.named(header.kid.as_deref()?)?;
        if header != *key.device_header() {
            return None;
        }
        let decoded =
            jsonwebtoken::decode::<DevicePayload<'_>>(token, key.verifying(), &self.device_validation);
        decoded.ok().map(|token| (token.claims.sub, token.claims.fam))
    }

    /// Verifies a token of ours; `None` when none of our keys is named in it.
    ///
    /// # Errors
    /// `Unauthenticated` with what is wrong; the client gets another token.
    pub fn verify(&self, token: &str, now: Timestamp) -> Option<Result<Claims, Failure>> {
        let bad = || Failure::Unauthenticated("the token is not valid");
        if token.len() > MAX_TOKEN_BYTES {
            return Some(Err(bad()));
        }
        let header = jsonwebtoken::decode_header(token).ok()?;
        let key = self.keys.named(header.kid.as_deref()?)?;
        if header != *key.header() {
            return Some(Err(bad()));
        }
        let payload =
            jsonwebtoken::decode::<Payload<'_>>(token, key.verifying(), &self.validation).map_err(|error| {
                match error.kind() {
                    ErrorKind::InvalidIssuer | ErrorKind::InvalidAudience => {
                        Failure::Unauthenticated("the token is for another server")
                    }
                    _ => bad(),
                }
            });
        Some(payload.and_then(|token| check_claims(&token.claims, now)))
    }
}

/// A token whose `iat` or `nbf` lies a little ahead is taken: the signature says that it was issued, by a
/// node whose clock is ahead of this one's, or by this one before its clock was set back.
fn check_claims(payload: &Payload<'_>, now: Timestamp) -> Result<Claims, Failure> {
    let expires_at = Timestamp::from_unix_ms(payload.exp.saturating_mul(1_000));
    if expires_at <= now {
        return Err(Failure::Unauthenticated("the token has expired"));
    }
    let latest_start = now.plus_ms(AHEAD_MS);
    let starts = [payload.nbf.saturating_mul(1_000), payload.iat.saturating_mul(1_000), payload.iat_ms];
    if starts.into_iter().any(|start| Timestamp::from_unix_ms(start) > latest_start) {
        return Err(Failure::Unauthenticated("the token is not valid yet"));
    }
    Ok(Claims {
        user: payload.sub,
        family: Some(payload.fam),
        issued_at: Timestamp::from_unix_ms(payload.iat_ms),
        expires_at,
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::environment::SystemEnvironment;
    use crate::identity::options::KeySource;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_795_219_200_123);

    fn tokens(folder: &std::path::Path, audience: &str) -> Tokens {
        let keys = Keyring::load(&KeySource::Folder(folder.to_owned()), &SystemEnvironment::shared());
        Tokens::new(keys.expect("keys"), "tidings".into(), audience.into(), Duration::from_secs(60))
    }

    fn ids() -> (UserId, FamilyId) {
        (UserId::from_uuid(Uuid::from_u128(1)), FamilyId::from_uuid(Uuid::from_u128(2)))
    }

    #[test]
    fn a_token_names_its_user_and_sign_in_until_it_expires() {
        let folder = tempfile::tempdir().expect("a folder");
        let (tokens, (user, family)) = (tokens(folder.path(), "tidings"), ids());
        let token = tokens.issue(user, family, NOW);
        let claims = tokens.verify(&token, NOW).expect("ours").expect("good");
        assert_eq!((claims.user, claims.family, claims.issued_at), (user, Some(family), NOW));
        let end = claims.expires_at;
        assert_eq!(end.as_unix_ms(), 1_795_219_260_000);
        assert!(tokens.verify(&token, end.plus_ms(-1)).expect("ours").is_ok());
        assert!(tokens.verify(&token, end).expect("ours").is_err(), "no leeway at the end");
        assert!(
            tokens.verify(&token, NOW.plus_ms(-600_000)).expect("ours").is_ok(),
            "a clock that is behind"
        );
        assert!(
            tokens.verify(&token, NOW.plus_ms(-2 * AHEAD_MS)).expect("ours").is_err(),
            "but not any clock"
        );
    }

    #[test]
    fn every_altered_byte_breaks_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let (tokens, (user, family)) = (tokens(folder.path(), "tidings"), ids());
        let token = tokens.issue(user, family, NOW);
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(bytes).expect("ASCII");
            assert!(!matches!(tokens.verify(&altered, NOW), Some(Ok(_))), "byte {at}");
            assert!(!matches!(tokens.verify(&token[..at], NOW), Some(Ok(_))), "cut at {at}");
        }
        assert!(!matches!(tokens.verify(&format!("{token}A"), NOW), Some(Ok(_))));
    }

    #[test]
    fn the_token_of_a_device_signs_nobody_in_and_an_access_token_is_no_device() {
        let folder = tempfile::tempdir().expect("a folder");
        let (tokens, (user, family)) = (tokens(folder.path(), "tidings"), ids());
        let device = tokens.issue_for_device(user, family, NOW);
        assert_eq!(tokens.verify_device(&device), Some((user, family)));
        assert!(matches!(tokens.verify(&device, NOW), Some(Err(_))));
        assert_eq!(tokens.verify_device(&tokens.issue(user, family, NOW)), None);
        for other in [&device[1..], "", "a.b.c"] {
            assert_eq!(tokens.verify_device(other), None, "{other}");
        }
        let another = self::tokens(folder.path(), "game").issue_for_device(user, family, NOW);
        assert_eq!(tokens.verify_device(&another), None, "of another audience");
    }

    #[test]
    fn another_audience_and_another_key_are_refused() {
        let (folder, other) =
            (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let (user, family) = ids();
        let token = tokens(folder.path(), "tidings").issue(user, family, NOW);
        assert!(matches!(tokens(folder.path(), "game").verify(&token, NOW), Some(Err(_))));
        assert!(tokens(other.path(), "tidings").verify(&token, NOW).is_none());
    }
}
