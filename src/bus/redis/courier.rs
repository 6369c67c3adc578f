//! Carries what arrived to the listener: decodes it, passes over what this node published itself or already has.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Shared;
use crate::bus::Parcel;
use crate::bus::envelope::{EnvelopeError, NodeId, Stamp, decode, stamp};

/// Envelopes handed over at once; then other tasks of the thread have their turn.
const ENVELOPES_AT_ONCE: usize = 1_024;
/// Stamps remembered. The copies of an envelope for several topics arrive close together: the server takes them in one go.
const REMEMBERED: usize = 128;

/// Runs for ever.
pub async fn run(shared: Arc<Shared>) {
    let mut recent = Recent::new(shared.node);
    loop {
        let (envelopes, gap) = shared.incoming.take(ENVELOPES_AT_ONCE);
        shared.meters.queue_bytes.set(shared.incoming.bytes() as f64);
        if envelopes.is_empty() && !gap {
            shared.incoming.filled().await;
            continue;
        }
        let parcels: Vec<Parcel> =
            envelopes.iter().filter_map(|envelope| open(&shared, &mut recent, envelope)).collect();
        if !parcels.is_empty() {
            shared.listener.on_parcels(parcels);
        }
        if gap {
            shared.gap();
        }
        tokio::task::yield_now().await;
    }
}

fn open(shared: &Shared, recent: &mut Recent, envelope: &[u8]) -> Option<Parcel> {
    let opened = match stamp(envelope) {
        Ok(stamp) if recent.knows(stamp) => return None,
        Ok(_) => match &shared.options.mac {
            Some(keys) => keys.decode(envelope),
            None => decode(envelope),
        },
        Err(error) => Err(error),
    };
    match opened {
        Ok((stamp, parcel)) => {
            // Only now: a forged envelope must not make a true one pass for its copy.
            recent.note(stamp);
            shared.meters.received.increment(1);
            Some(parcel)
        }
        Err(error) => {
            let reason = match error {
                EnvelopeError::UnknownVersion(_) => "unknown_version",
                EnvelopeError::Unsigned => "unsigned",
                EnvelopeError::UnknownKey => "unknown_key",
                EnvelopeError::Forged => "forged",
                EnvelopeError::Unreadable => "unreadable",
            };
            shared.meters.dropped.of(reason).increment(1);
            if matches!(error, EnvelopeError::Unsigned | EnvelopeError::UnknownKey | EnvelopeError::Forged) {
                // The log itself bounds how often one place speaks.
                tracing::warn!(%error, "dropped what came by the bus: another key, another installation, or a forgery");
            }
            None
        }
    }
}

/// The stamps seen last.
struct Recent {
    own: NodeId,
    stamps: VecDeque<Stamp>,
}

impl Recent {
    fn new(own: NodeId) -> Self {
        Self { own, stamps: VecDeque::with_capacity(REMEMBERED) }
    }

    /// Whether an envelope is this node's own, or one that was seen a moment ago.
    fn knows(&self, stamp: Stamp) -> bool {
        // Looked for from the back: a copy follows its first closely.
        stamp.node == self.own || self.stamps.iter().rev().any(|known| *known == stamp)
    }

    /// An envelope was taken.
    fn note(&mut self, stamp: Stamp) {
        if self.stamps.len() == REMEMBERED {
            self.stamps.pop_front();
        }
        self.stamps.push_back(stamp);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_envelopes_and_copies_are_passed_over() {
        let mut recent = Recent::new(NodeId(1));
        let stamp = |node, number| Stamp { node: NodeId(node), number };
        assert!(recent.knows(stamp(1, 5)) && !recent.knows(stamp(2, 5)));
        recent.note(stamp(2, 5));
        assert!(recent.knows(stamp(2, 5)) && !recent.knows(stamp(3, 5)));
        for number in 10..10 + REMEMBERED as u64 {
            recent.note(stamp(2, number));
        }
        assert!(!recent.knows(stamp(2, 5)));
        assert_eq!(recent.stamps.len(), REMEMBERED);
    }
}
