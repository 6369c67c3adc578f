//! The content of an access token: its user and its sign-in.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

/// A token, without its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The user.
    pub user: String,
    /// The sign-in.
    pub family: String,
    /// When it was issued, by the clock of a process, in milliseconds.
    pub issued_ms: i64,
}

impl Claims {
    /// Reads a token; `None` when it is none of the server's.
    pub fn read(token: &str) -> Option<Self> {
        let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
        let payload: Value = serde_json::from_slice(&payload).ok()?;
        Some(Self {
            user: payload["sub"].as_str()?.to_owned(),
            family: payload["fam"].as_str()?.to_owned(),
            issued_ms: payload["iat_ms"].as_i64()?,
        })
    }
}
