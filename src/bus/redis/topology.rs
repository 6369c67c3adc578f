//! Which link a channel or key belongs to.

use std::sync::Arc;

use super::link::Link;

/// The number of slots of a Redis Cluster.
pub const SLOTS: u16 = 16_384;

/// The present links. Cheap to clone.
#[derive(Clone, Default)]
pub struct Topology {
    links: Arc<[Arc<Link>]>,
    /// The link of each slot, as an index into `links`; `None` with one server.
    slots: Option<Arc<[Option<u16>]>>,
}

impl Topology {
    /// Everything belongs to one link.
    pub fn whole(link: Arc<Link>) -> Self {
        Self { links: Arc::new([link]), slots: None }
    }

    /// Slots belong to links by their index in `links`.
    pub fn slotted(links: Vec<Arc<Link>>, slots: Vec<Option<u16>>) -> Self {
        Self { links: links.into(), slots: Some(slots.into()) }
    }

    /// All links.
    pub fn links(&self) -> &[Arc<Link>] {
        &self.links
    }

    /// The link of a channel or key; `None` while no server has its slot.
    pub fn owner(&self, name: &str) -> Option<&Arc<Link>> {
        match &self.slots {
            None => self.links.first(),
            Some(slots) => {
                let place = slots.get(usize::from(slot(name.as_bytes()))).copied().flatten()?;
                self.links.get(usize::from(place))
            }
        }
    }
}

/// The slot of a key: CRC16 (XMODEM) of the text between the first braces, or of the whole key.
pub fn slot(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        let close = rest.iter().position(|byte| *byte == b'}')?;
        (close > 0).then_some(&rest[..close])
    });
    let crc = tag.unwrap_or(key).iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    });
    crc % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_that_redis_computes() {
        // The check value of the CRC, and what `CLUSTER KEYSLOT` answers.
        assert_eq!(slot(b"123456789"), 0x31C3);
        assert_eq!(slot(b"foo"), 12_182);
        assert_eq!(slot(b"{foo}.bar"), slot(b"foo"));
        assert_ne!(slot(b"{}foo"), slot(b"foo"));
    }
}
