//! The open connections of a node, HTTP and WebSocket together: how many there are and may be, in all and of
//! one client address.
//!
//! - *Owns*: the counts. A connection is counted as long as its [`Place`] exists.
//! - *Limits*: `server.max_connections` in all; `server.connections_per_ip` of an address, and several times
//!   that of an IPv6 network ([`IPV6_NETWORKS`]).
//! - *On full*: the last tenth of each limit is a reserve for health checks and signed-in users
//!   ([`Place::full`]); beyond it nobody enters.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use serde::Serialize;

use super::http_output::HttpOutput;
use crate::domain::{ClientAddress, IPV6_NETWORKS};

/// One in so many places is reserved.
const RESERVED_ONE_IN: usize = 10;

/// The counts of a node's open connections, and their limits.
#[derive(Debug)]
pub struct Connections {
    open: AtomicUsize,
    most: AtomicUsize,
    /// 0: any number.
    most_of_an_address: AtomicUsize,
    /// By the index in [`IPV6_NETWORKS`] and the network; without those that have none.
    networks: DashMap<(u8, IpAddr), usize>,
}

/// Their state, for inspection.
#[derive(Debug, Clone, Serialize)]
pub struct ConnectionsObserved {
    /// How many there are, HTTP and WebSocket together.
    pub open: usize,
    /// How many there may be.
    pub most: usize,
}

/// Whom a place is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// For anybody.
    Ordinary,
    /// A health check, or a user who is signed in. The others are asked to come back.
    Reserved,
}

/// Why nobody else may enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crowded {
    /// Of this address, or of a network that it is in.
    Address,
    /// In all.
    Node,
}

impl Crowded {
    /// The label in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Node => "node",
        }
    }
}

/// One open connection. It is counted until this value is dropped.
#[derive(Debug)]
pub struct Place {
    connections: Arc<Connections>,
    address: ClientAddress,
    /// What is full, of a place from the reserve.
    full: Option<Crowded>,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            open: AtomicUsize::new(0),
            most: AtomicUsize::new(usize::MAX),
            most_of_an_address: AtomicUsize::new(0),
            networks: DashMap::new(),
        }
    }
}

impl Connections {
    /// From now on at most `most` connections may be open, and `most_of_an_address` of one address; 0: any
    /// number. One address has half of all at most.
    pub fn allow(&self, most: usize, most_of_an_address: usize) {
        self.most.store(most, Ordering::Relaxed);
        self.most_of_an_address.store(most_of_an_address.min((most / 2).max(1)), Ordering::Relaxed);
    }

    /// Counts one more connection of `address`, if there is a place for it.
    ///
    /// # Errors
    /// What is full.
    pub fn enter(self: &Arc<Self>, address: ClientAddress) -> Result<Place, Crowded> {
        let mut place = self.count(address);
        // It counts itself already.
        let all = kind_of(self.open(), self.most.load(Ordering::Relaxed));
        let of_address = self.kind_of_address(address);
        place.full = match (of_address, all) {
            (None, _) => return Err(Crowded::Address),
            (_, None) => return Err(Crowded::Node),
            (Some(Kind::Reserved), _) => Some(Crowded::Address),
            (_, Some(Kind::Reserved)) => Some(Crowded::Node),
            (Some(Kind::Ordinary), Some(Kind::Ordinary)) => None,
        };
        Ok(place)
    }

    /// Counts one more connection of `address`, also above the limits.
    pub fn count(self: &Arc<Self>, address: ClientAddress) -> Place {
        self.open.fetch_add(1, Ordering::Relaxed);
        for network in numbered(address) {
            *self.networks.entry(network).or_insert(0) += 1;
        }
        Place { connections: Arc::clone(self), address, full: None }
    }

    fn kind_of_address(&self, address: ClientAddress) -> Option<Kind> {
        let most = self.most_of_an_address.load(Ordering::Relaxed);
        if most == 0 {
            return Some(Kind::Ordinary);
        }
        let mut kind = Kind::Ordinary;
        for (index, network) in numbered(address) {
            let times = IPV6_NETWORKS.get(usize::from(index)).map_or(1, |(_, times)| *times as usize);
            let open = self.networks.get(&(index, network)).map_or(0, |open| *open);
            match kind_of(open, most.saturating_mul(times))? {
                Kind::Ordinary => {}
                Kind::Reserved => kind = Kind::Reserved,
            }
        }
        Some(kind)
    }

    /// How many there are and may be.
    pub fn observed(&self) -> ConnectionsObserved {
        ConnectionsObserved { open: self.open(), most: self.most.load(Ordering::Relaxed) }
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Whether fewer than one in a hundred are left.
    pub fn is_nearly_full(&self) -> bool {
        let most = self.most.load(Ordering::Relaxed);
        self.open() >= most - (most / 100).max(1).min(most)
    }
}

/// The networks of an address, with their index in [`IPV6_NETWORKS`].
fn numbered(address: ClientAddress) -> impl Iterator<Item = (u8, IpAddr)> {
    (0_u8..).zip(address.networks())
}

/// Whom the newest of `open` places is for, when there are `most`; `None`: there is no such place.
fn kind_of(open: usize, most: usize) -> Option<Kind> {
    let reserve = if most > 1 { (most / RESERVED_ONE_IN).max(1) } else { 0 };
    if open > most {
        None
    } else if open > most - reserve {
        Some(Kind::Reserved)
    } else {
        Some(Kind::Ordinary)
    }
}

impl Place {
    /// Whose it is.
    pub const fn address(&self) -> ClientAddress {
        self.address
    }

