//! The bus between nodes, at most once: carries events that were just committed, and signals that are not kept.
//!
//! It may lose, repeat or delay anything at any time. The log is the source of truth; the router in [`crate::actors`] notices
//! holes and repeats by seq. No ack depends on the bus. To add a backend: implement [`Bus`], name it in `app`, add it to
//! the worlds of `tests/bus`.

pub mod book;
pub mod envelope;
pub mod health;
pub mod local;
pub mod redis;

use std::pin::Pin;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::domain::{Committed, ConversationId, Position, Revocation, Seq, Timestamp, Topic, UserId};

/// Something that is told and not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// Somebody began or stopped typing.
    Typing {
        /// The conversation that is typed in.
        conversation: ConversationId,
        /// The user who types.
        user: UserId,
        /// Began (true) or stopped.
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
    /// A user's presence changed. Those who watch are told what the signal carries.
    Presence {
        /// The user whose presence changed.
        user: UserId,
        /// What it is now.
        presence: Presence,
    },
    /// Tokens were revoked: connections on them close.
    Revoked(Revocation),
    /// A block was set or lifted. While one holds, neither of the two is told of the other.
    Blocked {
        /// Who set or lifted it.
        by: UserId,
        /// The user who is blocked or no longer blocked.
        user: UserId,
        /// Set (true) or lifted.
        on: bool,
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

/// The content of a parcel.
#[derive(Debug, Clone, PartialEq)]
pub enum Cargo {
    /// Committed events of one conversation, ascending.
    Events(Vec<Committed>),
    /// A signal.
    Signal(Signal),
    /// What a node has just published. Relays read it, and publish what no node did.
    Published(Vec<(ConversationId, Seq)>),
    /// Which conversations a relay saw move. Gateways read it, and read from the log what they missed.
    Digest(Arc<Digest>),
}

/// Which conversations moved between two positions of the log.
///
/// Complete: a node that has everything before `from`, and every event named here, has everything before `to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// The log's incarnation that the positions belong to.
    pub epoch: u64,
    /// Where the digest begins.
    pub from: Position,
    /// Where it ends; the next one begins here.
    pub to: Position,
    /// An open transaction holds the end of the log back: later events may be committed already, and digests name them only
    /// when it has ended.
    pub held_back: bool,
    /// The conversations with an event in between.
    pub moved: Vec<Moved>,
}

/// One conversation of a [`Digest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The conversation that moved.
    pub conversation: ConversationId,
    /// Its first event in the digest's stretch of the log.
    pub first: Seq,
    /// Its last one.
    pub last: Seq,
    /// The users that any of these events was for; see [`crate::domain::Audience`].
    pub users: Arc<[UserId]>,
}

/// One message between nodes, and the topics it is published on.
#[derive(Debug, Clone, PartialEq)]
pub struct Parcel {
    /// The topics; a node subscribed to several of them may get it several times.
    pub topics: SmallVec<[Topic; 2]>,
    /// The epoch of the log that it is about; `None` for a signal that is about none.
    pub epoch: Option<u64>,
    /// What it says.
    pub cargo: Cargo,
}

/// Callbacks through which the bus delivers to this node.
pub trait Listener: Send + Sync {
    /// Takes what arrived, for each topic in the order of publication. Must not block.
    fn on_parcels(&self, parcels: Vec<Parcel>);

    /// Parcels may have been lost since the last call: the node reads the log where it matters.
    fn on_gap(&self);
}

/// One node's connection to the others.
///
/// All calls return at once. What cannot be queued is dropped and counted; nodes then read it from the log.
pub trait Bus: Send + Sync {
    /// Sends each parcel to every other node that subscribes to one of its topics. This node delivers to itself by its router.
    fn publish(&self, parcels: Vec<Parcel>);

    /// Begins to receive `topic`: the node has its first local reader.
    fn subscribe(&self, topic: Topic);

    /// Ends receiving `topic`: the node's last local reader has gone.
    fn unsubscribe(&self, topic: Topic);

    /// Resolves when every subscription made before this call is active, and soon also when the bus is away; then
    /// [`Listener::on_gap`] is called before the bus carries anything again.
    fn settled(&self) -> Settled {
        Box::pin(std::future::ready(()))
    }
}

/// See [`Bus::settled`].
pub type Settled = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How the bus is shared.
pub type SharedBus = Arc<dyn Bus>;
