//! A limit per client address, by each of the networks that the address is counted by.

use std::net::IpAddr;
use std::sync::Arc;

use super::RateLimit;
use crate::domain::{ClientAddress, IPV6_NETWORKS};
use crate::environment::SharedEnvironment;
use crate::protocol::Failure;

/// How often each client address may do something.
pub struct AddressLimit {
    /// In the order of [`IPV6_NETWORKS`].
    networks: [RateLimit<IpAddr>; IPV6_NETWORKS.len()],
}

impl AddressLimit {
    /// At most `most` per minute and address; 0: any number.
    pub fn per_minute(most: u32, environment: &SharedEnvironment) -> Self {
        let limit = |times| RateLimit::per_minute(most.saturating_mul(times), Arc::clone(environment));
        Self { networks: IPV6_NETWORKS.map(|(_, times)| limit(times)) }
    }

    /// At most `most` per second and address in the long run, and `burst` at once; 0 per second: any number.
    pub fn per_second(most: u32, burst: u32, environment: &SharedEnvironment) -> Self {
        let limit = |times| {
            let (most, burst) = (most.saturating_mul(times), burst.saturating_mul(times));
            RateLimit::per_second(most, burst, Arc::clone(environment))
        };
        Self { networks: IPV6_NETWORKS.map(|(_, times)| limit(times)) }
    }

    /// Checks whether `address` may do it now, and counts it. The smallest network is asked first: who is
    /// above the limit there uses up nothing of the larger ones, which others share.
    ///
    /// # Errors
    /// `RateLimited` with the wait.
    pub fn check(&self, address: ClientAddress) -> Result<(), Failure> {
        address.networks().zip(&self.networks).try_for_each(|(network, limit)| limit.check(&network))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;
    use crate::environment::ManualEnvironment;

    fn limit(most: u32) -> AddressLimit {
        let environment: SharedEnvironment = Arc::new(ManualEnvironment::new(1_000_000, 1));
        AddressLimit::per_minute(most, &environment)
    }

    /// The address of a host in the /64 of this number.
    fn v6(network: u64, host: u64) -> ClientAddress {
        let bits = (0x2001_0db8_0000_0000_u128 + u128::from(network)) << 64 | u128::from(host);
        ClientAddress::Counted(IpAddr::V6(Ipv6Addr::from_bits(bits)))
    }

    fn passes(limit: &AddressLimit, addresses: impl Iterator<Item = ClientAddress>) -> usize {
        addresses.filter(|address| limit.check(*address).is_ok()).count()
    }

    #[test]
    fn a_64_has_the_limit_once_a_56_four_times_and_a_48_sixteen_times() {
        assert_eq!(passes(&limit(3), (0..100).map(|host| v6(0, host))), 3);
        // One address in each /64 of a /56, then of a /48.
        assert_eq!(passes(&limit(3), (0..256).map(|network| v6(network, 1))), 12);
        assert_eq!(passes(&limit(3), (0..65_536).map(|network| v6(network, 1))), 48);
    }

    #[test]
    fn who_is_refused_uses_up_nothing_of_their_neighbours() {
        let limit = limit(3);
        assert_eq!(passes(&limit, (0..1_000).map(|host| v6(0, host))), 3);
        assert_eq!(passes(&limit, (0..3).map(|host| v6(1, host))), 3, "the next /64");
        assert_eq!(passes(&limit, (0..3).map(|host| v6(256, host))), 3, "the next /56");
    }

    #[test]
    fn ipv4_is_counted_by_the_address_and_an_exempt_one_not_at_all() {
        let limit = limit(3);
        let v4 = |last: u8| ClientAddress::Counted(IpAddr::from([203, 0, 113, last]));
        assert_eq!(passes(&limit, (0..10).map(|_| v4(1))), 3);
        assert_eq!(passes(&limit, (0..200).map(v4)), 199, "one has used it up");
        assert_eq!(passes(&limit, (0..100).map(|_| ClientAddress::HERE)), 100);
    }
}
