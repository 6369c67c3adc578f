//! A second factor of sign-ins by password: codes of an authenticator app.
//!
//! TOTP (RFC 6238) with SHA-1, six digits and 30 s, which every app knows. A code counts in its own step, the
//! one before and the one after, for clocks that differ, and only once (section 5.2).

use totp_rs::{Builder, Secret, Totp};

use super::Timestamp;

/// The random bytes of a secret (RFC 4226, section 4).
pub const SECOND_FACTOR_BYTES: usize = 20;

/// A second factor as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecondFactor {
    /// The secret that the app shares, in Base32.
    pub secret: String,
    /// The step of the newest code that was taken; 0: none was, so no sign-in asks for a code yet.
    pub used_step: u64,
}

impl SecondFactor {
    /// Whether its owner has shown a code of it, so that sign-ins ask for one.
    pub const fn is_confirmed(&self) -> bool {
        self.used_step > 0
    }

    /// The step of `code` when it is right at `now` and was not used yet.
    pub fn step_of(&self, code: &str, now: Timestamp) -> Option<u64> {
        let totp = self.totp("", "")?;
        let now_s = u64::try_from(now.as_unix_s()).ok()?;
        totp.check(code.trim(), now_s).filter(|step| *step > self.used_step)
    }

    /// The link that an authenticator app reads: `otpauth://totp/…`. `server` and `account` are shown in the
    /// app; a colon in the name of the server is left out, because the link uses it as a separator.
    pub fn link(&self, server: &str, account: &str) -> Option<String> {
        self.totp(&server.replace(':', " "), account)?.to_url().ok()
    }

    /// A new one that is not confirmed.
    pub fn new(random: [u8; SECOND_FACTOR_BYTES]) -> Self {
        Self { secret: Secret::from(random).to_base32(), used_step: 0 }
    }

    fn totp(&self, server: &str, account: &str) -> Option<Totp> {
        let secret = Secret::try_from_base32(&self.secret).ok()?;
        let builder = Builder::new().with_secret(secret).with_account_name(account);
        builder.with_issuer((!server.is_empty()).then_some(server)).build().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_ms(seconds * 1_000)
    }

    /// The last six digits of the values in RFC 6238, appendix B.
    #[test]
    fn codes_are_those_of_the_standard() {
        let factor = SecondFactor::new(*b"12345678901234567890");
        assert_eq!(factor.secret, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            let step = u64::try_from(seconds / 30).unwrap();
            assert_eq!(factor.step_of(code, at(seconds)), Some(step), "{code}");
            assert_eq!(factor.step_of(code, at(seconds + 30)), Some(step), "the step before counts");
            assert_eq!(factor.step_of(code, at(seconds - 30)), Some(step), "the step after counts");
            assert_eq!(factor.step_of(code, at(seconds + 90)), None);
        }
    }

    #[test]
    fn a_code_counts_once_and_nothing_else_counts() {
        let fresh = SecondFactor::new(*b"12345678901234567890");
        assert!(!fresh.is_confirmed());
        let used = SecondFactor { used_step: 1, ..fresh.clone() };
        assert!(used.is_confirmed() && used.step_of("287082", at(59)).is_none());
        for wrong in ["", "28708", "2870822", "28708a", "287083", "２８７０８２"] {
            assert_eq!(fresh.step_of(wrong, at(59)), None, "{wrong:?}");
        }
        let broken = SecondFactor { secret: "1".to_owned(), used_step: 0 };
        assert_eq!(broken.step_of("287082", at(59)), None);
    }

    #[test]
    fn the_link_names_server_and_account() {
        let factor = SecondFactor::new(*b"12345678901234567890");
        let link = factor.link("Guild: chat", "ada").unwrap();
        assert!(link.starts_with("otpauth://totp/Guild"), "{link}");
        assert!(link.contains("ada") && link.contains("secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"), "{link}");
    }
}
