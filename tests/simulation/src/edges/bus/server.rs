//! The model of Redis: connections, channels, keys, and what goes wrong with them.
//!
//! On one connection nothing overtakes anything. A connection that breaks loses what was under way, in both
//! directions.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidings::bus::envelope::{self, MacKeys};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use super::keys::Keys;
use super::resp::{Command, Reply};
use crate::dice::Dice;
use crate::edges::now;
use crate::history::Trace;
use crate::plan::Weather;

/// Bytes that wait for a subscriber at most; then it is cut off, as by Redis's `client-output-buffer-limit`.
const OUTPUT_BYTES: usize = 8 << 20;
/// Envelopes remembered, to be repeated and forged.
const REMEMBERED: usize = 256;

/// The process that connects.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The process.
    pub process: usize,
    /// The version of the envelopes that it writes.
    pub envelope: u8,
    /// A dead process reaches nothing, and nothing reaches it.
    pub alive: Arc<AtomicBool>,
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    pub peer: Peer,
    pub channels: BTreeSet<Vec<u8>>,
    pub tasks: Vec<AbortHandle>,
    /// The bytes on their way to the process.
    pub outgoing: VecDeque<(Instant, Vec<u8>)>,
    pub filled: Arc<Notify>,
    outgoing_bytes: usize,
    not_before: Instant,
    /// Nothing crosses any more, and the process gets no notice.
    pub is_silent: bool,
}

/// The mutable state.
#[derive(Debug)]
pub struct State {
    pub weather: Weather,
    pub dice: Dice,
    pub connections: BTreeMap<u64, Connection>,
    /// Envelopes that were published, with their channels.
    pub remembered: VecDeque<(Vec<u8>, Vec<u8>)>,
    /// Until when nobody can connect, and whether attempts get no answer at all.
    pub away: Option<(Instant, bool)>,
    pub frozen_until: Option<Instant>,
    pub demoted_until: Option<Instant>,
    keys: Keys,
    next_connection: u64,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Server {
    state: Mutex<State>,
    /// A fault has ended early.
    pub changed: Notify,
    pub mac: Arc<MacKeys>,
    trace: Arc<Trace>,
    began: Instant,
}

impl Server {
    pub fn new(weather: Weather, dice: Dice, mac: Arc<MacKeys>, trace: Arc<Trace>) -> Arc<Self> {
        let state = State {
            weather,
            dice,
            connections: BTreeMap::new(),
            remembered: VecDeque::new(),
            away: None,
            frozen_until: None,
            demoted_until: None,
            keys: Keys::default(),
            next_connection: 0,
        };
        Arc::new(Self { state: Mutex::new(state), changed: Notify::new(), mac, trace, began: now() })
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while the server is frozen.
    pub async fn thawed(&self) {
        loop {
            let until = self.state().frozen_until.filter(|until| *until > now());
            let Some(until) = until else { return };
            tokio::select! {
                biased;
                () = self.changed.notified() => {}
                () = sleep_until(until) => {}
            }
        }
    }

    /// Executes a command. `false`: the connection ends.
    pub fn execute(&self, connection: u64, command: &Command) -> bool {
        let mut state = self.state();
        let Some(one) = state.connections.get(&connection) else { return false };
        if !one.peer.alive.load(Ordering::Relaxed) {
            return false;
        }
        if one.is_silent {
            return true;
        }
        let is_demoted = state.demoted_until.is_some_and(|until| until > now());
        let verb = command.first().map(Vec::as_slice).unwrap_or_default();
        let reply = match (verb, command.get(1..).unwrap_or_default()) {
            (b"HELLO", _) => Reply::Array(vec![]),
            (b"ROLE", _) => Reply::Array(vec![Reply::text(if is_demoted { "slave" } else { "master" })]),
            (b"SUBSCRIBE" | b"UNSUBSCRIBE", [channel]) => state.follow(connection, verb, channel),
            // A message that is published at a replica does not reach clients of the primary.
            (b"PUBLISH" | b"EVAL", _) if is_demoted => Reply::Integer(0),
            (b"PUBLISH", [channel, envelope]) => self.publish(&mut state, connection, &[channel], envelope),
            (b"EVAL", [_, _, envelope, channels @ ..]) => {
                self.publish(&mut state, connection, &channels.iter().collect::<Vec<_>>(), envelope);
                Reply::Nil
            }
            _ if is_demoted && Keys::is_write(verb) => Reply::Error("READONLY it is a replica"),
            _ => state.keys.execute(command, now()).unwrap_or(Reply::Error("ERR the model does not know it")),
        };
        state.send(connection, &reply);
        true
    }

    fn publish(&self, state: &mut State, connection: u64, channels: &[&Vec<u8>], envelope: &[u8]) -> Reply {
        let Some(publisher) = state.connections.get(&connection) else { return Reply::Nil };
        let envelope = match publisher.peer.envelope {
            envelope::VERSION => self.unsigned(envelope),
            _ => envelope.to_vec(),
        };
        let process = publisher.peer.process;
        self.note(("publishes", process, &envelope));
        let mut receivers = 0;
        for channel in channels {
            if state.remembered.len() == REMEMBERED {
                state.remembered.pop_front();
            }
            state.remembered.push_back(((*channel).clone(), envelope.clone()));
            receivers += self.deliver(state, channel, &envelope);
        }
        Reply::Integer(receivers)
    }

    /// Sends an envelope to the subscribers of a channel.
    ///
    /// Single messages are lost silently, as a process's own queue loses the oldest when it is full, and as
    /// subscribers miss what is published at a new primary while they are still connected to the old one. The
    /// contract of `tidings::bus` allows it at any time.
    pub fn deliver(&self, state: &mut State, channel: &[u8], envelope: &[u8]) -> u64 {
        let subscribed = state.connections.iter().filter(|(_, one)| one.channels.contains(channel));
        let subscribers: Vec<(u64, usize)> = subscribed.map(|(id, one)| (*id, one.peer.process)).collect();
        let message = [Reply::text("message"), Reply::Bulk(channel.to_vec()), Reply::Bulk(envelope.to_vec())];
        let message = Reply::Push(message.to_vec());
        for (id, process) in &subscribers {
            if state.dice.chance(state.weather.bus_loss) {
                self.note(("loses", *process));
            } else {
                self.note(("delivers", *process));
                state.send(*id, &message);
            }
        }
        subscribers.len() as u64
    }

    /// The same envelope as a release without MACs writes it.
    pub fn unsigned(&self, bytes: &[u8]) -> Vec<u8> {
        let opened = self.mac.decode(bytes).and_then(|(id, message)| envelope::encode(id, &message));
        opened.unwrap_or_else(|_| bytes.to_vec())
    }

    /// Notes what happened.
    pub fn note(&self, what: impl Hash) {
        self.trace.mix((self.began.elapsed(), what));
    }
}

impl State {
    pub fn add(&mut self, peer: Peer) -> u64 {
        let id = self.next_connection;
        self.next_connection += 1;
        let connection = Connection {
            peer,
            channels: BTreeSet::new(),
            tasks: Vec::new(),
            outgoing: VecDeque::new(),
            filled: Arc::default(),
            outgoing_bytes: 0,
            not_before: now(),
            is_silent: false,
        };
        self.connections.insert(id, connection);
        id
    }

