//! What a run does: the fleet, its weather, the people with their devices, and the steps at their times. A
//! plan follows from its seed. It is written as JSON, so that a failing run can be made smaller step by step
//! and kept.

use serde::{Deserialize, Serialize};

/// The whole plan of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// All random numbers of the run follow from it.
    pub seed: u64,
    /// How long devices act and faults come, in milliseconds of virtual time.
    pub active_ms: u64,
    /// How long the run goes on after that without faults, until everything must have healed.
    pub calm_ms: u64,
    /// The processes.
    pub processes: Vec<ProcessPlan>,
    /// Settings of all processes, beside the defaults of the simulation: key and value.
    pub settings: Vec<(String, String)>,
    /// Bounds of the product that are lower than usual, by their names in `src/bounds.rs`.
    #[serde(default)]
    pub bounds: Vec<(String, u64)>,
    /// The weather: small faults that always happen.
    pub weather: Weather,
    /// The replicas of the log. All processes read from them.
    #[serde(default)]
    pub replicas: usize,
    /// Consumers read the log from the first replica.
    #[serde(default)]
    pub tail_from_replica: bool,
    /// The people, each with an account.
    pub people: usize,
    /// The devices.
    pub devices: Vec<DevicePlan>,
    /// The steps, by time.
    pub steps: Vec<Step>,
}

/// A process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessPlan {
    /// Its roles, as `server.roles` has them.
    pub roles: String,
    /// Its worker threads (hubs).
    pub workers: u8,
    /// Its wall clock is off by so much, in milliseconds.
    pub clock_off_ms: i64,
    /// The version of the bus envelopes that it writes, as in two releases side by side.
    pub envelope: u8,
}

/// The conditions until the calm begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weather {
    /// A bus message to one subscriber is lost, in a thousand.
    pub bus_loss: u64,
    /// The longest delay of a bus message, in milliseconds.
    pub bus_delay_ms: u64,
    /// The longest time until a subscription takes effect, in milliseconds.
    pub subscribe_delay_ms: u64,
    /// The longest time that a statement of the log takes, in milliseconds.
    pub log_delay_ms: u64,
    /// A statement of the log fails, in a thousand.
    pub log_failures: u64,
    /// The answer to a commit is lost, in a thousand.
    pub log_lost_answers: u64,
    /// The delay of replicas, in milliseconds.
    pub replica_lag_ms: u64,
    /// The longest time that bytes are under way between device and process, in milliseconds.
    pub socket_delay_ms: u64,
    /// The bytes that fit into a socket's buffers, each direction.
    pub socket_bytes: usize,
    /// Bytes arrive in pieces of at most so many.
    pub socket_piece_bytes: usize,
}

/// The behaviour of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Behaviour {
    /// Does everything that docs/PROTOCOL.md asks of a client: outbox, cursor, positions, resume.
    Correct,
    /// Keeps no cursor and never asks `sync`.
    Lazy,
    /// Uses REST only.
    Rest,
    /// Sends what no client should: random and reordered frames, floods, old and stolen tokens.
    Hostile,
}

/// A device of a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevicePlan {
    /// The person who owns it.
    pub person: usize,
    /// Its behaviour.
    pub behaviour: Behaviour,
    /// Whether it speaks MessagePack instead of JSON.
    pub msgpack: bool,
    /// It connects this long after the start, in milliseconds.
    pub begins_ms: u64,
}

/// Something that happens at a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// When, in milliseconds since the start.
    pub at_ms: u64,
    /// What.
    pub act: Act,
}

/// A step of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Act {
    /// A device does something.
    Device {
        /// Which one.
        device: usize,
        /// Its operation.
        operation: Operation,
    },
    /// Something goes wrong, or is put right.
    Fault(Fault),
    /// The operator does something.
    Operator(Command),
}

/// What the operator does to a person's account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Keep the account out for so long; 0: without an end.
    Suspend { person: usize, seconds: u64 },
    /// Let it in again.
    Lift { person: usize },
    /// End all its sign-ins.
    EndSignIns { person: usize },
}

