//! The inputs, commands and results of a session.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

use super::{connection::Dial, outbox::Line};
use crate::{
    clock::Clock,
    ids::ConversationId,
    ledger::history::{Reader, Said},
    rest::{Account, Rest},
};

/// Live counters of a run, shared by its sessions and shown while it goes on.
#[derive(Debug, Default)]
pub struct Progress {
    /// Lines that got their final answer.
    pub ended: AtomicU64,
    /// Events received.
    pub delivered: AtomicU64,
    /// Sessions connected now.
    pub connected: AtomicU64,
    /// Connections lost or dropped so far.
    pub dropped: AtomicU64,
    /// Connections handed over at the server's request.
    pub handovers: AtomicU64,
    /// `lagging` frames seen.
    pub lagging: AtomicU64,
    /// Answers that asked to slow down.
    pub pushed_back: AtomicU64,
    /// Bytes of all live event frames.
    pub event_bytes: AtomicU64,
}

/// What a session needs.
#[derive(Debug)]
pub struct Setup {
    /// For the report.
    pub name: String,
    /// Whose session.
    pub account: Account,
    /// Servers, the preferred one first.
    pub dials: Vec<Dial>,
    /// For new tokens.
    pub rest: Rest,
    /// Most unanswered sends.
    pub window: usize,
    /// The run's clock.
    pub clock: Clock,
    /// The run's counters.
    pub progress: Arc<Progress>,
    /// Seeds the jitter of the backoff.
    pub seed: u64,
    /// Take what the first `welcome` announces as held: watch from now on, without the history.
    pub from_now: bool,
}

/// What a session can be told.
#[derive(Debug)]
pub enum Command {
    /// Say this.
    Say(Line),
    /// Drop the connection without goodbye, stay away, come back.
    Drop(Duration),
    /// Stop reading for a while.
    Stall(Duration),
}

/// What everybody should hold in the end.
#[derive(Debug)]
pub struct Goal {
    /// The last seq of each conversation.
    pub last_seqs: HashMap<ConversationId, u64>,
    /// When to stop waiting for it, on the run's clock.
    pub deadline_us: u64,
}

/// A running session.
#[derive(Debug)]
pub struct Handle {
    /// Whose it is.
    pub account: Account,
    /// Takes commands; bounded.
    pub commands: mpsc::Sender<Command>,
    /// Sets the goal: the session ends when it is reached or its deadline has come. A way of its own, since a
    /// session that cannot connect takes no commands.
    pub finish: watch::Sender<Option<Arc<Goal>>>,
    /// Gives what was seen, once finished or when `commands` is dropped.
    pub task: JoinHandle<Seen>,
}

/// What a session did and saw.
#[derive(Debug)]
pub struct Seen {
    /// Its view of every conversation.
    pub reader: Reader,
    /// Its lines.
    pub said: Vec<Said>,
}
