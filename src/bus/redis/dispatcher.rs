//! Hands arrived messages to the listener: decodes them, and skips those that this node published itself or
//! received already.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Shared;
use crate::bus::BusMessage;
use crate::bus::envelope::{BusMessageId, EnvelopeError, NodeId, decode, id};

/// Envelopes given to the listener before other tasks of the thread may run.
const ENVELOPES_AT_ONCE: usize = 1_024;
/// Ids remembered. The copies of an envelope for several topics arrive close together, because the server
/// takes them in one command.
const REMEMBERED: usize = 128;

/// Never returns.
pub async fn run(shared: Arc<Shared>) {
    let mut recent = Recent::new(shared.node);
    loop {
        let (envelopes, gap) = shared.incoming.take(ENVELOPES_AT_ONCE);
        shared.meters.queue_bytes.set(shared.incoming.bytes() as f64);
        if envelopes.is_empty() && !gap {
            shared.incoming.filled().await;
            continue;
        }
        let messages: Vec<BusMessage> =
            envelopes.iter().filter_map(|envelope| open(&shared, &mut recent, envelope)).collect();
        if !messages.is_empty() {
            shared.listener.on_messages(messages);
        }
        if gap {
            shared.gap();
        }
        tokio::task::yield_now().await;
    }
}

fn open(shared: &Shared, recent: &mut Recent, envelope: &[u8]) -> Option<BusMessage> {
    let opened = match id(envelope) {
        Ok(id) if recent.knows(id) => return None,
        Ok(_) => match &shared.options.mac {
            Some(keys) => keys.decode(envelope),
            None => decode(envelope),
        },
        Err(error) => Err(error),
    };
    match opened {
        Ok((id, message)) => {
            // Noted only now: a forged envelope must not make a genuine one look like its copy.
            recent.note(id);
            shared.meters.received.increment(1);
            Some(message)
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
                // The log limits how often one place in the code writes to it.
                tracing::warn!(%error, "dropped a bus message: it has another key, is of another installation, or is forged");
            }
            None
        }
    }
}

/// The ids of the last envelopes.
struct Recent {
    own: NodeId,
    ids: VecDeque<BusMessageId>,
}

impl Recent {
    fn new(own: NodeId) -> Self {
        Self { own, ids: VecDeque::with_capacity(REMEMBERED) }
    }

    /// Whether an envelope is this node's own, or one that arrived a moment ago.
    fn knows(&self, id: BusMessageId) -> bool {
        // Searched from the back, because a copy follows its original closely.
        id.node == self.own || self.ids.iter().rev().any(|known| *known == id)
    }

    /// An envelope was accepted.
    fn note(&mut self, id: BusMessageId) {
        if self.ids.len() == REMEMBERED {
            self.ids.pop_front();
        }
        self.ids.push_back(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_envelopes_and_copies_are_passed_over() {
        let mut recent = Recent::new(NodeId(1));
        let id = |node, number| BusMessageId { node: NodeId(node), number };
        assert!(recent.knows(id(1, 5)) && !recent.knows(id(2, 5)));
        recent.note(id(2, 5));
        assert!(recent.knows(id(2, 5)) && !recent.knows(id(3, 5)));
        for number in 10..10 + REMEMBERED as u64 {
            recent.note(id(2, number));
        }
        assert!(!recent.knows(id(2, 5)));
        assert_eq!(recent.ids.len(), REMEMBERED);
    }
}
