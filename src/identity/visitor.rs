//! Who asks to sign in, and what of that is kept with the sign-in.

use std::net::{IpAddr, Ipv4Addr};

use crate::domain::{AddressPrefix, ClientAddress, Refusal};
use crate::protocol::checks;

/// A client that asks to sign in or up.
#[derive(Debug, Clone, Copy)]
pub struct Visitor<'a> {
    /// Its address, past trusted proxies.
    pub address: ClientAddress,
    /// The name that its device gives itself.
    pub device_name: Option<&'a str>,
    /// The token that it was given when somebody signed in on it before.
    pub device_token: Option<&'a str>,
    /// The code of the account's second factor.
    pub code: Option<&'a str>,
}

/// What is kept of a visitor.
#[derive(Debug, Clone)]
pub(super) struct Device {
    pub name: Option<String>,
    pub network: AddressPrefix,
    /// Of the device id by which a guest was made or found.
    pub secret_hash: Option<[u8; 32]>,
}

impl Visitor<'_> {
    /// A nameless device on this machine.
    pub const HERE: Self = Self::of(ClientAddress::Counted(IpAddr::V4(Ipv4Addr::LOCALHOST)));

    /// A nameless device at `address`, without anything else to show.
    pub const fn of(address: ClientAddress) -> Self {
        Self { address, device_name: None, device_token: None, code: None }
    }

    pub(super) fn device(&self) -> Result<Device, Refusal> {
        let name = self.device_name.map(checks::device_name).transpose()?.flatten();
        Ok(Device { name, network: AddressPrefix::of(self.address.ip()), secret_hash: None })
    }
}
