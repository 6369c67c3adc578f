//! The history of a run, read once for all checks: the requests with their answers, and everything that each
//! device was shown.

mod reader;

use std::collections::BTreeMap;

use serde_json::Value;

use super::operated::Operated;
use super::tokens::Claims;
use crate::history::{Entry, What};
use crate::plan::Plan;

/// A connection of a device.
#[derive(Debug, Clone)]
pub struct Socket {
    /// The device.
    pub device: usize,
    /// The process it led to.
    pub process: usize,
    /// The user that its `welcome` named.
    pub user: Option<String>,
    /// When it was opened.
    pub opened: usize,
    /// When it ended, with which code.
    pub closed: Option<(usize, Option<u16>)>,
    /// The tokens that the device gave to it, each with the entry of the frame.
    pub tokens: Vec<(usize, Claims)>,
    /// When a device that behaves ended it with a close frame.
    pub left: Option<usize>,
    /// Its frames in both directions: entry, whether the device sent it.
    pub frames: Vec<(usize, bool)>,
}

/// A request with its outcome.
#[derive(Debug, Clone)]
pub struct Request<'r> {
    /// The entry in which it was sent.
    pub sent: usize,
    /// The entry with the answer.
    pub answered: Option<usize>,
    /// The device.
    pub device: usize,
    /// The user whose token it was sent with, where that is known.
    pub user: Option<String>,
    /// The token of a call.
    pub claims: Option<Claims>,
    /// The request.
    pub asked: Asked<'r>,
    /// The answer: a frame, or the body of a call.
    pub answer: Option<&'r Value>,
    /// The status of a call.
    pub status: Option<u16>,
    /// The `events` frames that came for it.
    pub parts: Vec<usize>,
}

/// The request.
#[derive(Debug, Clone, Copy)]
pub enum Asked<'r> {
    /// A frame on a socket.
    Frame(u64, &'r Value),
    /// A call: method, path and body.
    Call(&'r str, &'r str, &'r Value),
}

impl<'r> Request<'r> {
    /// Whether it was done.
    pub fn is_done(&self) -> bool {
        match self.asked {
            Asked::Frame(..) => self.answer.is_some_and(|answer| answer["type"] != "error"),
            Asked::Call(..) => self.status.is_some_and(|status| status < 300),
        }
    }

    /// Whether it was refused and never happens.
    pub fn is_refused(&self) -> bool {
        let definite = |answer: &Value| answer["definite"] == true;
        !self.is_done() && self.answer.is_some_and(definite)
    }

    /// Whether it was refused because an operator keeps the account out.
    pub fn is_suspended(&self) -> bool {
        self.answer.is_some_and(|answer| answer["code"] == "suspended")
    }

    /// The frame that was sent, of a type.
    pub fn frame(&self, kind: &str) -> Option<&'r Value> {
        match self.asked {
            Asked::Frame(_, frame) if frame["type"] == kind => Some(frame),
            _ => None,
        }
    }

    /// The parts of a call's path, without the query, if its method is this.
    pub fn call(&self, wanted: &str) -> Option<(Vec<&'r str>, &'r Value)> {
        match self.asked {
            Asked::Call(method, path, body) if method == wanted => {
                let path = path.split('?').next().unwrap_or_default();
                Some((path.trim_matches('/').split('/').collect(), body))
            }
            _ => None,
        }
    }
}

/// An event as a device was shown it.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'r> {
    /// The entry.
    pub entry: usize,
    /// The device.
    pub device: usize,
    /// The socket, if it came by one.
    pub socket: Option<u64>,
    /// Whether it was pushed, not asked for.
    pub live: bool,
    /// Its conversation.
    pub conversation: &'r str,
    /// Its number there.
    pub seq: u64,
    /// The event.
    pub event: &'r Value,
    /// The entry in which it was asked for; its own for what was pushed.
    pub asked: usize,
    /// The call that it answers.
    pub request: Option<usize>,
}

/// A head as a device was sent it.
#[derive(Debug, Clone, Copy)]
pub struct Head<'r> {
    /// The entry.
    pub entry: usize,
    /// The device.
    pub device: usize,
    /// The socket, if it came by one.
    pub socket: Option<u64>,
    /// The entry in which it was asked for; its own for what was pushed.
    pub asked: usize,
    /// The call that it answers.
    pub request: Option<usize>,
    /// Its conversation.
    pub conversation: &'r str,
    /// Its newest event.
    pub last_seq: u64,
    /// The head.
    pub head: &'r Value,
}

/// See the module's documentation.
pub struct Transcript<'r> {
    /// Everything that happened.
    pub entries: &'r [Entry],
    /// By number.
    pub sockets: BTreeMap<u64, Socket>,
    /// In the order in which they were sent.
    pub requests: Vec<Request<'r>>,
    /// In the order in which they came.
    pub shown: Vec<Shown<'r>>,
    /// In the order in which they came. Those that say `left` are not here.
    pub heads: Vec<Head<'r>>,
    /// The user of each device, as its first `welcome` or sign-in said.
    pub users: BTreeMap<usize, String>,
    /// The commands of the operator, in the order in which they were sent.
    pub operated: Vec<Operated>,
    /// When the calm began.
    pub calm: Option<usize>,
    /// Answers that no request of their connection waited for.
    pub unasked: Vec<(usize, u64)>,
}

impl<'r> Transcript<'r> {
    /// Reads a history.
    pub fn read(plan: &Plan, entries: &'r [Entry]) -> Self {
        reader::read(plan, entries)
    }

    /// The frame of an entry, in either direction.
    pub fn frame(&self, entry: usize) -> Option<&'r Value> {
        match &self.entries.get(entry)?.what {
            What::Sent { frame, .. } | What::Received { frame, .. } => Some(frame),
            _ => None,
        }
    }

    /// When an entry happened, in milliseconds.
    pub fn at_ms(&self, entry: usize) -> u64 {
        self.entries.get(entry).map_or(0, |entry| entry.at_ms)
    }

    /// The user who was shown something by a socket or a call.
    pub fn user_of(&self, socket: Option<u64>, request: Option<usize>) -> Option<&str> {
        let by_socket = socket.and_then(|socket| self.sockets.get(&socket)?.user.as_deref());
        by_socket.or_else(|| self.requests.get(request?)?.user.as_deref())
    }
}
