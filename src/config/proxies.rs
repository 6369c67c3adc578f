//! The proxies in `server.trusted_proxies`, and whose request it is that comes through them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Network, ProxyHeader, ServerSettings};
use crate::domain::ClientAddress;

/// How much of an entry that names nobody is logged, in characters.
const LOGGED_CHARS: usize = 48;

/// The one place that decides whose request it is.
///
/// Only the header that the proxies set is read. They pass the other one on as it came, so a server that read
/// both would let clients choose their address.
#[derive(Debug)]
pub struct TrustedProxies {
    networks: Vec<Network>,
    header: ProxyHeader,
    hops: usize,
    loopback_exempt: bool,
    warned: AtomicBool,
}

impl TrustedProxies {
    /// As the settings say.
    pub fn of(server: &ServerSettings) -> Arc<Self> {
        Arc::new(Self {
            networks: server.trusted_proxies.clone(),
            header: server.proxy_header,
            hops: server.proxy_hops,
            loopback_exempt: server.loopback_exempt,
            warned: AtomicBool::new(false),
        })
    }

    /// Whether a connection from this address is a proxy's.
    pub fn contain(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(address))
    }

    /// Whether the proxies say first of all whose connection it is.
    pub fn speak_first(&self) -> bool {
        self.header == ProxyHeader::ProxyProtocol
    }

    /// The client's address. `values`: the values of the header of this name, in their order.
    ///
    /// The entries are read from the end, where our own proxies wrote, to the first address that is none of
    /// theirs, and at most as many as there are proxies one behind the other. Anybody may have invented the
    /// entries before it. An entry without an address leaves the client unknown. All such clients count as
    /// the proxy.
    pub fn client<'a, V: Iterator<Item = &'a [u8]>>(
        &self,
        peer: Option<IpAddr>,
        values: impl FnOnce(&'static str) -> V,
    ) -> ClientAddress {
        let mut address = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        // With the PROXY protocol the peer is the client already.
        if self.header == ProxyHeader::ProxyProtocol || !self.contain(address) {
            return self.counted(address);
        }
        let entries = values(self.header.as_str()).flat_map(|value| value.split(|byte| *byte == b','));
        let entries: Vec<&[u8]> = entries.map(<[u8]>::trim_ascii).filter(|entry| !entry.is_empty()).collect();
        for (passed, entry) in entries.into_iter().rev().enumerate() {
            if !self.contain(address) {
                break;
            }
            if passed == self.hops {
                self.warn(
                    address,
                    entry,
                    "a trusted proxy names another one: write its number in server.proxy_hops",
                );
                break;
            }
            let Some(before) = named(self.header, entry) else {
                self.warn(address, entry, "a trusted proxy names no address: its clients share one limit");
                return ClientAddress::Counted(address);
            };
            address = before;
        }
        self.counted(address)
    }

    fn counted(&self, address: IpAddr) -> ClientAddress {
        if self.loopback_exempt && address.to_canonical().is_loopback() {
            ClientAddress::Exempt(address)
        } else {
            ClientAddress::Counted(address.to_canonical())
        }
    }

    /// Once, since every request of such a proxy would say the same.
    fn warn(&self, proxy: IpAddr, entry: &[u8], problem: &str) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            let entry: String = String::from_utf8_lossy(entry).chars().take(LOGGED_CHARS).collect();
            tracing::warn!(%proxy, header = self.header.as_str(), ?entry, "{problem} (logged once)");
        }
    }
}

/// The address that an entry of the header names.
fn named(header: ProxyHeader, entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?;
    match header {
        ProxyHeader::XForwardedFor => address(text),
        ProxyHeader::Forwarded => address(forwarded_for(text)?),
        ProxyHeader::ProxyProtocol => None,
    }
}

/// The one `for` of an element of `Forwarded`.
///
/// The header was divided at every comma, also inside quotes: a client that opens a quote and leaves it open
/// would otherwise hide what our proxy appended. So a quote here has to end in the same element.
fn forwarded_for(element: &str) -> Option<&str> {
    let mut quoted = false;
    let pairs = element.split(|c: char| {
        quoted ^= c == '"';
        c == ';' && !quoted
    });
    let values = pairs.filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim())
    });
    let values: Vec<&str> = values.collect();
    let is_whole = element.matches('"').count().is_multiple_of(2) && !element.contains('\\');
    match values[..] {
        [value] if is_whole => Some(value),
        _ => None,
    }
}

