//! The hurry: how one node tells the others what it just committed, and what passes without being kept.
//!
//! The bus may lose, repeat or delay anything at any time: the log is the truth, and [`crate::actors`]' router notices holes and
//! repeats by seq. Nothing an ack depends on passes here. To add a backend: implement [`Bus`], name it in `app`, add it to
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

/// Something that happens and is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// Somebody began or stopped typing.
    Typing {
        /// Where.
        conversation: ConversationId,
        /// Who.
        user: UserId,
        /// Began (true) or stopped.
        on: bool,
    },
    /// A receipt moved.
    Receipt {
        /// Where.
        conversation: ConversationId,
        /// Whose.
        user: UserId,
        /// Received up to here.
        delivered: Option<Seq>,
        /// Read up to here.
        read: Option<Seq>,
    },
    /// A user's presence changed. Those who watch are told what the signal carries.
    Presence {
        /// Whose.
        user: UserId,
        /// What it is now.
        presence: Presence,
    },
    /// Tokens ended: connections on them close.
    Revoked(Revocation),
    /// A block was set or lifted: neither of the two is told of the other while one stands.
    Blocked {
        /// Who set or lifted it.
        by: UserId,
        /// Whom it concerns.
        user: UserId,
        /// Set (true) or lifted.
        on: bool,
    },
}

/// Whether somebody is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// A device is in the foreground.
    Online,
    /// Devices are connected, all in the background.
    Away,
    /// None is connected.
    Offline {
        /// When the last one went; `None` when not known.
        last_seen: Option<Timestamp>,
    },
}

/// What a parcel holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Cargo {
    /// Committed events of one conversation, ascending.
    Events(Vec<Committed>),
    /// A passing signal.
    Signal(Signal),
    /// What a node has just published, for relays: they publish what nobody did.
    Published(Vec<(ConversationId, Seq)>),
    /// What a relay saw move, for gateways: they read what they missed.
    Digest(Arc<Digest>),
}

/// Which conversations moved between two positions of the log.
///
/// Complete: whoever has everything before `from`, and every event named here, has everything before `to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// The log's incarnation that the positions belong to.
    pub epoch: u64,
    /// Where the digest begins.
    pub from: Position,
    /// Where it ends; the next one begins here.
    pub to: Position,
    /// A transaction that is not decided holds the log's end back: later events may be committed, and digests will name them
    /// only when it ends.
    pub held_back: bool,
    /// The conversations with an event in between.
    pub moved: Vec<Moved>,
}

/// One conversation of a [`Digest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Which.
    pub conversation: ConversationId,
    /// Its first event in the digest's stretch of the log.
    pub first: Seq,
    /// Its last one.
    pub last: Seq,
    /// Whoever any of these events was for; see [`crate::domain::Audience`].
    pub users: Arc<[UserId]>,
}

/// One thing to tell, and the topics it goes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Parcel {
    /// Where to; a node subscribed to several of them may get it several times.
    pub topics: SmallVec<[Topic; 2]>,
    /// The incarnation of the log that it is about; `None` for what is about none.
    pub epoch: Option<u64>,
    /// What.
    pub cargo: Cargo,
}

/// A node's ear on the bus.
pub trait Listener: Send + Sync {
    /// Takes what arrived, in the order it was published per topic. Must not block.
    fn on_parcels(&self, parcels: Vec<Parcel>);

    /// Parcels may have been lost since the last ones: read the log where it matters.
    fn on_gap(&self);
}

/// One node's connection to the others.
///
/// All calls return at once; what cannot be handed over is dropped and counted, and the log heals it.
pub trait Bus: Send + Sync {
    /// Tells every node subscribed to one of a parcel's topics, except this one, which delivers to itself.
    fn publish(&self, parcels: Vec<Parcel>);

    /// The node has its first local reader of `topic`.
    fn subscribe(&self, topic: Topic);

    /// The node's last local reader of `topic` is gone.
    fn unsubscribe(&self, topic: Topic);

    /// Resolves when every subscription made before this call is in force. It resolves soon also when the bus is away; a
    /// [`Listener::on_gap`] comes before the bus carries anything again.
    fn settled(&self) -> Settled {
        Box::pin(std::future::ready(()))
    }
}

/// See [`Bus::settled`].
pub type Settled = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How the bus is shared.
pub type SharedBus = Arc<dyn Bus>;
