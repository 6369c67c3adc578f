//! What happens to each round trip between a process and a database server.

use std::fmt;
use std::time::Duration;

/// Decides about every round trip of one process. The simulation implements it; all randomness and all delays
/// come from here.
pub trait Fates: Send + Sync + fmt::Debug {
    /// Asked before a request is sent.
    fn fate(&self, round_trip: &RoundTrip) -> Fate;

    /// Told when the server has done what a request asks for, or has failed, before the answer travels back.
    /// A request that is abandoned has no outcome.
    fn happened(&self, round_trip: &RoundTrip, outcome: TripOutcome) {
        let _ = (round_trip, outcome);
    }
}

/// A request that is about to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RoundTrip {
    /// The process, as it was named when it connected.
    pub process: u64,
    /// The connection; no two connections of a server have the same number.
    pub connection: u64,
    /// The server that it goes to.
    pub to: Destination,
    /// What is asked for.
    pub trip: Trip,
}

/// A server of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Destination {
    /// The server that takes writes.
    Primary,
    /// A replica, counted from 0.
    Replica(usize),
}

/// One round trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trip {
    /// Opening a connection.
    Connect,
    /// Asking whether a connection that was idle still works.
    Ping,
    /// Beginning a transaction of several statements.
    Begin,
    /// One statement that only reads.
    Read(&'static str),
    /// One statement that writes or locks, inside a transaction of several.
    Write(&'static str),
    /// One statement that writes and commits by itself.
    WriteAndCommit(&'static str),
    /// Committing a transaction of several statements.
    Commit,
    /// Rolling it back.
    Rollback,
}

impl Trip {
    /// Whether a lost answer leaves its outcome unknown.
    pub const fn commits(self) -> bool {
        matches!(self, Self::WriteAndCommit(_) | Self::Commit)
    }
}

/// What becomes of a round trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It is answered.
    Answer(Delays),
    /// The connection breaks before the server receives the request: its transaction is rolled back.
    Break(Delays),
    /// The server does it, also the commit, and the connection breaks before the answer.
    Lose(Delays),
    /// The server rolls the transaction back, because it conflicts with another one.
    Conflict(Delays),
    /// The server refuses to write.
    ReadOnly(Delays),
    /// The server never receives it, and no answer ever comes. The connection stays open until the process
    /// drops it. This is also the fate of a process that is killed here.
    Hang,
    /// The server does it, also the commit, and no answer ever comes.
    HangDone(Delays),
}

/// The time that the parts of a round trip take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Delays {
    /// Until the server receives the request.
    pub request: Duration,
    /// Of a request that writes: from taking a transaction number to asking for the lock. A transaction that
    /// takes a later number in this time may commit first.
    pub queue: Duration,
    /// Until the server has done it. A request that writes holds the lock in this time.
    pub work: Duration,
    /// Until the process receives the answer.
    pub answer: Duration,
}

/// How a round trip ended on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TripOutcome {
    /// It was done.
    Done,
    /// The server refused, or the connection broke.
    Failed,
}

/// Every request is answered at once.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFaults;

impl Fates for NoFaults {
    fn fate(&self, _moment: &RoundTrip) -> Fate {
        Fate::Answer(Delays::default())
    }
}
