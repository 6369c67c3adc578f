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
    /// A user's presence may have changed; those who watch ask the board.
    Presence {
        /// Whose.
        user: UserId,
        /// What it is now.
        presence: Presence,
    },
    /// Tokens ended: connections on them close.
    Revoked(Revocation),
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
    /// The places of events that a node has published: relays need not publish them again.
    Published(Vec<(ConversationId, Seq)>),
    /// What moved in the log lately: who is behind it reads the log.
    Digest(Arc<Digest>),
}

/// Which conversations moved between two positions of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// The log's epoch; positions of different epochs do not compare.
    pub epoch: u64,
    /// What moved after this position is in it.
    pub from: Position,
    /// What moved after this one is not. The next digest begins here: a node that sees another beginning missed one.
    pub to: Position,
    /// Each conversation that moved, once.
    pub moved: Vec<Moved>,
}

/// How far one conversation moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Which.
    pub conversation: ConversationId,
    /// The first of the new events.
    pub first: Seq,
    /// The last of them.
    pub last: Seq,
    /// As in [`crate::domain::Audience`], of all the new events together.
    pub users: Arc<[UserId]>,
}

/// One thing to tell, and the topics it goes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Parcel {
    /// Where to; a node subscribed to several of them may get it several times.
    pub topics: SmallVec<[Topic; 2]>,
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
}

/// How the bus is shared.
pub type SharedBus = Arc<dyn Bus>;
