//! The bus between nodes, at most once: carries events that were just committed, and signals that are not
//! stored.
//!
//! It may lose, repeat or delay anything at any time. The log is the source of truth. The router in
//! [`crate::actors`] notices holes and repeats by seq, and no ack depends on the bus. To add a backend:
//! implement [`Bus`], name it in `app`, add it to the worlds of `tests/bus`.

pub mod envelope;
pub mod health;
pub mod local;
pub mod presence_registry;
pub mod redis;

use std::pin::Pin;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::domain::{Committed, ConversationId, Position, Revocation, Seq, Timestamp, Topic, UserId};

/// Something that is sent and not stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// A user began or stopped typing.
    Typing {
        /// The conversation in which the user types.
        conversation: ConversationId,
        /// The user who types.
        user: UserId,
        /// Whether the user began or stopped.
        on: bool,
    },
    /// A receipt moved.
    Receipt {
        /// The conversation that the receipt is for.
        conversation: ConversationId,
        /// The user who received or read.
        user: UserId,
        /// Received up to here.
        delivered: Option<Seq>,
        /// Read up to here.
        read: Option<Seq>,
    },
    /// A user's presence changed. The signal carries the presence for those who watch the user.
    Presence {
        /// The user whose presence changed.
        user: UserId,
        /// The present state.
        presence: Presence,
    },
    /// Tokens were revoked: connections on them close.
    Revoked(Revocation),
    /// A block was set or lifted. While it is set, neither of the two users gets signals of the other.
    Blocked {
        /// The user who set or lifted it.
        by: UserId,
        /// The user who is blocked or no longer blocked.
        user: UserId,
        /// Whether it was set or lifted.
        on: bool,
    },
    /// A user shows their presence to fewer others: watches are checked again.
    Hidden {
        /// The user.
        user: UserId,
    },
    /// A user is invited to a group or a channel.
    Invited {
        /// Who invites.
        by: UserId,
        /// Who is invited.
        user: UserId,
        /// To which conversation.
        conversation: ConversationId,
    },
}

/// Whether a user is connected, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// A device is in the foreground.
    Online,
    /// Devices are connected, all in the background.
    Away,
    /// No device is connected.
    Offline {
        /// When the last one disconnected; `None` when not known.
        last_seen: Option<Timestamp>,
    },
}

/// The content of a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Payload {
    /// Committed events of one conversation, ascending.
    Events(Vec<Committed>),
    /// A signal.
    Signal(Signal),
    /// Events that a node has just published. Relays read it, and publish the events that no node published.
    Published(Vec<(ConversationId, Seq)>),
    /// The conversations that a relay found to have moved. Gateways read from the log what they did not
    /// receive.
    Digest(Arc<Digest>),
}

/// Which conversations moved between two positions of the log.
///
/// Complete: a node that has everything before `from`, and every event named here, has everything before
/// `to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// The log's incarnation that the positions belong to.
    pub epoch: u64,
    /// The position at which the digest begins.
    pub from: Position,
    /// The position at which it ends; the next one begins here.
    pub to: Position,
    /// An undecided transaction holds back the end of the log: later events may be committed already, and
    /// digests name them only after it has ended.
    pub held_back: bool,
    /// The conversations with an event in between.
    pub moved: Vec<Moved>,
}

/// One conversation of a [`Digest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The conversation that moved.
    pub conversation: ConversationId,
    /// Its first event in this part of the log.
    pub first: Seq,
    /// Its last event in this part of the log.
    pub last: Seq,
    /// The users that any of these events was for; see [`crate::domain::Audience`].
    pub users: Arc<[UserId]>,
}

/// One message between nodes, and the topics it is published on.
#[derive(Debug, Clone, PartialEq)]
pub struct BusMessage {
    /// The topics. A node that subscribes to several of them may receive the message several times.
    pub topics: SmallVec<[Topic; 2]>,
    /// The epoch of the log that it is about; `None` for a signal, which is about no log.
    pub epoch: Option<u64>,
    /// The content.
    pub payload: Payload,
}

/// Callbacks through which the bus delivers to this node.
pub trait Listener: Send + Sync {
    /// Takes messages that arrived, for each topic in the order of publication. Must not block.
    fn on_messages(&self, messages: Vec<BusMessage>);

    /// Messages may have been lost since the last call: the node must read the log where it has readers.
    fn on_gap(&self);
}

/// One node's connection to the others.
///
/// All calls return at once. A message that cannot be queued is dropped and counted; nodes then read it from
/// the log.
pub trait Bus: Send + Sync {
    /// Sends each message to every other node that subscribes to one of its topics. To this node's own
    /// sessions its router delivers.
    fn publish(&self, messages: Vec<BusMessage>);

    /// Begins to receive `topic`: the node has its first local reader.
    fn subscribe(&self, topic: Topic);

    /// Ends receiving `topic`: the node's last local reader has gone.
    fn unsubscribe(&self, topic: Topic);

    /// Resolves when every subscription made before this call is active. It also resolves soon while the bus
    /// is unavailable; then [`Listener::on_gap`] is called before the bus carries anything again.
    fn settled(&self) -> Settled {
        Box::pin(std::future::ready(()))
    }
}

/// See [`Bus::settled`].
pub type Settled = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A shared handle to the bus.
pub type SharedBus = Arc<dyn Bus>;