impl Command {
    /// The person.
    pub const fn person(self) -> usize {
        match self {
            Self::Suspend { person, .. } | Self::Lift { person } | Self::EndSignIns { person } => person,
        }
    }
}

/// A conversation, as steps name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Place {
    /// The direct conversation with a person (also with oneself).
    With(usize),
    /// The n-th conversation that a step of the plan made (`Operation::Create::slot`). A step about one that
    /// does not exist yet does nothing.
    Slot(usize),
}

/// A message, as steps name it: counted back from the newest that the device knows in that conversation.
pub type Back = u64;

/// What a device does. Those that the protocol has both as frame and as REST call take the frame, unless the
/// device uses REST only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Operation {
    /// Send a message with a body of so many bytes.
    Send { to: Place, bytes: usize },
    /// Send the last message again with the same client id, over a connection or call of its own.
    SendAgain,
    /// Replace the body of one's own message.
    Edit { on: Place, back: Back },
    /// Remove one's own message (or, as an admin, another's).
    Delete { on: Place, back: Back },
    /// Add or remove a reaction; `emoji` is an index into a few.
    React { on: Place, back: Back, emoji: u8, add: bool },
    /// Make a conversation with these people, found by others as `slot`.
    Create { slot: usize, channel: bool, members: Vec<usize>, open: bool, all_history: bool },
    /// Join, or add a person.
    Join { on: Place, person: usize },
    /// Leave, or remove a person.
    Leave { on: Place, person: usize },
    /// Give a role: 0 member, 1 admin, 2 owner.
    SetRole { on: Place, person: usize, role: u8 },
    /// Mute a person, or end that with 0.
    Mute { on: Place, person: usize, seconds: u64 },
    /// Ban a person for so long (0: for good), or lift that.
    Ban { on: Place, person: usize, seconds: u64, lift: bool },
    /// Change settings: open or by invitation, all history or from the join on, a new name.
    Configure { on: Place, open: Option<bool>, all_history: Option<bool>, rename: bool },
    /// Delete the conversation.
    DeleteConversation { on: Place },
    /// Block or unblock a person.
    Block { person: usize, on: bool },
    /// Say that everything up to there was read, or received.
    Receipt { on: Place, back: Back, read: bool },
    /// Begin or stop typing.
    Typing { on: Place, begin: bool },
    /// Watch or no longer watch a person's presence.
    Watch { person: usize, on: bool },
    /// Go to the background or come back.
    Background { on: bool },
    /// Read a page of history, of events, of members, or the list of conversations.
    Read { on: Place, page: Page },
    /// Sync a range that one has already, from some seqs back.
    SyncAgain { on: Place, back: Back },
    /// End the connection: with a close frame, with a reset, or silently.
    Disconnect { how: Hangup },
    /// Connect now, and not only some seconds after the end of the last connection.
    Reconnect,
    /// Read nothing for so long.
    StopReading { ms: u64 },
    /// Fetch a new token by the refresh token, and give it to the connection.
    Refresh,
    /// Sign out: end this device's tokens, or all of the user's.
    SignOut { everywhere: bool },
    /// End all sign-ins of the user but this device's.
    EndSessions,
    /// Sign in again and connect.
    SignIn,
    /// Erase one's account.
    Erase,
    /// Fetch everything that the server has of oneself.
    Export,
    /// For hostile devices: one of many kinds of abuse; the number chooses.
    Abuse { kind: u16 },
}

/// A REST read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Page {
    /// Messages, newest first.
    History,
    /// Events after a seq.
    Events,
    /// Members.
    Members,
    /// The conversation itself.
    Conversation,
    /// All conversations of the user.
    Conversations,
    /// The preview of an open channel.
    Preview,
}

/// The way in which a device ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hangup {
    /// With a close frame.
    Close,
    /// The connection is reset.
    Reset,
    /// Nothing more is sent or acknowledged.
    Vanish,
}

