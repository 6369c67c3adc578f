//! The address that limits count a client by.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whose request or connection it is, for the limits per address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientAddress {
    /// It counts against the limits per address.
    Counted(IpAddr),
    /// A program on this machine, where `server.loopback_exempt` is set.
    Exempt(IpAddr),
}

/// The networks by which an IPv6 address is counted: bits of the prefix, and how many times the limit of one
/// address such a network has.
///
/// One subscriber has a /64 and often a /56, and anybody can rent a /48. With a limit for /64 only, a /48
/// would have 65,536 times that limit.
pub const IPV6_NETWORKS: [(u32, u32); 3] = [(64, 1), (56, 4), (48, 16)];

impl ClientAddress {
    /// A program on this machine that is exempt.
    pub const HERE: Self = Self::Exempt(IpAddr::V4(Ipv4Addr::LOCALHOST));

    /// The networks that it is counted by, in the order of [`IPV6_NETWORKS`]: three of an IPv6 address, an
    /// IPv4 address itself, none when it is exempt.
    pub fn networks(self) -> impl Iterator<Item = IpAddr> {
        let networks = match self {
            Self::Exempt(_) => [None; IPV6_NETWORKS.len()],
            Self::Counted(address) => match address.to_canonical() {
                IpAddr::V4(v4) => [Some(IpAddr::V4(v4)), None, None],
                IpAddr::V6(v6) => IPV6_NETWORKS.map(|(bits, _)| {
                    let host = u128::MAX >> bits;
                    Some(IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !host)))
                }),
            },
        };
        networks.into_iter().flatten()
    }

    /// The address itself.
    pub const fn ip(self) -> IpAddr {
        match self {
            Self::Counted(address) | Self::Exempt(address) => address,
        }
    }

    /// The smallest of its networks: one subscriber; `None` when it is exempt.
    pub fn subscriber(self) -> Option<IpAddr> {
        self.networks().next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(address: &str) -> Vec<String> {
        let address = ClientAddress::Counted(address.parse().expect("an address"));
        address.networks().map(|network| network.to_string()).collect()
    }

    #[test]
    fn ipv6_is_counted_by_three_networks_and_ipv4_by_the_address() {
        assert_eq!(
            networks("2001:db8:1:2345:6::7"),
            ["2001:db8:1:2345::", "2001:db8:1:2300::", "2001:db8:1::"]
        );
        assert_eq!(networks("10.0.0.1"), ["10.0.0.1"]);
        assert_eq!(networks("::ffff:10.0.0.1"), ["10.0.0.1"]);
        let exempt = ClientAddress::Exempt(IpAddr::V6(Ipv6Addr::LOCALHOST));
        assert_eq!((exempt.networks().count(), exempt.subscriber()), (0, None));
    }
}
