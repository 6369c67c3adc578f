//! The proxies in `server.trusted_proxies`, and whose request it is that comes through them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Network;

/// How much of an entry that names nobody is logged, in characters.
const LOGGED_CHARS: usize = 48;

/// The operator's own proxies: the one place that reads `X-Forwarded-For`.
///
/// `Forwarded` (RFC 7239) is not read. A proxy sets one of the two headers and passes the other on as it
/// came, so a server that read both would let clients choose their address.
#[derive(Debug)]
pub struct TrustedProxies {
    networks: Vec<Network>,
    warned: AtomicBool,
}

impl TrustedProxies {
    /// Believes what comes from these networks.
    pub fn new(networks: Vec<Network>) -> Arc<Self> {
        Arc::new(Self { networks, warned: AtomicBool::new(false) })
    }

    /// The client's address. `forwarded_for`: the values of `X-Forwarded-For`, in their order.
    ///
    /// The entries are read from the end, where our own proxies wrote, to the first address that is none of
    /// theirs. Anybody may have invented the entries before it. An entry without an address leaves the client
    /// unknown. All such clients count as the proxy, and as 0.0.0.0 where that is this machine itself, which
    /// has no limits.
    pub fn client<'a>(&self, peer: Option<IpAddr>, forwarded_for: impl Iterator<Item = &'a [u8]>) -> IpAddr {
        let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let mut address = peer.unwrap_or(unknown);
        let entries: Vec<&[u8]> = forwarded_for.flat_map(|value| value.split(|byte| *byte == b',')).collect();
        for entry in entries.into_iter().rev().map(<[u8]>::trim_ascii).filter(|entry| !entry.is_empty()) {
            if !self.networks.iter().any(|network| network.contains(address)) {
                break;
            }
            let Some(before) = named(entry) else {
                self.warn(address, entry);
                return if address.to_canonical().is_loopback() { unknown } else { address };
            };
            address = before;
        }
        address
    }

    /// Once, since every request of such a proxy would say the same.
    fn warn(&self, proxy: IpAddr, entry: &[u8]) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            let entry: String = String::from_utf8_lossy(entry).chars().take(LOGGED_CHARS).collect();
            tracing::warn!(
                %proxy,
                ?entry,
                "X-Forwarded-For of a trusted proxy contains no address: its clients share one limit (logged once)"
            );
        }
    }
}

/// The address that an entry names: `v4`, `v6`, `[v6]`, and each with a port, quoted or not.
fn named(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?;
    let text = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    // `[v4]` is no address.
    let bare = bare.parse::<IpAddr>().ok().filter(|address| address.is_ipv6() || bare.len() == text.len());
    bare.or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn client(peer: &str, values: &[&str]) -> IpAddr {
        let networks = ["10.0.0.0/8", "127.0.0.1", "fd00::/8"].map(|text| text.parse().expect("a network"));
        let proxies = TrustedProxies::new(networks.to_vec());
        proxies.client(Some(ip(peer)), values.iter().map(|value| value.as_bytes()))
    }

    #[test]
    fn only_our_own_proxies_are_believed() {
        for (peer, values, wanted) in [
            ("1.2.3.4", &["9.9.9.9"][..], "1.2.3.4"),
            ("10.0.0.1", &["9.9.9.9"], "9.9.9.9"),
            ("10.0.0.1", &["6.6.6.6, 9.9.9.9"], "9.9.9.9"),
            ("10.0.0.1", &["6.6.6.6", "9.9.9.9"], "9.9.9.9"),
            ("10.0.0.1", &["6.6.6.6,9.9.9.9 ,10.0.0.2,"], "9.9.9.9"),
            ("::ffff:10.0.0.1", &["9.9.9.9"], "9.9.9.9"),
            ("10.0.0.1", &[], "10.0.0.1"),
        ] {
            assert_eq!(client(peer, values), ip(wanted), "{peer} {values:?}");
        }
    }

    #[test]
    fn an_entry_may_have_brackets_and_a_port() {
        for (entry, wanted) in [
            ("203.0.113.2:40001", "203.0.113.2"),
            ("\"203.0.113.2:40001\"", "203.0.113.2"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:40001", "2001:db8::1"),
            ("\"[2001:db8::1]:40001\"", "2001:db8::1"),
            ("203.0.113.2:1, [fd00::7]:2, 10.0.0.9:3", "203.0.113.2"),
        ] {
            assert_eq!(client("10.0.0.1", &[entry]), ip(wanted), "{entry}");
        }
    }

    #[test]
    fn whom_an_entry_does_not_name_is_limited_all_the_same() {
        for entry in ["unknown", "_hidden", "[1.2.3.4]", "1.2.3.4:", "1.2.3.4:99999", "[::1", "\u{fc}"] {
            assert_eq!(client("10.0.0.1", &["9.9.9.9", entry]), ip("10.0.0.1"), "{entry}");
            assert_eq!(client("127.0.0.1", &[entry]), ip("0.0.0.0"), "{entry}");
        }
    }
}
