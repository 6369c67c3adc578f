//! Web origins (RFC 6454), compared by meaning: letter case, a scheme's default port and a host's final dot
//! make no difference.

use url::{Host, Url};

/// An origin in its normal form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// `null`: what a sandboxed page or a local file sends.
    Opaque,
    /// A scheme, a host and a port.
    Named {
        /// In lower case. `ws` reads `http` and `wss` reads `https`: they name the same server.
        scheme: String,
        /// In lower case, international names in their ASCII form; empty for `file://`.
        host: String,
        /// Left out where it is the scheme's own.
        port: Option<u16>,
    },
}

impl Origin {
    /// Reads `scheme://host`, `scheme://host:port` or `null`; `None` for anything else, a path or a final
    /// slash included.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "null" {
            return Some(Self::Opaque);
        }
        let (scheme, authority) = text.split_once("://")?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "ws" => "http".to_owned(),
            "wss" => "https".to_owned(),
            other => other.to_owned(),
        };
        let scheme_is_well_formed = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
        if !scheme_is_well_formed || authority.contains(['/', '?', '#', '@', '\\', '*']) {
            return None;
        }
        if authority.is_empty() {
            return (scheme == "file").then(|| Self::Named { scheme, host: String::new(), port: None });
        }
        let (host, port) = host_and_port(authority)?;
        let port = port.filter(|port| Some(*port) != default_port(&scheme));
        Some(Self::Named { scheme, host, port })
    }

    /// Whether the `Host` header of a request names the server of this origin.
    fn is_at(&self, host_header: &str) -> bool {
        let Self::Named { scheme, host, port } = self else { return false };
        let Some(default) = default_port(scheme) else { return false };
        host_and_port(host_header).is_some_and(|(own_host, own_port)| {
            own_host == *host && own_port.unwrap_or(default) == port.unwrap_or(default)
        })
    }

    /// Whether two origins are one server, whichever of the web's schemes each uses.
    fn is_same_server(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Named { scheme, host, port },
                Self::Named { scheme: scheme2, host: host2, port: port2 },
            ) => {
                let web = default_port(scheme).is_some() && default_port(scheme2).is_some();
                web && host == host2 && port == port2
            }
            (Self::Opaque, _) | (_, Self::Opaque) => false,
        }
    }
}

/// The origins from which web pages may connect.
#[derive(Debug, Clone, Default)]
pub struct AllowedOrigins {
    every: bool,
    listed: Vec<Origin>,
    public: Option<Origin>,
}

impl AllowedOrigins {
    /// The origins of a list (`*` is every one), and the public origin of the server if it is known. Entries
    /// that are not origins are left out; the configuration refuses them before.
    pub fn new(listed: &[String], public_url: Option<&str>) -> Self {
        Self {
            every: listed.iter().any(|origin| origin == "*"),
            listed: listed.iter().filter_map(|origin| Origin::parse(origin)).collect(),
            public: public_url.and_then(Origin::parse),
        }
    }

    /// Whether an origin is listed: a page of it may also read the answers of the API.
    pub fn lists(&self, origin: &str) -> bool {
        self.every || Origin::parse(origin).is_some_and(|origin| self.listed.contains(&origin))
    }

    /// Whether a page of this origin may connect to the server that the request's `Host` names.
    ///
    /// Where the public address is known, a name in `Host` counts only if it is that name. A page whose own
    /// name resolves to this server (DNS rebinding) sends its name as both. An address or `localhost` cannot
    /// be rebound.
    pub fn may_connect(&self, origin: &str, host: &str) -> bool {
        if self.lists(origin) {
            return true;
        }
        let Some(origin) = Origin::parse(origin) else { return false };
        match &self.public {
            Some(public) => public.is_same_server(&origin) || (is_address(host) && origin.is_at(host)),
            None => origin.is_at(host),
        }
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

fn host_and_port(authority: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port.parse().ok()?)),
        _ => (authority, None),
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    // The parser is given a scheme that has hosts, so that every host is read by the same rules.
    let url = Url::parse(&format!("http://{host}")).ok()?;
    let host = url.host_str().filter(|_| url.port().is_none() && url.path() == "/")?;
    Some((host.to_owned(), port))
}

fn is_address(host: &str) -> bool {
    host_and_port(host).is_some_and(|(host, _)| {
        host == "localhost" || matches!(Host::parse(&host), Ok(Host::Ipv4(_) | Host::Ipv6(_)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(origin: &str, host: &str) -> bool {
        AllowedOrigins::default().may_connect(origin, host)
    }

    #[test]
    fn ones_own_host_is_known_in_every_spelling() {
        for (origin, host) in [
            ("https://chat.example.org", "chat.example.org"),
            ("wss://chat.example.org", "chat.example.org:443"),
            ("https://chat.example.org:443", "chat.example.org"),
            ("http://chat.example.org", "chat.example.org:80"),
            ("ws://chat.example.org:80", "chat.example.org"),
            ("HTTPS://Chat.Example.ORG", "chat.example.org."),
            ("http://chat.example.org:8080", "chat.example.org:8080"),
            ("https://m\u{fc}nchen.example", "xn--mnchen-3ya.example"),
            ("http://[::1]:8080", "[0:0:0:0:0:0:0:1]:8080"),
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
        ] {
            assert!(own(origin, host), "{origin} at {host}");
        }
        for (origin, host) in [
            ("https://chat.example.org", "chat.example.org:8443"),
            ("https://evil.example", "chat.example.org"),
            ("https://chat.example.org.evil.example", "chat.example.org"),
            ("https://chat.example.org@evil.example", "chat.example.org"),
            ("https://chat.example.org/", "chat.example.org"),
            ("capacitor://chat.example.org", "chat.example.org"),
            ("null", "chat.example.org"),
            ("", "chat.example.org"),
            ("https://", ""),
            ("chat.example.org", "chat.example.org"),
        ] {
            assert!(!own(origin, host), "{origin} at {host}");
        }
    }

    #[test]
    fn an_origin_of_any_scheme_can_be_listed() {
        for listed in [
            "wss://game.example",
            "capacitor://localhost",
            "tauri://localhost",
            "ionic://localhost",
            "null",
            "file://",
            "http://tauri.localhost",
        ] {
            let allowed = AllowedOrigins::new(&[listed.to_owned()], None);
            assert!(allowed.may_connect(listed, "chat.example.org"), "{listed}");
            assert!(!allowed.may_connect("https://evil.example", "chat.example.org"), "{listed}");
        }
        let allowed = AllowedOrigins::new(&["https://Game.example:443".to_owned()], None);
        assert!(allowed.lists("wss://game.example") && !allowed.lists("http://game.example"));
        assert!(AllowedOrigins::new(&["*".to_owned()], None).lists("anything"));
    }

    #[test]
    fn with_a_public_address_a_rebound_name_is_refused() {
        let allowed = AllowedOrigins::new(&[], Some("https://chat.example.org"));
        assert!(
            allowed.may_connect("https://chat.example.org", "gateway-3:8080"),
            "a proxy may rewrite Host"
        );
        assert!(allowed.may_connect("wss://chat.example.org:443", "chat.example.org"));
        assert!(
            allowed.may_connect("http://127.0.0.1:8080", "127.0.0.1:8080"),
            "an address cannot be rebound"
        );
        assert!(!allowed.may_connect("http://evil.example", "evil.example"));
    }
}
