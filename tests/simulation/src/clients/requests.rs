//! The requests over a connection that wait for their answers.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::device::Device;
use super::wire::number;

/// A request without an answer for so long, while the connection lives, is noted.
const STUCK_MS: u64 = 60_000;

/// The purpose of a request.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Asked {
    /// An entry of the outbox.
    Entry(u64),
    /// Ranges of events: conversation, after, limit.
    Sync(Vec<(String, u64, u64)>),
    /// A new token for the connection.
    Auth,
    /// To be sent a user's presence.
    Watch,
    /// Whether the connection lives.
    Ping,
    /// Anything else: the answer changes nothing.
    Other,
}

#[derive(Debug)]
struct Request {
    socket: u64,
    since: u64,
    asked: Asked,
}

/// The requests of a device, by their number.
#[derive(Debug, Default)]
pub(super) struct Requests {
    waiting: BTreeMap<u64, Request>,
    last: u64,
}

impl Requests {
    /// Registers a request over a socket; returns its number and its `id`, which is an integer or a text.
    pub fn add(&mut self, socket: u64, now: u64, asked: Asked) -> (u64, Value) {
        self.last += 1;
        let number = self.last;
        self.waiting.insert(number, Request { socket, since: now, asked });
        (number, id(number))
    }

    /// Takes the request that an answer over a socket belongs to.
    pub fn take(&mut self, socket: u64, id: &Value) -> Option<(u64, Asked)> {
        let number = self.find(socket, id)?;
        self.waiting.remove(&number).map(|request| (number, request.asked))
    }

    /// An answer has begun to come: its deadline begins again.
    pub fn continued(&mut self, socket: u64, id: &Value, now: u64) -> Option<(u64, &Asked)> {
        let number = self.find(socket, id)?;
        let request = self.waiting.get_mut(&number)?;
        request.since = now;
        Some((number, &request.asked))
    }

    fn find(&self, socket: u64, id: &Value) -> Option<u64> {
        let number = match id.as_str() {
            Some(text) => text.strip_prefix('r')?.parse().ok()?,
            None => number(id)?,
        };
        self.waiting.get(&number).filter(|request| request.socket == socket).map(|_| number)
    }

    /// Forgets a request that was not sent.
    pub fn unsent(&mut self, number: u64) {
        self.waiting.remove(&number);
    }

    /// Takes all requests of a socket, because they are not answered any more.
    pub fn end(&mut self, socket: u64) -> Vec<Asked> {
        let (ended, rest) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition::<BTreeMap<_, _>, _>(|(_, request)| request.socket == socket);
        self.waiting = rest;
        ended.into_values().map(|request| request.asked).collect()
    }

    /// Whether nothing waits, heartbeats left out.
    pub fn is_empty(&self) -> bool {
        self.waiting.values().all(|request| request.asked == Asked::Ping)
    }

    /// The number of the last request.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Whether a sync over a socket waits.
    pub fn is_syncing(&self, socket: u64) -> bool {
        let mut waiting = self.waiting.values();
        waiting.any(|request| request.socket == socket && matches!(request.asked, Asked::Sync(_)))
    }

    fn oldest(&self, socket: u64) -> Option<(u64, u64)> {
        let of_socket = self.waiting.iter().filter(|(_, request)| request.socket == socket);
        of_socket.map(|(number, request)| (request.since, *number)).min()
    }
}

/// The `id` of a request: an integer or a text.
fn id(number: u64) -> Value {
    if number.is_multiple_of(3) { json!(format!("r{number}")) } else { json!(number) }
}

impl Device {
    /// Sends a request over a socket; false when there is no room.
    pub(super) fn request(&mut self, socket: u64, asked: Asked, frame: impl FnOnce(&Value) -> Value) -> bool {
        let (number, id) = self.requests.add(socket, self.now, asked);
        let frame = frame(&id);
        let sent = self.connection.send(socket, frame);
        if !sent {
            self.requests.unsent(number);
        }
        sent
    }

    /// Notes requests that a living connection does not answer, and leaves that connection.
    pub(super) fn advance_requests(&mut self) {
        for socket in self.connection.sockets() {
            let Some((since, number)) = self.requests.oldest(socket) else { continue };
            let Some(reading_since) = self.connection.reading_since(socket) else { continue };
            let begun = since.max(reading_since);
            if self.is_due(begun + STUCK_MS) {
                if self.connection.heard_of(socket, self.now.saturating_sub(STUCK_MS / 2)) {
                    self.remark(format!("unanswered request {} on socket {socket}", id(number)));
                }
                self.abandon(socket);
            }
        }
    }
}
