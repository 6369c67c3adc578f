//! Refresh tokens: 256 random bits. The store keeps only their SHA-256.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::environment::SharedEnvironment;

const PREFIX: &str = "tr_";

/// A refresh token, and what the store keeps of it.
pub struct RefreshToken {
    /// For the client; sent once.
    pub text: String,
    /// For the store.
    pub hash: [u8; 32],
}

impl RefreshToken {
    /// Draws a new token.
    pub fn draw(environment: &SharedEnvironment) -> Self {
        let mut secret = [0_u8; 32];
        environment.fill_random(&mut secret);
        let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(secret));
        let hash = Sha256::digest(text.as_bytes()).into();
        Self { text, hash }
    }
}

/// The hash by which a presented token is looked up; `None` when the text cannot be a token.
pub fn hash_presented(text: &str) -> Option<[u8; 32]> {
    (text.len() == PREFIX.len() + 43 && text.starts_with(PREFIX))
        .then(|| Sha256::digest(text.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::SystemEnvironment;

    #[test]
    fn a_presented_token_is_found_by_the_hash_it_was_stored_under() {
        let token = RefreshToken::draw(&SystemEnvironment::shared());
        assert_eq!(hash_presented(&token.text), Some(token.hash));
        assert_eq!(hash_presented(&token.text[1..]), None);
        assert_eq!(hash_presented("nonsense"), None);
    }
}