/// `v4`, `v6`, `[v6]`, and each with a port, quoted or not.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    // `[v4]` is no address.
    let bare = bare.parse::<IpAddr>().ok().filter(|address| address.is_ipv6() || bare.len() == text.len());
    bare.or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Settings;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn proxies(header: ProxyHeader, hops: usize, loopback_exempt: bool) -> Arc<TrustedProxies> {
        let networks = ["10.0.0.0/8", "127.0.0.1", "fd00::/8"].map(|text| text.parse().expect("a network"));
        TrustedProxies::of(&ServerSettings {
            trusted_proxies: networks.to_vec(),
            proxy_header: header,
            proxy_hops: hops,
            loopback_exempt,
            ..Settings::for_tests().server
        })
    }

    fn client_of(proxies: &TrustedProxies, peer: IpAddr, values: &[&str]) -> ClientAddress {
        proxies.client(Some(peer), |_| values.iter().map(|value| value.as_bytes()))
    }

    fn client(hops: usize, peer: &str, values: &[&str]) -> ClientAddress {
        client_of(&proxies(ProxyHeader::XForwardedFor, hops, false), ip(peer), values)
    }

    fn counted(text: &str) -> ClientAddress {
        ClientAddress::Counted(ip(text))
    }

    #[test]
    fn only_our_own_proxies_are_believed_and_only_for_as_many_hops() {
        for (hops, peer, values, wanted) in [
            (1, "1.2.3.4", &["9.9.9.9"][..], "1.2.3.4"),
            (1, "10.0.0.1", &["9.9.9.9"], "9.9.9.9"),
            (1, "10.0.0.1", &["6.6.6.6, 9.9.9.9"], "9.9.9.9"),
            (1, "10.0.0.1", &["6.6.6.6", "9.9.9.9"], "9.9.9.9"),
            (1, "10.0.0.1", &["6.6.6.6, 10.0.0.2"], "10.0.0.2"),
            (2, "10.0.0.1", &["6.6.6.6,9.9.9.9 ,10.0.0.2,"], "9.9.9.9"),
            (16, "10.0.0.1", &["6.6.6.6,9.9.9.9 ,10.0.0.2,"], "9.9.9.9"),
            (2, "10.0.0.1", &["6.6.6.6, 10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            (1, "::ffff:10.0.0.1", &["9.9.9.9"], "9.9.9.9"),
            (1, "10.0.0.1", &[], "10.0.0.1"),
            (1, "127.0.0.1", &[], "127.0.0.1"),
        ] {
            assert_eq!(client(hops, peer, values), counted(wanted), "{peer} {values:?}");
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
            assert_eq!(client(3, "10.0.0.1", &[entry]), counted(wanted), "{entry}");
        }
    }

    #[test]
    fn an_element_of_forwarded_names_one_address() {
        let proxies = proxies(ProxyHeader::Forwarded, 1, false);
        for (values, wanted) in [
            (&["for=192.0.2.60;proto=http;by=203.0.113.43"][..], "192.0.2.60"),
            (&["For=\"[2001:db8:cafe::17]:4711\""], "2001:db8:cafe::17"),
            (&["for=6.6.6.6, for=192.0.2.43"], "192.0.2.43"),
            (&["for=6.6.6.6", "proto=https; for = 192.0.2.43"], "192.0.2.43"),
            (&["for=\"6.6.6.6, for=192.0.2.43"], "192.0.2.43"),
            // Nobody is named: the proxy itself counts.
            (&["for=unknown"], "10.0.0.1"),
            (&["for=_hidden"], "10.0.0.1"),
            (&["proto=https"], "10.0.0.1"),
            (&["192.0.2.43"], "10.0.0.1"),
            (&["for=6.6.6.6;for=192.0.2.43"], "10.0.0.1"),
            (&["for=192.0.2.43;host=\"a,for=6.6.6.6\""], "10.0.0.1"),
            (&["for=192.0.2.43;host=\"a;for=6.6.6.6\""], "192.0.2.43"),
            (&["host=\"a\\\";for=6.6.6.6;b=\\\"\";for=192.0.2.43"], "10.0.0.1"),
        ] {
            assert_eq!(client_of(&proxies, ip("10.0.0.1"), values), counted(wanted), "{values:?}");
        }
        assert_eq!(
            proxies.client(Some(ip("10.0.0.1")), |name| {
                assert_eq!(name, "forwarded");
                std::iter::empty()
            }),
            counted("10.0.0.1")
        );
    }

    #[test]
    fn with_the_proxy_protocol_no_header_of_a_request_counts() {
        let proxies = proxies(ProxyHeader::ProxyProtocol, 1, false);
        for peer in ["203.0.113.9", "10.0.0.1"] {
            assert_eq!(client_of(&proxies, ip(peer), &["9.9.9.9", "for=9.9.9.9"]), counted(peer));
        }
    }

    #[test]
    fn whom_an_entry_does_not_name_is_limited_all_the_same() {
        let exempting = proxies(ProxyHeader::XForwardedFor, 1, true);
        for entry in ["unknown", "_hidden", "[1.2.3.4]", "1.2.3.4:", "1.2.3.4:99999", "[::1", "\u{fc}"] {
            assert_eq!(client(1, "10.0.0.1", &["9.9.9.9", entry]), counted("10.0.0.1"), "{entry}");
            assert_eq!(client_of(&exempting, ip("127.0.0.1"), &[entry]), counted("127.0.0.1"), "{entry}");
        }
    }

    #[test]
    fn this_machine_is_exempt_only_where_that_is_set() {
        let exempting = proxies(ProxyHeader::XForwardedFor, 1, true);
        for (peer, values, wanted) in [
            ("127.0.0.1", &[][..], ClientAddress::Exempt(ip("127.0.0.1"))),
            ("::1", &["9.9.9.9"], ClientAddress::Exempt(ip("::1"))),
            ("::ffff:127.0.0.9", &[], ClientAddress::Exempt(ip("::ffff:127.0.0.9"))),
            ("127.0.0.1", &["127.0.0.1"], ClientAddress::Exempt(ip("127.0.0.1"))),
            ("127.0.0.1", &["9.9.9.9"], counted("9.9.9.9")),
            ("1.2.3.4", &["127.0.0.1"], counted("1.2.3.4")),
        ] {
            assert_eq!(client_of(&exempting, ip(peer), values), wanted, "{peer} {values:?}");
        }
        assert_eq!(client(1, "127.0.0.9", &[]), counted("127.0.0.9"));
    }

    fn addresses() -> impl Strategy<Value = IpAddr> {
        // Half of them lie in a trusted network.
        prop_oneof![
            any::<[u8; 4]>().prop_map(IpAddr::from),
            any::<[u8; 16]>().prop_map(IpAddr::from),
            any::<[u8; 3]>().prop_map(|[b, c, d]| IpAddr::from([10, b, c, d])),
            any::<u64>().prop_map(|low| ip(&format!("fd00::{:x}", low & 0xffff))),
        ]
    }

    proptest! {
        #[test]
        fn a_client_that_sends_a_header_of_its_own_gains_nothing(
            client in addresses(),
            own in "[ -~]{0,40}|([0-9.:\\[\\]]{1,20}, ?){1,4}|(for=\"?[0-9.]{1,12}\"?[;,] ?){1,4}",
            replaces in any::<bool>(),
            outer in any::<bool>(),
            with_port in any::<bool>(),
        ) {
            let text = SocketAddr::new(client, 40_000);
            let text = if with_port { text.to_string() } else { client.to_string() };
            for header in [ProxyHeader::XForwardedFor, ProxyHeader::Forwarded] {
                let entry = |text: &str| match header {
                    ProxyHeader::XForwardedFor => text.to_owned(),
                    ProxyHeader::Forwarded | ProxyHeader::ProxyProtocol => format!("for=\"{text}\""),
                };
                let mut value = entry(&text);
                if !replaces {
                    value = format!("{own}, {value}");
                }
                if outer {
                    value = format!("{value}, {}", entry("10.9.9.9"));
                }
                let proxies = proxies(header, 1 + usize::from(outer), false);
                let wanted = ClientAddress::Counted(client.to_canonical());
                prop_assert_eq!(client_of(&proxies, ip("10.0.0.1"), &[&value]), wanted);
                // Who is no proxy names nobody.
                prop_assert_eq!(client_of(&proxies, ip("192.0.2.1"), &[&value]), counted("192.0.2.1"));
            }
        }
    }
}
