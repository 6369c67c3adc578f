//! What the clients of a run received: the ledger's only input. It has no sockets and no clocks.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use crate::ids::{ConversationId, UserId};

/// Everything that was said and seen in one run.
#[derive(Debug, Default)]
pub struct History {
    /// How many lines there were to say; those that nobody came to say count as unanswered.
    pub planned: u64,
    /// Every line said, each once, with how it ended.
    pub said: Vec<Said>,
    /// Every client's view.
    pub readers: Vec<Reader>,
    /// The log as read at the end, one copy for each conversation and server asked.
    pub logs: Vec<LogCopy>,
    /// Conversations that were made while every reader was connected.
    pub made_live: HashSet<ConversationId>,
}

/// One line: invoked, then ended by one of [`Outcome`].
#[derive(Clone, Debug)]
pub struct Said {
    /// Who said it.
    pub sender: UserId,
    /// Its idempotency key.
    pub client_id: Uuid,
    /// Digest of its text.
    pub body_hash: u64,
    /// When it was meant to be said, in microseconds.
    pub intended_us: u64,
    /// Its place among its sender's lines.
    pub order: u64,
    /// The sender's connection on which it was first written.
    pub connection: u32,
    /// How often it was written.
    pub attempts: u32,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a line ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Ok: the server says it is in the log.
    Acked(Ack),
    /// A definite failure, with its code: it must never appear.
    Refused(String),
    /// Indefinite: no answer by the end of the run. It may be in the log once, or not at all.
    Unanswered,
}

/// An acknowledgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The conversation it is in.
    pub conversation: ConversationId,
    /// Its place there.
    pub seq: u64,
    /// The server knew the key already.
    pub duplicate: bool,
    /// When the ack arrived, in microseconds.
    pub at_us: u64,
}

/// One client's view, across all its connections.
#[derive(Debug)]
pub struct Reader {
    /// Whose it is.
    pub user: UserId,
    /// For the report.
    pub name: String,
    /// What it saw of each conversation, in the order it saw it.
    pub streams: HashMap<ConversationId, Vec<Mark>>,
    /// Conversations of which it must hold everything by the end.
    pub due: Vec<ConversationId>,
    /// Its own messages as it saw them, with the key only it is shown.
    pub own: Vec<Own>,
    /// It kept one connection from the beginning to the end.
    pub steady: bool,
    /// When it chose not to read, each from and until, in microseconds.
    pub stalls: Vec<(u64, u64)>,
}

/// A message of one's own, seen with its key.
#[derive(Clone, Debug)]
pub struct Own {
    /// The key.
    pub client_id: Uuid,
    /// Where it was.
    pub conversation: ConversationId,
    /// Its place there.
    pub seq: u64,
}

/// One thing that happened in a reader's stream of one conversation.
#[derive(Clone, Copy, Debug)]
pub enum Mark {
    /// The reader chose not to read the history up to here.
    Skipped {
        /// The last seq it took as held.
        upto: u64,
    },
    /// `welcome` or `heads` said the conversation stands here; live events begin after it.
    Announced {
        /// The connection it came on.
        connection: u32,
        /// As announced.
        last_seq: u64,
    },
    /// An event pushed as it happened.
    Live {
        /// The connection it came on.
        connection: u32,
        /// Its place.
        seq: u64,
        /// Digest of all that every reader must agree on.
        identity: u64,
        /// When it arrived, in microseconds.
        at_us: u64,
    },
    /// An event given in answer to `sync`.
    Synced {
        /// The request answered.
        request: u64,
        /// Its place.
        seq: u64,
        /// Digest of all that every reader must agree on.
        identity: u64,
    },
}

/// One conversation's log as one server gave it at the end.
#[derive(Debug)]
pub struct LogCopy {
    /// The server asked.
    pub server: String,
    /// The conversation.
    pub conversation: ConversationId,
    /// In the order given.
    pub events: Vec<Logged>,
}

/// One event of the final log.
#[derive(Clone, Debug)]
pub struct Logged {
    /// Its place.
    pub seq: u64,
    /// Who did it.
    pub sender: Option<UserId>,
    /// Digest of all that every reader must agree on.
    pub identity: u64,
    /// What it is, as far as the ledger cares.
    pub what: What,
}

/// The kinds of event the ledger tells apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A message with the digest of its text.
    Message(u64),
    /// Somebody became a member.
    Joined(UserId),
    /// Somebody is no longer a member.
    Left(UserId),
    /// Anything else.
    Other,
}