/// Something that goes wrong. Durations are milliseconds; what has none is ended by the calm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// A process is killed now, and started again after a while. Its sockets are reset, or vanish.
    Kill { process: usize, down_ms: u64, vanish: bool },
    /// A process is killed between a commit and what follows it.
    KillAfterCommit { process: usize, down_ms: u64 },
    /// A process does nothing for a while, and then goes on.
    Pause { process: usize, ms: u64 },
    /// The worker threads of a process do nothing for a while, and the rest of it goes on.
    WorkersStop { process: usize, ms: u64 },
    /// A process is asked to stop as in a rolling release, and its successor starts.
    Drain { process: usize, down_ms: u64 },
    /// The wall clock of a process jumps.
    ClockJump { process: usize, by_ms: i64 },
    /// The bus carries nothing for a while; processes notice.
    BusAway { ms: u64 },
    /// The bus is frozen: it accepts everything and delivers nothing, until it is noticed or the time is
    /// over.
    BusFrozen { ms: u64 },
    /// The server of the bus is a replica for a while: it keeps its connections and carries nothing.
    BusDemoted { ms: u64 },
    /// The bus forgets everything (presence, rates) and cuts every connection.
    BusEmptied,
    /// The connection of one process to the bus is cut; it loses what was under way.
    BusCut { process: usize },
    /// A message that no process has sent arrives on the bus.
    BusForged { kind: u8 },
    /// The log answers nothing for a while: calls hang.
    LogHangs { ms: u64 },
    /// The log refuses everything for a while.
    LogAway { ms: u64 },
    /// Each statement of the log takes up to so long, for a while.
    LogSlow { delay_ms: u64, ms: u64 },
    /// Somebody else's transaction is open for a while and holds back the log's end.
    LogHeldBack { ms: u64 },
    /// The next commits of a process are executed and their answers are lost.
    LogLosesAnswers { process: usize, commits: u64 },
    /// A replica applies nothing for a while.
    ReplicaFrozen { replica: usize, ms: u64 },
    /// A replica becomes the primary; `lost` is how many of the last commits it lacks (at most).
    FailOver { lost: u64 },
    /// The log is restored from a copy that lacks the last commits, so many at most.
    Restore { lost: u64 },
    /// The sockets of a process are reset, and the requests that it has not answered are cut off.
    SocketsReset { process: usize },
    /// Nothing crosses the sockets of a process for a while.
    SocketsStall { process: usize, ms: u64 },
}

impl Weather {
    /// The weather once faults have ended: everything takes a little time, and nothing goes wrong.
    pub fn calm(&self) -> Self {
        Self {
            bus_loss: 0,
            bus_delay_ms: 5,
            subscribe_delay_ms: 5,
            log_delay_ms: 3,
            log_failures: 0,
            log_lost_answers: 0,
            replica_lag_ms: 10,
            socket_delay_ms: 5,
            ..self.clone()
        }
    }
}

impl Plan {
    /// Whether workers are stopped apart from their process.
    pub fn stops_workers(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.act, Act::Fault(Fault::WorkersStop { .. })))
    }
}

impl Fault {
    /// The process that it concerns, if it concerns one.
    pub const fn process(&self) -> Option<usize> {
        match self {
            Self::Kill { process, .. }
            | Self::KillAfterCommit { process, .. }
            | Self::Pause { process, .. }
            | Self::WorkersStop { process, .. }
            | Self::Drain { process, .. }
            | Self::ClockJump { process, .. }
            | Self::BusCut { process }
            | Self::LogLosesAnswers { process, .. }
            | Self::SocketsReset { process }
            | Self::SocketsStall { process, .. } => Some(*process),
            Self::BusAway { .. }
            | Self::BusFrozen { .. }
            | Self::BusDemoted { .. }
            | Self::BusEmptied
            | Self::BusForged { .. }
            | Self::LogHangs { .. }
            | Self::LogAway { .. }
            | Self::LogSlow { .. }
            | Self::LogHeldBack { .. }
            | Self::ReplicaFrozen { .. }
            | Self::FailOver { .. }
            | Self::Restore { .. } => None,
        }
    }
}
