//! How a connection to another program is protected, as its URL says.

use std::net::IpAddr;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

/// What the URL of a dependency promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// Nothing leaves this machine.
    Here,
    /// Encrypted, and only the host that is named can answer.
    Checked,
    /// Encrypted, but any server that answers is believed.
    Unchecked,
    /// Anybody on the way reads it and can change it.
    PlainText,
}

impl Link {
    /// Of a database; `None` when the URL cannot be read.
    ///
    /// The driver reads it here, so that what counts is what it will do: `PGSSLMODE` stands in for a missing
    /// `sslmode`, and without either it is content with plain text.
    pub(super) fn to_database(url: &str) -> Option<Self> {
        let options: PgConnectOptions = url.parse().ok()?;
        let host = options.get_host();
        if options.get_socket().is_some() || host.starts_with('/') || is_here(host) {
            return Some(Self::Here);
        }
        Some(match options.get_ssl_mode() {
            PgSslMode::VerifyFull => Self::Checked,
            PgSslMode::VerifyCa | PgSslMode::Require => Self::Unchecked,
            PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer => Self::PlainText,
        })
    }

    /// Of a server that is named by `plain://…` or by `encrypted://…`; `None` when the URL cannot be read or
    /// has another scheme.
    pub(super) fn to_server(url: &str, plain: &str, encrypted: &str) -> Option<Self> {
        let url = Url::parse(url).ok()?;
        let host = url.host_str().filter(|host| !host.is_empty())?;
        if url.scheme() == encrypted {
            Some(Self::Checked)
        } else if url.scheme() != plain {
            None
        } else if is_here(host) {
            Some(Self::Here)
        } else {
            Some(Self::PlainText)
        }
    }
}

fn is_here(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ConfigErrors, LoadOptions, Settings};

    fn load(set: &[(&str, &str)]) -> Result<Settings, ConfigErrors> {
        let overrides = set.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Settings::load(LoadOptions { file: None, environment: [], overrides })
    }

    #[test]
    fn a_database_elsewhere_is_reached_in_plain_text_unless_its_url_says_otherwise() {
        for (url, link) in [
            ("postgres://tidings@db/tidings?sslmode=verify-full", Link::Checked),
            ("postgres://tidings@db/tidings?sslmode=verify-ca", Link::Unchecked),
            ("postgres://tidings@db/tidings?sslmode=require", Link::Unchecked),
            ("postgres://tidings@db/tidings?sslmode=prefer", Link::PlainText),
            ("postgres://tidings@db/tidings", Link::PlainText),
            ("postgres://tidings@localhost/tidings?host=db", Link::PlainText),
            ("postgres://tidings@127.0.0.1.evil.example/tidings", Link::PlainText),
            ("postgres://tidings@localhost/tidings", Link::Here),
            ("postgres://tidings@127.0.0.9:5433/tidings", Link::Here),
            ("postgres://tidings@[::1]/tidings", Link::Here),
            ("postgres://tidings@%2Frun%2Fpostgresql/tidings", Link::Here),
            ("postgres:///tidings?host=/run/postgresql", Link::Here),
        ] {
            assert_eq!(Link::to_database(url), Some(link), "{url}");
        }
        assert_eq!(Link::to_database("postgres://db/tidings?sslmode=maybe"), None);
    }

    #[test]
    fn another_server_is_protected_by_its_scheme_or_is_on_this_machine() {
        for (url, link) in [
            ("rediss://redis:6380", Some(Link::Checked)),
            ("redis://:secret@redis", Some(Link::PlainText)),
            ("redis://127.0.0.1.evil.example", Some(Link::PlainText)),
            ("redis://127.0.0.1@evil.example", Some(Link::PlainText)),
            ("redis://:secret@127.0.0.1:6379", Some(Link::Here)),
            ("redis://[::1]", Some(Link::Here)),
            ("redis://localhost", Some(Link::Here)),
            ("http://redis", None),
            ("rediss://", None),
            ("redis", None),
        ] {
            assert_eq!(Link::to_server(url, "redis", "rediss"), link, "{url}");
        }
    }

    #[test]
    fn plain_text_to_another_host_needs_a_setting_and_is_warned_of() {
        let set = [
            ("store.backend", "postgres"),
            ("auth.key_files", "key.pem"),
            ("store.postgres.url", "postgres://db/tidings"),
            ("store.postgres.plain_text", "true"),
            ("bus.backend", "redis"),
            ("bus.redis.url", "redis://redis"),
            ("bus.redis.plain_text", "true"),
            ("auth.external.issuer", "x"),
            ("auth.external.audience", "y"),
            ("auth.external.jwks_url", "http://login.example/jwks"),
            ("auth.external.plain_text", "true"),
        ];
        let warnings = load(&set).unwrap().warnings().join("\n");
        for key in ["store.postgres", "bus.redis", "auth.external"] {
            assert!(warnings.contains(&format!("{key}.plain_text = true: ")), "{key}: {warnings}");
            let without: Vec<_> =
                set.into_iter().filter(|(name, _)| *name != format!("{key}.plain_text")).collect();
            let text = load(&without).unwrap_err().to_string();
            assert!(
                text.contains("1 mistake in") && text.contains(&format!("{key}.plain_text = true")),
                "{text}"
            );
        }
        let require = ("store.postgres.url", "postgres://db/tidings?sslmode=require");
        let set: Vec<_> = set[..2].iter().copied().chain([require]).collect();
        let warnings = load(&set).unwrap().warnings().join("\n");
        assert!(warnings.contains("does not check the host's name: write sslmode=verify-full"), "{warnings}");
    }
}