    fn follow(&mut self, connection: u64, verb: &[u8], channel: &[u8]) -> Reply {
        let Some(one) = self.connections.get_mut(&connection) else { return Reply::Nil };
        let word = if verb == b"SUBSCRIBE" {
            one.channels.insert(channel.to_vec());
            "subscribe"
        } else {
            one.channels.remove(channel);
            "unsubscribe"
        };
        let count = Reply::Integer(one.channels.len() as u64);
        Reply::Push(vec![Reply::text(word), Reply::Bulk(channel.to_vec()), count])
    }

    /// When something that is sent now arrives, at the earliest.
    pub fn arrival(&mut self) -> Instant {
        now() + Duration::from_millis(self.dice.between(0, self.weather.bus_delay_ms))
    }

    fn send(&mut self, connection: u64, reply: &Reply) {
        let arrives = self.arrival();
        let Some(one) = self.connections.get_mut(&connection) else { return };
        if one.is_silent {
            return;
        }
        let mut bytes = Vec::new();
        reply.write(&mut bytes);
        one.outgoing_bytes += bytes.len();
        one.not_before = one.not_before.max(arrives);
        one.outgoing.push_back((one.not_before, bytes));
        one.filled.notify_one();
        if one.outgoing_bytes > OUTPUT_BYTES {
            self.cut(|id, _| id == connection);
        }
    }

    /// The next bytes to a process and when they arrive.
    pub fn next_outgoing(&mut self, connection: u64) -> Option<(Instant, Vec<u8>)> {
        let one = self.connections.get_mut(&connection)?;
        let next = one.outgoing.pop_front()?;
        one.outgoing_bytes -= next.1.len();
        Some(next)
    }

    /// Ends connections. What was under way is lost.
    pub fn cut(&mut self, which: impl Fn(u64, &Connection) -> bool) {
        self.connections.retain(|id, one| {
            let is_cut = which(*id, one);
            if is_cut {
                one.tasks.iter().for_each(AbortHandle::abort);
            }
            !is_cut
        });
    }

    /// Nothing crosses the present connections any more. Returns which they are.
    pub fn silence(&mut self) -> Vec<u64> {
        for one in self.connections.values_mut() {
            one.is_silent = true;
            one.channels.clear();
            one.outgoing.clear();
            one.outgoing_bytes = 0;
        }
        self.connections.keys().copied().collect()
    }

    /// Forgets all keys.
    pub fn forget(&mut self) {
        self.keys.clear();
    }
}
