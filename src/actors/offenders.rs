//! Addresses whose requests made this node panic repeatedly. They are refused for a while.
//!
//! Each panic ends one client's work only, but its log line and its backtrace cost far more than the request
//! that caused it. Bound: [`ADDRESSES`]. Policy when full: the address with the oldest panic is forgotten.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::domain::ClientAddress;
use crate::panics::lock;

/// Addresses remembered at once.
const ADDRESSES: usize = 10_000;
/// Panics of one address within [`WITHIN_MS`] after which it is refused.
const PANICS: u32 = 3;
/// Panics within this time are counted together.
const WITHIN_MS: u64 = 60_000;
/// For how long an address is refused.
const REFUSED_MS: u64 = 300_000;

#[derive(Debug, Clone, Copy)]
struct Record {
    panics: u32,
    first_ms: u64,
    last_ms: u64,
}

/// The addresses of one node. Times are the environment's monotonic milliseconds.
#[derive(Debug, Default)]
pub struct Offenders {
    /// Whether any address is remembered. On a node without panics nothing else is read.
    any: AtomicBool,
    records: Mutex<HashMap<IpAddr, Record>>,
}

impl Offenders {
    /// A request from `address` caused a panic.
    pub fn note(&self, address: ClientAddress, now_ms: u64) {
        let Some(address) = address.subscriber() else { return };
        let mut records = lock(&self.records);
        if records.len() >= ADDRESSES && !records.contains_key(&address) {
            let oldest = records.iter().min_by_key(|(_, record)| record.last_ms).map(|(address, _)| *address);
            oldest.map(|oldest| records.remove(&oldest));
        }
        let record =
            records.entry(address).or_insert(Record { panics: 0, first_ms: now_ms, last_ms: now_ms });
        if record.panics < PANICS && now_ms.saturating_sub(record.first_ms) > WITHIN_MS {
            *record = Record { panics: 0, first_ms: now_ms, last_ms: now_ms };
        }
        record.panics += 1;
        record.last_ms = now_ms;
        self.any.store(true, Ordering::Release);
    }

    /// For how many milliseconds `address` is still refused; `None`: it is not.
    pub fn refused_ms(&self, address: ClientAddress, now_ms: u64) -> Option<u64> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let address = address.subscriber()?;
        let mut records = lock(&self.records);
        let record = *records.get(&address)?;
        let until_ms = record.last_ms + if record.panics < PANICS { WITHIN_MS } else { REFUSED_MS };
        if now_ms >= until_ms {
            records.remove(&address);
            self.any.store(!records.is_empty(), Ordering::Release);
            return None;
        }
        (record.panics >= PANICS).then(|| until_ms - now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(number: u32) -> ClientAddress {
        ClientAddress::Counted(IpAddr::V4(std::net::Ipv4Addr::from_bits(0xCB00_7100 + number)))
    }

    #[test]
    fn three_panics_in_a_minute_are_refused_for_a_while() {
        let offenders = Offenders::default();
        assert_eq!(offenders.refused_ms(ip(1), 0), None);
        for at_ms in [0, 30_000] {
            offenders.note(ip(1), at_ms);
            assert_eq!(offenders.refused_ms(ip(1), at_ms), None);
        }
        offenders.note(ip(1), 59_000);
        assert_eq!(offenders.refused_ms(ip(1), 60_000), Some(REFUSED_MS - 1_000));
        assert_eq!(offenders.refused_ms(ip(2), 60_000), None, "another address");
        assert_eq!(offenders.refused_ms(ip(1), 59_000 + REFUSED_MS), None);
        offenders.note(ip(1), 400_000);
        assert_eq!(offenders.refused_ms(ip(1), 400_001), None, "counted anew");
    }

    #[test]
    fn panics_far_apart_and_whom_no_limit_counts_are_not_refused() {
        let offenders = Offenders::default();
        for at_ms in (0..10).map(|minute| minute * 61_000) {
            offenders.note(ip(1), at_ms);
            offenders.note(ClientAddress::HERE, at_ms / 100);
            assert_eq!(offenders.refused_ms(ip(1), at_ms), None);
        }
        assert_eq!(offenders.refused_ms(ClientAddress::HERE, 0), None);
    }

    #[test]
    fn the_oldest_is_forgotten_when_there_are_too_many() {
        let offenders = Offenders::default();
        for number in 0..=u32::try_from(ADDRESSES).unwrap() {
            offenders.note(ip(number), u64::from(number));
        }
        let records = offenders.records.lock().unwrap();
        assert!(
            records.len() == ADDRESSES && ip(0).subscriber().is_some_and(|gone| !records.contains_key(&gone))
        );
    }
}
