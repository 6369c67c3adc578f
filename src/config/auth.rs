//! `[auth]`: tokens, passwords and signing up.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::choice::choice;
use super::links::Link;
use super::problems::SectionProblems;

choice! {
    /// Who may sign up.
    SignUps {
        /// Anybody may sign up, as a guest or by name.
        Open = "open",
        /// Guests only; they may not claim a name.
        Guests = "guests",
        /// Nobody may sign up.
        Closed = "closed",
    }
}

/// Algorithms whose verification key is public. HMAC is left out on purpose: who can verify could also sign.
const EXTERNAL_ALGORITHMS: &[&str] =
    &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

/// `[auth]`; every key is explained in `config/default.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthSettings {
    /// Seconds an access token is valid.
    pub access_token_s: u64,
    /// Seconds a refresh token is valid.
    pub refresh_token_s: u64,
    /// `iss` of issued tokens.
    pub issuer: String,
    /// `aud` of issued tokens.
    pub audience: String,
    /// Private keys; the first signs, all verify. Empty: one is made and kept (SQLite only).
    pub key_files: Vec<PathBuf>,
    /// KiB of memory per password hash.
    pub argon2_memory_kib: u32,
    /// Passes per password hash.
    pub argon2_iterations: u32,
    /// Hashes computed at once.
    pub argon2_parallel: usize,
    /// Sign-ins waiting for their hash.
    pub argon2_queue: usize,
    /// Bytes a password must have.
    pub password_min_bytes: usize,
    /// Who may sign up.
    pub sign_ups: SignUps,
    /// Attempts on one account, from one address or known device; 0: no limit.
    pub sign_ins_per_minute: u32,
    /// Attempts on one account from all addresses, other than known devices; 0: no limit.
    pub sign_ins_per_account_per_minute: u32,
    /// Attempts from one address; 0: no limit.
    pub sign_ins_per_ip_per_minute: u32,
    /// Accounts from one address; 0: no limit.
    pub sign_ups_per_ip_per_minute: u32,
    /// Refresh tokens presented from one address; 0: no limit.
    pub refreshes_per_ip_per_minute: u32,
    /// Days after which a guest who was not there is erased; 0: never.
    pub guest_days: u16,
    /// Between looks for revoked tokens.
    pub revocation_poll_ms: u64,
    /// Without an issuer there is no other one: read it by [`AuthSettings::external`].
    pub external: ExternalSettings,
}

/// `[auth.external]`: another issuer whose tokens are accepted.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExternalSettings {
    /// `iss` of its tokens.
    pub issuer: String,
    /// `aud` of its tokens.
    pub audience: String,
    /// Names of accepted algorithms (RFC 7518).
    pub algorithms: Vec<String>,
    /// The address of its keys; empty when `key_file` is set.
    pub jwks_url: String,
    /// Whether it may be on another host without TLS.
    pub plain_text: bool,
    /// Its public key in a file; empty when `jwks_url` is set.
    pub key_file: PathBuf,
    /// Seconds for which fetched keys are kept.
    pub jwks_refresh_s: u64,
    /// Seconds after its issue for which a token is taken at most.
    pub max_age_s: u64,
    /// The claim that names the user.
    pub user_claim: String,
    /// The claim with the name to show.
    pub name_claim: String,
}

const DAY_S: u64 = 86_400;

impl AuthSettings {
    /// How long an access token is valid.
    pub const fn access_token(&self) -> Duration {
        Duration::from_secs(self.access_token_s)
    }

    /// How long a refresh token is valid.
    pub const fn refresh_token(&self) -> Duration {
        Duration::from_secs(self.refresh_token_s)
    }

    /// How long a guest may be away; `None`: for ever.
    pub fn guests_after(&self) -> Option<Duration> {
        (self.guest_days > 0).then(|| Duration::from_secs(u64::from(self.guest_days) * DAY_S))
    }

    /// The other issuer, when one is set.
    pub fn external(&self) -> Option<&ExternalSettings> {
        (!self.external.issuer.is_empty()).then_some(&self.external)
    }

    pub(super) fn validate(&self, problems: &mut SectionProblems<'_>) {
        problems.range("access_token_s", self.access_token_s, 10, 86_400);
        problems.range("refresh_token_s", self.refresh_token_s, 60, 31_536_000);
        problems.when(
            self.refresh_token_s <= self.access_token_s,
            "refresh_token_s",
            "is not above access_token_s: a refresh token must outlive the access token it renews",
        );
        problems.range("guest_days", self.guest_days, 0, 36_500);
        problems.when(
            self.guest_days > 0 && u64::from(self.guest_days) * DAY_S < self.refresh_token_s,
            "guest_days",
            "is below refresh_token_s: a guest whose refresh token is still valid may come back",
        );
        problems.not_empty("issuer", &self.issuer);
        problems.not_empty("audience", &self.audience);
        problems.when(
            self.key_files.len() > 2,
            "key_files",
            "names more than two files: keep the one that signs and the one being phased out",
        );
        // Argon2's own floor is 8 KiB per lane; Tidings uses one lane.
        problems.range("argon2_memory_kib", self.argon2_memory_kib, 8, 4_194_304);
        problems.range("argon2_iterations", self.argon2_iterations, 1, 100);
        problems.range("argon2_parallel", self.argon2_parallel, 1, 256);
        problems.range("argon2_queue", self.argon2_queue, 1, 100_000);
        problems.range("password_min_bytes", self.password_min_bytes, 1, 128);
        // An ended token is worth nothing anywhere within a second.
        problems.range("revocation_poll_ms", self.revocation_poll_ms, 100, 800);
        if let Some(external) = self.external() {
            external.validate(problems);
        }
    }
}

impl ExternalSettings {
    /// Whether its keys travel in plain text from another host.
    pub(super) fn is_plain_text(&self) -> bool {
        Link::to_server(&self.jwks_url, "http", "https") == Some(Link::PlainText)
    }

    fn validate(&self, problems: &mut SectionProblems<'_>) {
        problems.not_empty("external.audience", &self.audience);
        problems.not_empty("external.user_claim", &self.user_claim);
        problems.range("external.jwks_refresh_s", self.jwks_refresh_s, 10, 86_400);
        problems.range("external.max_age_s", self.max_age_s, 10, 31_536_000);
        problems.when(
            self.jwks_url.is_empty() == self.key_file.as_os_str().is_empty(),
            "external.jwks_url",
            "is needed when external.key_file is empty, and must be empty when it is set",
        );
        problems.when(
            !self.jwks_url.is_empty() && Link::to_server(&self.jwks_url, "http", "https").is_none(),
            "external.jwks_url",
            "is no address: write e.g. \"https://login.example.org/jwks\"",
        );
        problems.when(
            self.is_plain_text() && !self.plain_text,
            "external.jwks_url",
            "names another host in plain text: write an https:// address, since anybody who can change the answer can sign in \
             as anyone; or accept that with auth.external.plain_text = true",
        );
        problems.when(self.algorithms.is_empty(), "external.algorithms", "is empty: write e.g. [\"RS256\"]");
        for name in &self.algorithms {
            let known = EXTERNAL_ALGORITHMS.contains(&name.as_str());
            let text = super::units::not_a_choice(name, EXTERNAL_ALGORITHMS);
            problems.when(!known, "external.algorithms", text);
        }
    }
}
