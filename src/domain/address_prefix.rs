//! The part of a client's address that is kept with a sign-in.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The network of an address: its /24, or its /48 for IPv6. It tells a user roughly where a sign-in was used,
/// and names no single machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressPrefix(String);

impl AddressPrefix {
    /// The network of `address`.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                let [a, b, c, _] = v4.octets();
                Self(format!("{}/24", Ipv4Addr::new(a, b, c, 0)))
            }
            IpAddr::V6(v6) => {
                let [a, b, c, ..] = v6.segments();
                Self(format!("{}/48", Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0)))
            }
        }
    }

    /// A network that was stored.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// As it is stored and shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AddressPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_parts_of_an_address_are_left_out() {
        for (address, network) in [
            ("203.0.113.77", "203.0.113.0/24"),
            ("::ffff:203.0.113.77", "203.0.113.0/24"),
            ("2001:db8:12:3456:789a::1", "2001:db8:12::/48"),
            ("::1", "::/48"),
        ] {
            let address = address.parse().expect("an address");
            assert_eq!(AddressPrefix::of(address).as_str(), network, "{address}");
        }
    }
}
