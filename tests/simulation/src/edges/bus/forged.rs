//! Envelopes that no process has written. All of them must change nothing.

use std::sync::Arc;

use smallvec::smallvec;
use tidings::bus::envelope::{BusMessageId, NodeId, encode};
use tidings::bus::{BusMessage, Digest, Payload};
use tidings::domain::{Position, Seq, Topic};

use super::server::{Server, State};

/// More bytes than garbage has.
const GARBAGE_BYTES: u64 = 200;
/// The product's names of the channels of digests and of what was published.
const DIGEST: &[u8] = b"tidings:digest";
const PUBLISHED: &[u8] = b"tidings:published";

/// A forgery of a kind, and its channel. `None` when there is nothing to make it from.
pub fn forge(
    server: &Server,
    state: &mut State,
    kind: u8,
    is_mac_required: bool,
) -> Option<(Vec<u8>, Vec<u8>)> {
    let count = state.remembered.len() as u64;
    let at = usize::try_from(state.dice.below(count)).unwrap_or(0);
    let (channel, mut envelope) = state.remembered.get(at).cloned()?;
    match kind % 8 {
        // One bit is wrong, anywhere behind the head.
        0 | 1 if is_mac_required => {
            let behind = envelope.len().checked_sub(17).filter(|length| *length > 0)?;
            let place = 17 + usize::try_from(state.dice.below(behind as u64)).unwrap_or(0);
            let mask = 1 << state.dice.below(8);
            *envelope.get_mut(place)? ^= mask;
        }
        2 => *envelope.first_mut()? = 9,
        3 => {
            envelope = vec![0; usize::try_from(state.dice.below(GARBAGE_BYTES)).unwrap_or(0)];
            state.dice.fill(&mut envelope);
            // Its version is one that is read.
            if is_mac_required && let Some(version) = envelope.first_mut() {
                *version = 2;
            }
        }
        // An earlier envelope is sent again.
        4 => {}
        5 if is_mac_required => {
            let from = Position(state.dice.below(100));
            let to = Position(from.0 + 1_000_000);
            let epoch = opened(server, &envelope).and_then(|message| message.epoch).unwrap_or(1);
            let digest = Digest { epoch, from, to, held_back: false, moved: Vec::new() };
            return unsigned(state, DIGEST, Topic::Digest, epoch, Payload::Digest(Arc::new(digest)));
        }
        6 if is_mac_required => {
            // Says that somebody has published what nobody has published.
            let newest = state.remembered.iter().rev().find_map(|(_, bytes)| {
                let message = opened(server, bytes)?;
                let Payload::Events(events) = &message.payload else { return None };
                let last = &events.last()?.event;
                Some((message.epoch?, last.conversation, last.seq))
            });
            let (epoch, conversation, seq) = newest?;
            let ahead = (1..=20).filter_map(|ahead| Some((conversation, Seq::new(seq.get() + ahead)?)));
            return unsigned(state, PUBLISHED, Topic::Published, epoch, Payload::Published(ahead.collect()));
        }
        7 if is_mac_required => {
            // The same content without a MAC, as of another process.
            let message = opened(server, &envelope)?;
            envelope = encode(somebody(state), &message).ok()?;
        }
        _ => {}
    }
    Some((channel, envelope))
}

fn opened(server: &Server, bytes: &[u8]) -> Option<BusMessage> {
    server.mac.decode(bytes).ok().map(|(_, message)| message)
}

fn somebody(state: &mut State) -> BusMessageId {
    BusMessageId { node: NodeId(state.dice.next_u64()), number: state.dice.below(1_000) }
}

fn unsigned(
    state: &mut State,
    channel: &[u8],
    topic: Topic,
    epoch: u64,
    payload: Payload,
) -> Option<(Vec<u8>, Vec<u8>)> {
    let message = BusMessage { topics: smallvec![topic], epoch: Some(epoch), payload };
    let envelope = encode(somebody(state), &message).ok()?;
    Some((channel.to_vec(), envelope))
}