    /// What was full, of a place from the reserve.
    pub const fn full(&self) -> Option<Crowded> {
        self.full
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.open.fetch_sub(1, Ordering::Relaxed);
        for network in numbered(self.address) {
            if let Entry::Occupied(mut entry) = self.connections.networks.entry(network) {
                *entry.get_mut() -= 1;
                if *entry.get() == 0 {
                    entry.remove();
                }
            }
        }
    }
}

/// What the handlers of a connection's requests know of its place. A session takes the place with it.
#[derive(Debug)]
pub struct OpenConnection {
    place: RefCell<Option<Place>>,
    full: Option<Crowded>,
    output: HttpOutput,
    /// Its client may stay: it is not one from whom the reserve is kept.
    may_stay: Cell<bool>,
}

impl OpenConnection {
    /// A connection that has begun.
    pub fn new(place: Place, output: HttpOutput) -> Self {
        let full = place.full();
        Self { place: RefCell::new(Some(place)), full, output, may_stay: Cell::new(full.is_none()) }
    }

    /// What is full, when its place is from the reserve and nobody has signed in on it.
    pub fn full(&self) -> Option<Crowded> {
        self.full.filter(|_| !self.may_stay())
    }

    /// What waits for its client while it is an HTTP connection.
    pub const fn output(&self) -> &HttpOutput {
        &self.output
    }

    /// Somebody who is signed in uses it.
    pub fn let_stay(&self) {
        self.may_stay.set(true);
    }

    /// Whether it need not end soon.
    pub fn may_stay(&self) -> bool {
        self.may_stay.get()
    }

    /// Its place, for the session that the connection becomes.
    pub fn take(&self) -> Option<Place> {
        self.may_stay.set(true);
        self.place.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::byte_budget::ByteBudget;

    fn from(last: u8) -> ClientAddress {
        ClientAddress::Counted([203, 0, 113, last].into())
    }

    fn kinds(
        connections: &Arc<Connections>,
        addresses: impl Iterator<Item = ClientAddress>,
    ) -> (Vec<Place>, Vec<Crowded>) {
        let (mut places, mut full) = (Vec::new(), Vec::new());
        for address in addresses {
            match connections.enter(address) {
                Ok(place) => places.push(place),
                Err(what) => full.push(what),
            }
        }
        (places, full)
    }

    fn opened(place: Place) -> OpenConnection {
        OpenConnection::new(place, HttpOutput::new(ByteBudget::new(0, Arc::default()).account()))
    }

    fn reserved(places: &[Place]) -> usize {
        places.iter().filter(|place| place.full.is_some()).count()
    }

    #[test]
    fn one_in_a_hundred_is_kept_for_those_on_their_way() {
        let connections = Arc::new(Connections::default());
        let first = connections.count(ClientAddress::HERE);
        assert!(!connections.is_nearly_full(), "no limit yet");
        connections.allow(3, 0);
        assert!(!connections.is_nearly_full());
        let second = connections.count(ClientAddress::HERE);
        assert!(connections.is_nearly_full());
        drop((first, second));
        assert_eq!(connections.open(), 0);
    }

    #[test]
    fn the_last_tenth_of_all_places_is_a_reserve() {
        let connections = Arc::new(Connections::default());
        connections.allow(100, 0);
        let (places, full) = kinds(&connections, (0..110).map(from));
        assert_eq!((places.len(), reserved(&places)), (100, 10));
        assert_eq!(full, [Crowded::Node; 10]);
        assert_eq!(places[95].full(), Some(Crowded::Node));
        drop(places);
        assert_eq!(connections.open(), 0, "who was turned away is not counted");
    }

    #[test]
    fn an_address_has_its_places_and_leaves_the_others_theirs() {
        let connections = Arc::new(Connections::default());
        connections.allow(1_000, 20);
        let (places, full) = kinds(&connections, (0..30).map(|_| from(1)));
        assert_eq!((places.len(), reserved(&places), full.len()), (20, 2, 10));
        assert_eq!((full[0], places[19].full()), (Crowded::Address, Some(Crowded::Address)));
        assert!(connections.enter(from(2)).is_ok_and(|place| place.full.is_none()));
        let (exempt, full) = kinds(&connections, (0..30).map(|_| ClientAddress::HERE));
        assert_eq!((exempt.len(), full.len()), (30, 0));
        drop((places, exempt));
        assert!(connections.networks.is_empty(), "nothing is remembered of who has gone");
        // A whole /48, one address in each /64.
        let v6 = |network: u16| ClientAddress::Counted([0x2001, 0xdb8, 0, network, 0, 0, 0, 1].into());
        let (places, full) = kinds(&connections, (0..1_000).map(v6));
        assert_eq!((places.len(), full.len()), (320, 680));
    }

    #[test]
    fn one_address_has_half_of_all_places_at_most() {
        let connections = Arc::new(Connections::default());
        connections.allow(200, 1_000);
        let (places, _) = kinds(&connections, (0..230).map(|_| from(1)));
        assert_eq!(places.len(), 100);
        assert!(connections.enter(from(2)).is_ok_and(|place| place.full.is_none()));
    }

    #[test]
    fn a_place_of_the_reserve_is_kept_by_whom_it_is_for() {
        let connections = Arc::new(Connections::default());
        connections.allow(2, 0);
        let ordinary = opened(connections.enter(from(1)).expect("a place"));
        assert!(ordinary.may_stay() && ordinary.full().is_none());
        let open = opened(connections.enter(from(2)).expect("a place"));
        assert!(!open.may_stay() && open.full() == Some(Crowded::Node));
        open.let_stay();
        assert!(open.may_stay() && open.full().is_none());
        assert!(open.take().is_some() && open.take().is_none());
        assert_eq!(connections.open(), 1, "the session that took it has gone");
    }
}
